// A heat map of every layer over the epochs: how large its gradient and its weights are, how far a step moves it.

import { element, fill } from "./elements.js";
import { number } from "./format.js";

const FIGURES = {
  update_ratio: ["Update ratio", "how far the epoch's last step moved the weights, as a share of them: near 0.001 is usual"],
  gradient_norm: ["Gradient norm", "of the epoch's last step, as the optimizer was given it"],
  weight_norm: ["Weight norm", "at the end of the epoch"],
};
const MOST_ROWS = 120;
const MOST_CELLS = 48;

/** Draws when called. @param {Curves} curves  of the interval `layer`. */
export function layersSection(place, curves) {
  let figure = "update_ratio";
  const table = element("div", {});
  const hint = element("p", { class: "soft small" });
  const buttons = Object.entries(FIGURES).map(([name, [text]]) =>
    element(
      "button",
      { type: "button", class: "toggle", "aria-pressed": String(name === figure), on: { click: () => choose(name) } },
      text,
    ),
  );

  function choose(name) {
    figure = name;
    buttons.forEach((button, index) =>
      button.setAttribute("aria-pressed", String(Object.keys(FIGURES)[index] === name)),
    );
    draw();
  }

  function draw() {
    const names = curves.names.filter((name) => name.startsWith(`${figure}/`));
    if (!names.length) return;
    if (!table.isConnected)
      fill(
        place,
        element(
          "div",
          { class: "section" },
          element("h2", {}, "Layers"),
          element("div", { class: "segments section-tools", role: "group", "aria-label": "What is shown" }, buttons),
        ),
        element("div", { class: "card heat" }, hint, table),
      );
    hint.textContent = `${FIGURES[figure][0]}: ${FIGURES[figure][1]}. Deeper is more, on a logarithmic scale.`;
    fill(table, heat(names, curves));
  }

  return draw;
}

function heat(names, curves) {
  const shown = names.slice(0, MOST_ROWS);
  const logs = shown.flatMap((name) => curves.values(name)).filter((value) => value > 0).map(Math.log10);
  const [low, high] = [Math.min(...logs), Math.max(...logs)];
  const depth = (value) => (value > 0 ? 0.08 + (0.92 * (Math.log10(value) - low)) / Math.max(high - low, 1e-9) : 0);
  const epochs = curves.values("epoch");
  const every = Math.ceil(epochs.length / MOST_CELLS);
  const places = epochs.map((_, index) => index).filter((index) => (epochs.length - 1 - index) % every === 0);
  const rows = shown.map((name) => {
    const values = curves.values(name);
    const layer = name.replace(/^[^/]*\//, "").replace(/\.weight$/, "");
    const last = values.at(-1);
    return element(
      "tr",
      {},
      element("th", { scope: "row" }, element("code", { class: "small" }, layer)),
      element(
        "td",
        { class: "strip" },
        element(
          "div",
          { role: "img", "aria-label": `${layer}: ${number(values[0])} at first, ${number(last)} at last` },
          places.map((index) =>
            element("i", {
              style: { "--depth": depth(values[index]) },
              title: `epoch ${epochs[index]}: ${number(values[index])}`,
            }),
          ),
        ),
      ),
      element("td", { class: "figure right" }, number(last)),
    );
  });
  const more = names.length - shown.length;
  return [
    element(
      "div",
      { class: "scroll tall", tabindex: 0, role: "region", "aria-label": "Layers over the epochs" },
      element(
        "table",
        { class: "dense" },
        element(
          "thead",
          {},
          element(
            "tr",
            {},
            element("th", { scope: "col" }, "Layer"),
            element("th", { scope: "col" }, `Epoch ${epochs[places[0]]} to ${epochs.at(-1)}`),
            element("th", { scope: "col", class: "right" }, "Last"),
          ),
        ),
        element("tbody", {}, rows),
      ),
    ),
    more > 0 && element("p", { class: "soft small" }, `and ${number(more)} more layers`),
  ];
}
