// A chart of curves over steps: uPlot draws; this adds what a canvas lacks. Its figures are in data-*, its summary in
// words, its cursor follows the arrow keys, and the same numbers are one button away as a table.

import { element, fill } from "./elements.js";
import { number } from "./format.js";

const HEIGHT = 240;
const DECADE = 1e-6;
const ROWS = 100;
const { uPlot } = globalThis;

/** A curve: `{label, steps, values, color (1…8), width, dashed, points, faint, format}`; `lines`: `[{label, value}]`. */
export class Chart {
  constructor(title, { format = number, tick = format, log = false, note = "", xLabel = "step" } = {}) {
    this.title = title;
    this.format = format;
    this.tick = tick;
    this.log = log;
    this.xLabel = xLabel;
    this.curves = [];
    this.lines = [];
    this.plot = null;
    this.onZoom = () => {};
    this.note = element("span", { class: "soft small" }, note);
    this.readout = element("div", { class: "legend" });
    this.canvas = element("div", {
      class: "plot",
      tabindex: 0,
      role: "group",
      "aria-roledescription": "chart",
      on: { keydown: (event) => this.#move(event) },
    });
    this.table = element("div", {
      class: "scroll figures",
      hidden: true,
      tabindex: 0,
      role: "region",
      "aria-label": `${title}, as a table`,
    });
    this.spoken = element("output", { class: "visually-hidden" });
    this.logButton = this.#button("Log", log, (on) => this.#setLog(on), "Logarithmic axis");
    this.tableButton = this.#button("Table", false, (on) => this.#setTable(on), "Show the numbers as a table");
    this.figure = element(
      "figure",
      { class: "chart card" },
      element(
        "figcaption",
        {},
        element("h3", {}, title),
        this.note,
        element("div", { class: "tools" }, this.logButton, this.tableButton),
      ),
      this.canvas,
      this.table,
      this.readout,
      this.spoken,
    );
    new ResizeObserver(() => this.#resize()).observe(this.canvas);
    document.addEventListener("themechange", () => this.draw());
  }

  /** New curves and level lines, drawn at once. */
  show(curves, lines = []) {
    const shape = (list) =>
      JSON.stringify(list.map(({ label, color, faint, dashed }) => [label, color, faint, dashed]));
    const same = this.plot && shape(curves) === shape(this.curves) && shape(lines) === shape(this.lines);
    this.curves = curves;
    this.lines = lines;
    this.#describe();
    if (same) this.plot.setData(this.#data(), !this.zoomed);
    else this.draw();
    if (!this.table.hidden) this.#fillTable();
  }

  draw() {
    if (!this.canvas.isConnected) return;
    this.plot?.destroy();
    this.plot = new uPlot(this.#options(), this.#data(), this.canvas);
    this.plot.root.setAttribute("aria-hidden", "true");
    this.#read(null);
  }

  #data() {
    const tables = this.curves.map(({ steps, values }) => [steps, this.log ? values.map(positive) : values]);
    const data = tables.length ? uPlot.join(tables) : [[]];
    const ends = data[0].length ? [data[0][0], data[0].at(-1)] : [];
    return [data[0], ...data.slice(1), ...this.lines.map(({ value }) => levelOf(data[0], ends, value))];
  }

  #options() {
    const style = getComputedStyle(document.documentElement);
    const color = (name) => style.getPropertyValue(name).trim();
    const ink = color("--chart-ink");
    const grid = { stroke: color("--chart-grid"), width: 1 };
    const font = `12px ${getComputedStyle(document.body).fontFamily}`;
    const axis = { stroke: ink, grid, ticks: { show: false }, font };
    const curves = this.curves.map((curve) => {
      const stroke = color(`--curve-${curve.color}`);
      return {
        label: curve.label,
        stroke: curve.faint ? faded(stroke) : stroke,
        width: curve.width ?? (curve.faint ? 1 : 1.75),
        dash: curve.dashed ? [6, 4] : undefined,
        spanGaps: true,
        points: { show: curve.points ?? false, size: 5, fill: stroke },
      };
    });
    const levels = this.lines.map(({ label }) => ({
      label,
      stroke: color("--level"),
      width: 1.5,
      dash: [3, 4],
      points: { show: false },
      spanGaps: true,
    }));
    return {
      width: this.canvas.clientWidth,
      height: HEIGHT,
      legend: { show: false },
      cursor: { points: { size: 7 }, drag: { x: true, y: false, setScale: true }, dataIdx: nearest },
      scales: { x: { time: false }, y: { distr: this.log ? 3 : 1 } },
      axes: [
        { ...axis, size: 34, values: (_, ticks) => ticks.map(short) },
        {
          ...axis,
          size: 62,
          values: (_, ticks) => ticks.map((tick) => (tick === null ? "" : this.tick(tick))),
          grid: { ...grid, filter: (_, ticks) => (this.log ? ticks.map(decade) : ticks) },
        },
      ],
      series: [{ label: this.xLabel }, ...curves, ...levels],
      hooks: {
        setCursor: [(plot) => this.#read(plot.cursor.idx)],
        setSelect: [() => this.onZoom()],
        setScale: [(plot, scale) => scale === "x" && this.#zoomed(plot)],
      },
    };
  }

  #zoomed(plot) {
    const [first, last] = [plot.data[0][0], plot.data[0].at(-1)];
    this.zoomed = plot.scales.x.min > first || plot.scales.x.max < last;
    this.figure.toggleAttribute("data-zoomed", this.zoomed);
  }

  #describe() {
    const said = this.curves.filter((curve) => !curve.faint).map((curve) => this.#summary(curve));
    const levels = this.lines.map(({ label, value }) => `${label} at ${this.format(value)}`);
    this.canvas.setAttribute(
      "aria-label",
      [`${this.title}.`, ...said, ...levels, "Arrow keys move along the curve."].join(" "),
    );
    const longest = this.curves.reduce((most, { steps }) => Math.max(most, steps.length), 0);
    Object.assign(this.figure.dataset, { curves: this.curves.length, points: longest });
    for (const [index, curve] of this.curves.entries()) {
      const last = curve.values.findLast((value) => value !== null);
      this.figure.dataset[`last${index + 1}`] = last ?? "";
    }
  }

  #summary({ label, steps, values, format = this.format }) {
    let [low, high, last] = [null, null, null];
    for (const [index, value] of values.entries()) {
      if (value === null || value === undefined) continue;
      if (low === null || value < values[low]) low = index;
      if (high === null || value > values[high]) high = index;
      last = index;
    }
    if (last === null) return `${label}: no values yet.`;
    const at = (index) => `${format(values[index])} at ${this.xLabel} ${number(steps[index])}`;
    return `${label}: now ${at(last)}, lowest ${at(low)}, highest ${at(high)}.`;
  }

  /** The values under the cursor, or the last ones. */
  #read(index) {
    const data = this.plot?.data;
    if (!data?.[0].length) return fill(this.readout);
    const at = index ?? data[0].length - 1;
    const entries = this.curves.map((curve, place) => {
      if (curve.faint) return null;
      const value = valueAt(data[place + 1], at);
      const shown = value === null ? "–" : (curve.format ?? this.format)(value);
      return element(
        "span",
        { class: "entry" },
        element("span", { class: curve.dashed ? "swatch dashed" : "swatch", data: { color: curve.color } }),
        element("span", { class: "soft name" }, curve.label),
        element("span", { class: "figure" }, shown),
      );
    });
    const levels = this.lines.map(({ label, value }) =>
      element(
        "span",
        { class: "entry" },
        element("span", { class: "swatch level" }),
        element("span", { class: "soft" }, label),
        element("span", { class: "figure" }, this.format(value)),
      ),
    );
    fill(
      this.readout,
      element(
        "span",
        { class: "entry" },
        element("span", { class: "soft" }, this.xLabel),
        element("span", { class: "figure" }, number(data[0][at])),
      ),
      entries,
      levels,
    );
  }

  #move(event) {
    const data = this.plot?.data[0];
    const far = event.shiftKey ? Math.max(1, Math.round((data?.length ?? 0) / 20)) : 1;
    const by = { ArrowLeft: -far, ArrowRight: far, Home: -Infinity, End: Infinity }[event.key];
    if (by === undefined || !data?.length) return;
    event.preventDefault();
    const at = Math.min(data.length - 1, Math.max(0, (this.place ?? data.length - 1) + by));
    this.place = at;
    this.plot.setCursor({ left: this.plot.valToPos(data[at], "x"), top: 10 });
    this.#read(at);
    this.spoken.textContent = [...this.readout.children]
      .map((entry) => [...entry.children].map((part) => part.textContent).join(" "))
      .join(", ");
  }

