// One data set: what is in it, how its classes are balanced, what was refused.

import { get, maySubmit, remove } from "../parts/api.js";
import { contents, datasetChip, isSettled } from "../parts/datasets.js";
import { bar, element, factsCard, fill } from "../parts/elements.js";
import { ago, bytes, number, percent, words } from "../parts/format.js";
import { confirmed, main, screen } from "../parts/frame.js";
import { every } from "../parts/live.js";
import { looks, samplesOf, target } from "../parts/samples.js";
import { failed, loading, notice } from "../parts/states.js";

const SHOWN = 200;
const VALUES = {
  numeric: ({ minimum, maximum, mean, std }) =>
    `${number(minimum)} to ${number(maximum)}, mean ${number(mean)}, deviation ${number(std)}`,
  categorical: ({ categories }) => `${number(categories.length)} categories: ${someOf(categories)}`,
  text: ({ distinct, longest, common }) =>
    `${number(distinct)} different words, at most ${number(longest)} in a text: ${someOf(common)}`,
};
const AT_ONCE = 24;
const id = location.pathname.split("/").at(-1);
fill(main, loading(5));
let dataset = await get(`/v1/datasets/${id}`).catch((problem) => {
  fill(screen("Data set").body, failed(problem));
});
if (dataset) {
  show();
  every(1000, async () => {
    if (isSettled(dataset)) return;
    dataset = await get(`/v1/datasets/${id}`);
    show();
  });
}

function show() {
  const { heading, body, actions } = screen(dataset.name);
  heading.after(
    element(
      "div",
      { class: "lead" },
      datasetChip(dataset),
      element("span", { class: "soft" }, contents(dataset) ?? dataset.status_reason),
    ),
  );
  fill(
    actions,
    maySubmit && element("button", { type: "button", class: "danger quiet", on: { click: drop } }, "Delete"),
    dataset.status === "ready" && element("a", { class: "button", href: `/jobs?dataset=${dataset.id}` }, "Its jobs"),
    dataset.status === "ready" &&
      maySubmit &&
      element("a", { class: "button primary", href: `/jobs/new?dataset=${dataset.id}` }, "Train on it"),
  );
  fill(
    body,
    dataset.failure && failure(dataset.failure),
    !isSettled(dataset) && waiting(),
    facts(),
    dataset.manifest && inside(dataset.manifest),
  );
}

async function drop() {
  if (
    !(await confirmed(
      "Delete this data set?",
      "Its files go with it. Jobs that name it must be deleted first.",
      "Delete",
    ))
  )
    return;
  try {
    await remove(dataset.urls.self);
    location.assign("/datasets");
  } catch (problem) {
    main.append(notice("error", problem.message));
  }
}

function waiting() {
  const { done, total } = dataset.progress ?? {};
  return element(
    "div",
    { class: "card" },
    element("p", { role: "status" }, dataset.status_reason),
    element("progress", { max: total ?? 1, value: done ?? null, "aria-label": "Progress" }),
  );
}

function failure({ code, detail, ...more }) {
  const rest = Object.entries(more).filter(([, value]) => value !== null && value !== undefined);
  return notice(
    "error",
    element("strong", {}, detail),
    element(
      "p",
      { class: "small" },
      words(code),
      rest.map(([name, value]) => [
        ", ",
        words(name),
        " ",
        element("code", {}, typeof value === "string" ? value : JSON.stringify(value)),
      ]),
    ),
  );
}

function facts() {
  const pairs = [
    ["File", dataset.filename, bytes(dataset.upload_bytes)],
    ["Created", ago(dataset.created_at), element("code", { class: "small" }, dataset.id)],
    dataset.upload_sha256 && [
      "sha256 of the upload",
      element("code", { class: "small" }, dataset.upload_sha256.slice(0, 16), "…"),
    ],
    dataset.content_sha256 && [
      "Identity of the content",
      element("code", { class: "small" }, dataset.content_sha256.slice(0, 16), "…"),
      "equal data have an equal one",
    ],
  ];
  return factsCard(pairs);
}

/** A grid of examples in a random order; each press of a button brings others. */
function examples(splits) {
  let [split, seed, offset] = [splits[0][0], 0, 0];
  const grid = element("ul", { class: "samples" });
  const more = element("button", { type: "button", on: { click: () => load() } }, "More");
  const told = element("p", { class: "soft small", role: "status" });
  const anew = (change) => {
    change();
    offset = 0;
    load();
  };
  const select = element(
    "select",
    { "aria-label": "Part" },
    splits.map(([name, { examples: count }]) => element("option", { value: name }, `${name} (${number(count)})`)),
  );
  select.addEventListener("change", () => anew(() => (split = select.value)));
  const shuffle = element("button", { type: "button", on: { click: () => anew(() => (seed += 1)) } }, "Shuffle");

  async function load() {
    more.disabled = true;
    try {
      const found = await samplesOf(id, { split, seed, offset, limit: AT_ONCE });
      if (!offset) fill(grid);
      grid.append(...found.data.map(card));
      offset += found.data.length;
      told.textContent = `${number(offset)} of ${number(found.examples)}, in random order`;
      more.hidden = !found.has_more;
    } catch (problem) {
      told.textContent = problem.message;
    }
    more.disabled = false;
  }

  load();
  return [
    element(
      "div",
      { class: "section" },
      element("h2", {}, "Examples"),
      element("div", { class: "section-tools" }, splits.length > 1 && select, shuffle),
    ),
    element("section", { class: "card", "aria-label": "Examples" }, grid, element("div", { class: "section" }, told, more)),
  ];
}

