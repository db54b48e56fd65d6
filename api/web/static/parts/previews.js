// What a spec would do, before it runs: its learning rate, its first examples, its start. A worker shows them; each of
// the three stands where it stood until its next one has come.

import { post } from "./api.js";
import { Chart } from "./chart.js";
import { bar, element, fill } from "./elements.js";
import { number, percent, words } from "./format.js";

const PAUSE = 500;
const BREATH = 300;
/** Seconds: at first short, to tell why nothing comes, then long. */
const [FIRST, LONG] = [1.5, 25];

export class Previews {
  constructor() {
    this.parts = [
      new Preview("schedule", "Learning rate", new Rate()),
      new Preview("augmentation", "First examples", new Examples()),
      new Preview("initialization", "Start of the network", new Start()),
    ];
    this.root = element(
      "section",
      { class: "previews", "aria-label": "Before it runs" },
      element(
        "div",
        { class: "section" },
        element("h2", {}, "Before it runs"),
        element("p", { class: "soft small" }, "Made by a worker with the run's own code, on its own data."),
      ),
      this.parts.map((part) => part.root),
    );
  }

  /** Ask for those of a spec that can run. */
  ask(text) {
    this.stop();
    this.timer = setTimeout(() => this.parts.forEach((part) => part.ask(text)), PAUSE);
  }

  /** The spec is another one, or cannot run. */
  stop() {
    clearTimeout(this.timer);
    this.parts.forEach((part) => part.stop());
  }
}

class Preview {
  constructor(kind, title, view) {
    this.path = `/v1/previews/${kind}`;
    this.view = view;
    this.title = title;
    this.shown = null;
    this.state = element("div", { class: "card waiting", "aria-live": "polite" });
    this.root = element(
      "section",
      { class: `preview ${kind}`, "aria-label": title },
      this.state,
      view.root,
    );
    view.root.hidden = true;
    this.#say("empty", "Shown once the spec can run.");
  }

  stop() {
    this.controller?.abort();
    this.root.removeAttribute("aria-busy");
    this.root.toggleAttribute("data-stale", this.shown !== null);
  }

  async ask(text) {
    this.controller = new AbortController();
    const { signal } = this.controller;
    this.root.setAttribute("aria-busy", "true");
    if (!this.shown) this.#say("loading", element("div", { class: "skeleton" }), "A worker is making it…");
    try {
      let wait = FIRST;
      let preview;
      do {
        preview = await post(`${this.path}?wait=${wait}`, text, { signal, once: false });
        wait = LONG;
        if (preview.status === "queued") this.#say("waiting", reason(preview));
        if (preview.status !== "ready") await new Promise((resolve) => setTimeout(resolve, BREATH));
        if (signal.aborted) return;
      } while (preview.status === "queued" || preview.status === "processing");
      if (preview.status === "ready") this.#show(preview);
      else this.#say("failed", `It could not be made: ${preview.status_reason}.`);
    } catch (problem) {
      if (problem.name === "AbortError") return;
      this.#say(
        "failed",
        problem.message,
        element("button", { type: "button", class: "small", on: { click: () => this.ask(text) } }, "Try again"),
      );
    }
    this.root.removeAttribute("aria-busy");
  }

  #show(preview) {
    this.root.dataset.state = "ready";
    this.root.removeAttribute("data-stale");
    this.state.hidden = true;
    this.view.root.hidden = false;
    if (this.shown !== preview.id) this.view.show(preview);
    this.shown = preview.id;
  }

  #say(state, ...what) {
    this.root.dataset.state = state;
    this.root.removeAttribute("data-stale");
    this.shown = null;
    this.state.hidden = false;
    this.view.root.hidden = true;
    fill(this.state, element("h3", {}, this.title), what);
  }
}

function reason({ status_reason: why }) {
  return [
    element("p", {}, `${why[0].toUpperCase()}${why.slice(1)}.`),
    why.includes("none is online") && element("a", { href: "/workers" }, "Workers"),
  ];
}

class Rate {
  constructor() {
    this.chart = new Chart("Learning rate", { note: "of every step", tick: (rate) => String(Number(rate.toPrecision(3))) });
    this.notes = element("ul", { class: "notes soft small" });
    this.root = element("div", {}, this.chart.figure, this.notes);
  }