  #resize() {
    if (!this.plot) return this.draw();
    if (this.canvas.clientWidth && this.canvas.clientWidth !== this.plot.width)
      this.plot.setSize({ width: this.canvas.clientWidth, height: HEIGHT });
    return undefined;
  }

  #setLog(on) {
    this.log = on;
    this.draw();
  }

  #setTable(on) {
    this.table.hidden = !on;
    this.canvas.hidden = on;
    if (on) this.#fillTable();
  }

  #fillTable() {
    const shown = this.curves.filter((curve) => !curve.faint);
    const [steps, ...columns] = shown.length ? uPlot.join(shown.map(({ steps: at, values }) => [at, values])) : [[]];
    const stride = Math.max(1, Math.ceil(steps.length / ROWS));
    const rows = [];
    for (let row = steps.length - 1; row >= 0; row -= stride) {
      const cells = columns.map((column, index) =>
        element(
          "td",
          {},
          column[row] === null || column[row] === undefined ? "" : (shown[index].format ?? this.format)(column[row]),
        ),
      );
      rows.push(element("tr", {}, element("th", { scope: "row" }, number(steps[row])), cells));
    }
    const head = element(
      "tr",
      {},
      element("th", { scope: "col" }, this.xLabel),
      shown.map(({ label }) => element("th", { scope: "col" }, label)),
    );
    const caption =
      stride > 1 ? `Every ${stride}th of ${number(steps.length)} rows, the newest first` : "The newest first";
    fill(
      this.table,
      element(
        "table",
        {},
        element("caption", { class: "soft small" }, caption),
        element("thead", {}, head),
        element("tbody", {}, rows),
      ),
    );
  }

  #button(text, pressed, act, hint) {
    const button = element(
      "button",
      { type: "button", class: "toggle", "aria-pressed": String(pressed), title: hint },
      text,
    );
    button.addEventListener("click", () => {
      const on = button.getAttribute("aria-pressed") !== "true";
      button.setAttribute("aria-pressed", String(on));
      act(on);
    });
    return button;
  }
}

