// The jobs of the project: what they do now, and why one waits.

import { all, get, maySubmit, query } from "../parts/api.js";
import { announce, element, fill } from "../parts/elements.js";
import { ago } from "../parts/format.js";
import { newJobLink, screen } from "../parts/frame.js";
import { ACTIVE, chip, gist, isEnded, progressOf, result, runtime, tags, title } from "../parts/jobs.js";
import { every } from "../parts/live.js";
import { empty, failed, loading } from "../parts/states.js";

const SHOWN = { all: [], active: ACTIVE, succeeded: ["succeeded"], failed: ["failed"], cancelled: ["cancelled"] };
const WAITS = ["queued", "starting", "paused", "failed"];
const LOOK = 2000;
const PAGE = 100;

const { body, actions } = screen("Jobs", maySubmit ? newJobLink() : null);
const asked = new URLSearchParams(location.search);
const filter = {
  state: asked.get("state") in SHOWN ? asked.get("state") : "all",
  dataset: asked.get("dataset") ?? "",
  name: asked.get("name") ?? "",
};
const rows = new Map();
const jobs = new Map();
const chosen = new Set();
let [after, more, busy, generation] = [undefined, false, false, 0];

const compare = element("a", { class: "button", href: "/compare", hidden: true }, "Compare");
actions.prepend(compare);

const search = element("input", {
  type: "search",
  placeholder: "Name",
  "aria-label": "Name contains",
  value: filter.name,
});
const datasets = element("select", { "aria-label": "Data set" }, element("option", { value: "" }, "All data sets"));
const states = Object.keys(SHOWN).map((state) =>
  element(
    "button",
    { type: "button", class: "toggle", "aria-pressed": String(state === filter.state), data: { state } },
    state,
  ),
);
const count = element("span", { class: "soft small", role: "status" });
const filters = element(
  "div",
  { class: "filters", role: "search" },
  element("div", { class: "segments", role: "group", "aria-label": "State" }, states),
  datasets,
  search,
  count,
);
const list = element("div", {});
const end = element("div", { class: "end" });
fill(body, filters, list, end);

const table = element("tbody", {});
const wholeTable = element(
  "div",
  { class: "card scroll", role: "region", "aria-label": "Jobs", tabindex: 0 },
  element(
    "table",
    { class: "jobs" },
    element(
      "thead",
      {},
      element(
        "tr",
        {},
        ["Compare", "Job", "State", "Progress", "Best", "Created", "Took"].map((name, index) =>
          element(
            "th",
            { scope: "col", class: ["Best", "Took"].includes(name) ? "right" : null },
            index ? name : element("span", { class: "visually-hidden" }, name),
          ),
        ),
      ),
    ),
    table,
  ),
);

states.forEach((button) => button.addEventListener("click", () => change({ state: button.dataset.state })));
datasets.addEventListener("change", () => change({ dataset: datasets.value }));
let typing;
search.addEventListener("input", () => {
  clearTimeout(typing);
  typing = setTimeout(() => change({ name: search.value.trim() }), 250);
});

function change(values) {
  Object.assign(filter, values);
  states.forEach((button) => button.setAttribute("aria-pressed", String(button.dataset.state === filter.state)));
  const shown = { state: filter.state === "all" ? "" : filter.state, dataset: filter.dataset, name: filter.name };
  history.replaceState(null, "", `/jobs${query(shown)}`);
  begin();
}

function parameters() {
  return { status: SHOWN[filter.state], dataset: filter.dataset, name: filter.name };
}

async function begin() {
  generation += 1;
  [after, more, busy] = [undefined, false, false];
  rows.clear();
  jobs.clear();
  table.replaceChildren();
  fill(list, loading(6));
  await next();
}

async function next() {
  if (busy) return;
  busy = true;
  const mine = generation;
  try {
    const page = await get("/v1/jobs", { ...parameters(), after, limit: PAGE });
    if (mine !== generation) return;
    page.data.forEach((job) => table.append(put(job)));
    [after, more] = [page.last_id, page.has_more];
    show();
  } catch (problem) {
    if (mine === generation) fill(list, failed(problem, begin));
  } finally {
    if (mine === generation) busy = false;
  }
}

