// What the best evaluation says beyond its metrics: which classes are taken for which, and how well each is known.

import { element } from "./elements.js";
import { number, percent } from "./format.js";
import { looks, samplesOf } from "./samples.js";

const FIGURES = ["precision", "recall", "f1"];

const PICTURES = 24;

/** The sections of a report of a job, or null where there is none. */
export function evaluation(report, job) {
  if (!report?.classes && !report?.confusion) return null;
  const { classes, confusion } = report;
  return [
    element(
      "div",
      { class: "section" },
      element("h2", {}, "Evaluation"),
      element("p", { class: "soft small" }, `on what was held back, after epoch ${report.epoch}`),
    ),
    element(
      "div",
      { class: "columns" },
      confusion?.matrix && matrix(confusion.matrix, classes?.name ?? []),
      confusion?.mistakes?.length > 0 && mistakes(confusion),
      classes?.precision && table(classes, report.classes_left_out ?? 0),
    ),
    report.mistaken?.length > 0 && mistaken(report.mistaken, job),
  ];
}

/** The examples that were taken for something else, those first of which the network was surest. */
function mistaken(found, job) {
  const shown = found.slice(0, PICTURES);
  const list = element(
    "ul",
    { class: "samples" },
    shown.map(({ example, actual, predicted, confidence }) =>
      element(
        "li",
        { data: { example } },
        element("div", { class: "look" }),
        element("span", { class: "strong" }, actual),
        element("span", { class: "soft small" }, "taken for ", element("strong", {}, predicted)),
        confidence !== null && element("span", { class: "soft small figure" }, `${percent(confidence, 0)} sure`),
      ),
    ),
  );
  const query = { split: shown[0].split, index: shown.map(({ example }) => example) };
  samplesOf(job.dataset_id, query).then(
    ({ data }) =>
      data.forEach((sample, index) =>
        list.children[index].firstChild.append(...[looks(sample, `Example ${sample.index}`)].flat().filter(Boolean)),
      ),
    () => {}, // the data may be gone; what they were taken for is known all the same
  );
  return element(
    "section",
    { class: "card after", "aria-label": "Mistaken examples" },
    element("h3", {}, "Mistaken examples"),
    element(
      "p",
      { class: "soft small" },
      `${number(shown.length)} that were taken for another class, the surest mistakes first`,
    ),
    list,
  );
}

/** Rows are what is there, columns what it is taken for; the deeper the color, the more of its row. */
function matrix(counts, names) {
  const name = (index) => names[index] ?? String(index);
  const head = element(
    "tr",
    {},
    element("td", {}),
    counts.map((_, column) => element("th", { scope: "col" }, name(column))),
  );
  const rows = counts.map((row, actual) => {
    const total = row.reduce((sum, count) => sum + count, 0) || 1;
    const cells = row.map((count, predicted) =>
      element(
        "td",
        {
          class: actual === predicted ? "right-one" : "wrong-one",
          style: { "--depth": count / total },
          title: `${name(actual)} taken for ${name(predicted)}: ${number(count)} of ${number(total)}`,
        },
        count || "",
      ),
    );
    return element("tr", {}, element("th", { scope: "row" }, name(actual)), cells);
  });
  const caption = element("caption", { class: "soft small" }, "Rows: what it is. Columns: what it was taken for.");
  return element(
    "section",
    { class: "card", "aria-label": "Confusion matrix" },
    element("h3", {}, "Confusion matrix"),
    element(
      "div",
      { class: "scroll", tabindex: 0, role: "region", "aria-label": "Confusion matrix, as a table" },
      element("table", { class: "matrix" }, caption, element("thead", {}, head), element("tbody", {}, rows)),
    ),
  );
}

function mistakes({ mistakes: found, other_mistakes: others }) {
  const rows = found.map(({ actual, predicted, examples }) =>
    element(
      "tr",
      {},
      element("th", { scope: "row" }, actual),
      element("td", {}, predicted),
      element("td", { class: "figure right" }, number(examples)),
    ),
  );
  return element(
    "section",
    { class: "card", "aria-label": "Most frequent mistakes" },
    element("h3", {}, "Most frequent mistakes"),
    element(
      "div",
      { class: "scroll tall", tabindex: 0, role: "region", "aria-label": "Mistakes" },
      element(
        "table",
        {},
        element(
          "thead",
          {},
          element(
            "tr",
            {},
            ["Is", "Was taken for", "Examples"].map((head) => element("th", { scope: "col" }, head)),
          ),
        ),
        element("tbody", {}, rows),
      ),
    ),
    others > 0 && element("p", { class: "soft small" }, `and ${number(others)} others`),
  );
}

function table(classes, leftOut) {
  const labels = classes.name ?? classes.precision.map((_, index) => String(index));
  const shown = FIGURES.filter((figure) => classes[figure]);
  const rows = labels.map((label, index) =>
    element(
      "tr",
      {},
      element("th", { scope: "row" }, label),
      element("td", { class: "figure right" }, number(classes.examples?.[index])),
      shown.map((figure) => element("td", { class: "figure right" }, percent(classes[figure][index]))),
    ),
  );
  const heads = [
    "Class",
    "Examples",
    ...shown.map((figure) => (figure === "f1" ? "F1" : figure[0].toUpperCase() + figure.slice(1))),
  ];
  return element(
    "section",
    { class: "card", "aria-label": "Each class" },
    element("h3", {}, "Each class"),
    element(
      "div",
      { class: "scroll tall", tabindex: 0, role: "region", "aria-label": "Figures of each class" },
      element(
        "table",
        { class: "dense" },
        element(
          "thead",
          {},
          element(
            "tr",
            {},
            heads.map((head, index) => element("th", { scope: "col", class: index ? "right" : null }, head)),
          ),
        ),
        element("tbody", {}, rows),
      ),
    ),
    leftOut > 0 && element("p", { class: "soft small" }, `and ${number(leftOut)} more classes`),
  );
}