function card(sample) {
  const name = target(sample.target);
  return element(
    "li",
    { class: sample.image ? null : "wide" },
    element("div", { class: "look" }, looks(sample, `Example ${sample.index}`)),
    name !== null && element("span", { class: "strong" }, name),
    element("span", { class: "soft small figure" }, `no. ${number(sample.index)}`),
  );
}

function inside(manifest) {
  const splits = Object.entries(manifest.splits).sort(([one], [other]) =>
    one === "train" ? -1 : other === "train" ? 1 : one.localeCompare(other),
  );
  return [
    examples(splits),
    manifest.classes && [
      element("h2", {}, "Class balance"),
      element(
        "div",
        { class: "columns" },
        splits.filter(([, split]) => split.class_counts).map(([name, split]) => balance(name, split, manifest.classes)),
      ),
    ],
    manifest.columns && [element("h2", {}, "Columns"), columns([...manifest.columns, ...(manifest.texts ?? [])])],
    refused(manifest),
  ];
}

function balance(name, split, classes) {
  const most = Math.max(...split.class_counts, 1);
  const least = Math.min(...split.class_counts);
  const uneven =
    least === 0
      ? "a class has no examples"
      : most / least > 3
        ? `the largest class has ${(most / least).toFixed(1)} times as many as the smallest`
        : "balanced";
  const rows = classes
    .slice(0, SHOWN)
    .map((label, index) =>
      element(
        "tr",
        {},
        element("th", { scope: "row" }, label),
        element("td", { class: "bar-cell" }, bar(split.class_counts[index] / most)),
        element("td", { class: "figure right" }, number(split.class_counts[index])),
        element("td", { class: "soft right" }, percent(split.class_counts[index] / Math.max(1, split.examples))),
      ),
    );
  const rest = classes.length - SHOWN;
  return element(
    "section",
    { class: "card", "aria-label": `Classes of ${name}` },
    element("h3", {}, name),
    element("p", { class: "soft small" }, `${number(split.examples)} examples, ${uneven}`),
    element(
      "table",
      { class: "balance" },
      element(
        "thead",
        { class: "visually-hidden" },
        element(
          "tr",
          {},
          ["Class", "", "Examples", "Share"].map((head) =>
            element(head ? "th" : "td", { scope: head ? "col" : null }, head),
          ),
        ),
      ),
      element("tbody", {}, rows),
    ),
    rest > 0 && element("p", { class: "soft small" }, `and ${number(rest)} more`),
  );
}

function columns(all) {
  const rows = all.map((column) =>
    element(
      "tr",
      {},
      element("th", { scope: "row" }, column.name),
      element("td", {}, column.type),
      element("td", { class: "figure right" }, number(column.missing)),
      element("td", { class: "soft" }, VALUES[column.type]?.(column)),
    ),
  );
  return element(
    "div",
    { class: "card scroll", role: "region", "aria-label": "Columns", tabindex: 0 },
    element(
      "table",
      {},
      element(
        "thead",
        {},
        element(
          "tr",
          {},
          ["Column", "Type", "Missing", "Values"].map((head) => element("th", { scope: "col" }, head)),
        ),
      ),
      element("tbody", {}, rows),
    ),
  );
}

function someOf(words) {
  return words.slice(0, 6).join(", ") + (words.length > 6 ? ", …" : "");
}

function refused(manifest) {
  const heading = element("h2", {}, "Refused");
  if (!manifest.skipped_total)
    return [heading, element("p", { class: "card soft" }, "Nothing: every entry of the upload is in it.")];
  const rows = manifest.skipped.map(({ entry, reason }) =>
    element("tr", {}, element("th", { scope: "row" }, element("code", {}, entry)), element("td", {}, reason)),
  );
  const more = manifest.skipped_total - manifest.skipped.length;
  return [
    heading,
    element(
      "div",
      { class: "card scroll", role: "region", "aria-label": "Refused entries", tabindex: 0 },
      element(
        "table",
        {},
        element(
          "caption",
          { class: "soft small" },
          `${number(manifest.skipped_total)} entries were left out`,
          more > 0 && `, the first ${number(manifest.skipped.length)} are listed`,
        ),
        element(
          "thead",
          {},
          element("tr", {}, element("th", { scope: "col" }, "Entry"), element("th", { scope: "col" }, "Why")),
        ),
        element("tbody", {}, rows),
      ),
    ),
  ];
}