function show() {
  const filtered = filter.state !== "all" || filter.dataset || filter.name;
  if (jobs.size) {
    if (!wholeTable.isConnected) fill(list, wholeTable);
  } else if (filtered) {
    fill(
      list,
      empty(
        "No job matches",
        "Nothing here has this state, data set and name.",
        element(
          "button",
          {
            type: "button",
            on: {
              click: () => {
                search.value = "";
                datasets.value = "";
                change({ state: "all", dataset: "", name: "" });
              },
            },
          },
          "Show all jobs",
        ),
      ),
    );
  } else {
    fill(
      list,
      empty(
        "No jobs yet",
        "A job trains a network from a spec. Upload data, say how to train, and watch it here.",
        maySubmit && newJobLink(),
        maySubmit && element("a", { class: "button", href: "/datasets" }, "Upload data"),
      ),
    );
  }
  count.textContent = jobs.size
    ? `${jobs.size.toLocaleString("en")}${more ? "+" : ""} ${jobs.size === 1 ? "job" : "jobs"}`
    : "";
  fill(end, more && element("button", { type: "button", class: "quiet", on: { click: next } }, "More"));
}

/** The row of a job, made or brought up to date. What may have the focus stays what it is. */
function put(job) {
  const before = jobs.get(job.id);
  const row = rows.get(job.id) ?? element("tr", { data: { job: job.id } }, choice(job), naming(job));
  jobs.set(job.id, job);
  rows.set(job.id, row);
  if (before && before.status !== job.status) announce(`${title(job)}: ${job.status}`);
  while (row.cells.length > 2) row.lastElementChild.remove();
  row.append(...standing(job));
  return row;
}

function choice(job) {
  const listen = { change: (event) => choose(job, event.target.checked) };
  const box = { type: "checkbox", "aria-label": `Compare ${title(job)}`, checked: chosen.has(job.id), on: listen };
  return element("td", { class: "narrow" }, element("input", box));
}

function naming(job) {
  const link = element("a", { href: `/jobs/${job.id}`, class: "name" }, title(job));
  return element("td", { class: "wide" }, link, element("div", { class: "soft small" }, gist(job.spec)), tags(job));
}

function standing(job) {
  const reason = WAITS.includes(job.status) && element("div", { class: "soft small reason" }, job.status_reason);
  const none = () => element("span", { class: "soft" }, "–");
  return [
    element("td", {}, chip(job.status, job.desired_state), reason),
    element("td", {}, progressOf(job) ?? none()),
    element("td", { class: "right" }, result(job) ?? none()),
    element("td", { class: "soft" }, ago(job.created_at)),
    element("td", { class: "soft right" }, runtime(job)),
  ];
}

function choose(job, isChosen) {
  if (isChosen) chosen.add(job.id);
  else chosen.delete(job.id);
  compare.hidden = chosen.size < 2;
  compare.textContent = `Compare ${chosen.size}`;
  compare.href = `/compare?jobs=${[...chosen].join(",")}`;
}

/** What runs or waits is looked at again, what has left that is asked for by name, and what is new is put on top. */
async function refresh() {
  if (busy) return;
  const mine = generation;
  const newest = jobs.keys().next().value;
  const kept = { dataset: filter.dataset, name: filter.name };
  const [active, fresh] = await Promise.all([
    get("/v1/jobs", { ...kept, status: ACTIVE, limit: PAGE }),
    get("/v1/jobs", { ...parameters(), after: newest, order: newest ? "asc" : "desc", limit: PAGE }),
  ]);
  const running = new Set(active.data.map((job) => job.id));
  const oldest = active.has_more ? active.last_id : "";
  const left = [...jobs.values()].filter((job) => !isEnded(job) && !running.has(job.id) && job.id > oldest);
  const ended = await Promise.all(left.slice(0, 20).map((job) => get(`/v1/jobs/${job.id}`).catch(() => gone(job))));
  if (mine !== generation) return;
  const wanted = SHOWN[filter.state];
  for (const job of [...active.data, ...ended].filter((one) => one && jobs.has(one.id))) {
    if (wanted.length && !wanted.includes(job.status)) drop(job);
    else put(job);
  }
  for (const job of fresh.data.sort((one, other) => (one.id < other.id ? -1 : 1))) if (!jobs.has(job.id)) prepend(job);
  show();
}

/** Somebody has deleted it. */
function gone(job) {
  drop(job);
  return null;
}

function prepend(job) {
  const others = [...jobs];
  jobs.clear();
  table.prepend(put(job));
  for (const [id, other] of others) jobs.set(id, other);
}

function drop(job) {
  rows.get(job.id)?.remove();
  rows.delete(job.id);
  jobs.delete(job.id);
}

new IntersectionObserver(
  (entries) => {
    if (more && entries.some((entry) => entry.isIntersecting)) next();
  },
  { rootMargin: "600px" },
).observe(end);

all("/v1/datasets")
  .then((found) => {
    for (const dataset of found) datasets.append(element("option", { value: dataset.id }, dataset.name));
    datasets.value = filter.dataset;
  })
  .catch(() => {});
await begin();
every(LOOK, refresh);