  show({ result }) {
    const curve = { label: "learning rate", steps: result.steps, values: result.learning_rate, color: 1 };
    this.chart.show([curve]);
    fill(
      this.notes,
      result.notes.map((note) => element("li", {}, note)),
    );
  }
}

class Start {
  constructor() {
    this.root = element("div", { class: "card" });
  }

  show({ result }) {
    const { verdict, detail, advice, layers, loss, examples } = result;
    fill(
      this.root,
      element("h3", {}, "Start of the network"),
      element("p", { class: "judgement" }, chip(verdict), element("span", {}, detail)),
      advice && element("p", { class: "advice" }, advice),
      element(
        "p",
        { class: "soft small" },
        `${number(examples)} examples of the first batch, forward and backward once; loss ${number(loss)}`,
      ),
      element(
        "div",
        { class: "scroll tall", tabindex: 0, role: "region", "aria-label": "Layers at the start" },
        element("table", { class: "dense" }, head(), element("tbody", {}, layers.map(row))),
      ),
    );
  }
}

const COLUMNS = ["Layer", "Verdict", "Start", "Shape", "Weights", "Outputs", "Dead units", "Gradient"];

function head() {
  const cells = COLUMNS.map((name, index) =>
    element("th", { scope: "col", class: index > 2 ? "right" : null }, name),
  );
  return element("thead", {}, element("tr", {}, cells));
}

function row(layer) {
  const figures = [
    layer.shape.join(" × "),
    spread(layer.weight_mean, layer.weight_std),
    spread(layer.activation_mean, layer.activation_std),
    layer.dead_share === null ? "–" : percent(layer.dead_share, 0),
    layer.gradient_norm === null ? "frozen" : number(layer.gradient_norm),
  ];
  return element(
    "tr",
    {},
    element("th", { scope: "row" }, layer.name),
    element("td", { title: layer.detail }, chip(layer.verdict)),
    element("td", {}, words(layer.start)),
    figures.map((figure) => element("td", { class: "figure right" }, figure)),
  );
}

function spread(mean, std) {
  return std === null ? "–" : `${number(mean)} ± ${number(std)}`;
}

function chip(verdict) {
  return element("span", { class: "chip", data: { verdict } }, verdict);
}

class Examples {
  constructor() {
    this.root = element("div", { class: "card" });
  }

  show({ result, urls }) {
    const { picture, operations, examples } = result;
    fill(
      this.root,
      element("h3", {}, "First examples"),
      picture ? grid(picture, urls.picture) : element("p", { class: "soft" }, "These data are no images to look at."),
      operations.length
        ? element(
            "ul",
            { class: "operations" },
            operations.map((operation) => did(operation, examples)),
          )
        : element("p", { class: "soft small" }, "The spec has no augmentation: a run sees them as they are stored."),
    );
  }
}

/** A column for each example: as it is stored, and below as the first step sees it. */
function grid({ cells, columns, gap, cell_width: width, cell_height: height }, url) {
  const image = (cell) =>
    element("img", {
      class: "crop",
      src: url,
      alt: cell.alt,
      style: {
        "--x": `${-cell.column * (width + gap)}px`,
        "--y": `${-cell.row * (height + gap)}px`,
        "--w": `${width}px`,
        "--h": `${height}px`,
      },
    });
  const column = (index) => {
    const [stored, seen] = [0, 1].map((wanted) => cells.find((cell) => cell.column === index && cell.row === wanted));
    return element(
      "li",
      {},
      image(stored),
      image(seen),
      element("span", { class: "name small", title: seen.label }, seen.label),
    );
  };
  return [
    element("p", { class: "soft small" }, "Above as they are stored, below as the first step of the run sees them."),
    element(
      "ul",
      { class: "before-after" },
      Array.from({ length: columns }, (_, index) => column(index)),
    ),
  ];
}

function did({ type, acts, changed }, examples) {
  const said = acts ? `${number(changed)} of ${number(examples)} changed` : "begins later in the run";
  return element(
    "li",
    {},
    element("span", {}, words(type)),
    bar(examples ? changed / examples : 0),
    element("span", { class: "soft small figure" }, said),
  );
}
