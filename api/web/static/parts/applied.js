// What the techniques of a job have really done, as measured: family by family, whatever they tell.

import { element } from "./elements.js";
import { metric, number, words } from "./format.js";

export function applied(families) {
  const told = Object.entries(families ?? {})
    .map(([family, what]) => [family, [what].flat().filter((one) => one && typeof one === "object")])
    .filter(([, what]) => what.length);
  if (!told.length) return null;
  return element(
    "details",
    { class: "card applied" },
    element("summary", {}, "What its techniques have really done, as measured"),
    told.map(([family, what]) => section(words(family), what)),
  );
}

function section(title, what) {
  const columns = [...new Set(what.flatMap((one) => Object.keys(one)))];
  const head = element(
    "tr",
    {},
    columns.map((column) => element("th", { scope: "col" }, words(column))),
  );
  const rows = what.map((one) =>
    element(
      "tr",
      {},
      columns.map((column) => element("td", { class: "figure" }, shown(column, one[column]))),
    ),
  );
  return element(
    "section",
    { "aria-label": title },
    element("h3", {}, title),
    element(
      "div",
      { class: "scroll", tabindex: 0, role: "region", "aria-label": `${title}, measured` },
      element("table", { class: "dense" }, element("thead", {}, head), element("tbody", {}, rows)),
    ),
  );
}

function shown(name, value) {
  if (value === undefined || value === null) return "–";
  if (typeof value === "number") return metric(name, value);
  if (Array.isArray(value))
    return value.map((one) => (one && typeof one === "object" ? pairs(one) : shown(name, one))).join("; ");
  return typeof value === "object" ? pairs(value) : String(value);
}

function pairs(value) {
  return Object.entries(value)
    .map(([name, inner]) => `${words(name)} ${typeof inner === "number" ? number(inner) : shown(name, inner)}`)
    .join(", ");
}