/** An exponential mean that starts without a bias; gaps stay gaps. */
export function smoothed(values, weight) {
  let [mean, mass] = [0, 0];
  return values.map((value) => {
    if (value === null) return null;
    mean = weight * mean + (1 - weight) * value;
    mass = weight * mass + (1 - weight);
    return mean / mass;
  });
}

/** Lines at powers of ten only. */
function decade(value) {
  const power = Math.log10(value);
  return Math.abs(power - Math.round(power)) < DECADE ? value : null;
}

function positive(value) {
  return value > 0 ? value : null;
}

function faded(color) {
  return color.replace(/^#(.{6})$/, "#$140");
}

function short(value) {
  return Math.abs(value) >= 1e6 ? `${value / 1e6}M` : Math.abs(value) >= 1e4 ? `${value / 1e3}k` : number(value);
}

function levelOf(steps, ends, value) {
  const level = new Array(steps.length).fill(null);
  if (ends.length) [level[0], level[steps.length - 1]] = [value, value];
  return level;
}

function valueAt(column, index) {
  for (let at = index; at >= 0; at -= 1) if (column[at] !== null && column[at] !== undefined) return column[at];
  return null;
}

/** The cursor's point on a curve that has no value at just this step. */
function nearest(plot, series, index) {
  const column = plot.data[series];
  if (column[index] !== null && column[index] !== undefined) return index;
  for (let by = 1; by < 400; by += 1) {
    if (column[index - by] !== null && column[index - by] !== undefined) return index - by;
    if (column[index + by] !== null && column[index + by] !== undefined) return index + by;
  }
  return index;
}
