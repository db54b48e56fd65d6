// Runs side by side: what differs in what they were told, what came of it, their curves on one chart.

import { all, get, query } from "../parts/api.js";
import { Chart, smoothed } from "../parts/chart.js";
import { Curves, STEP_KEYS } from "../parts/curves.js";
import { element, fill } from "../parts/elements.js";
import { isShare, metric, metricName, percent, percentTick } from "../parts/format.js";
import { screen } from "../parts/frame.js";
import { compact } from "../parts/json.js";
import { chip, isEnded, runtime, title, watched } from "../parts/jobs.js";
import { every } from "../parts/live.js";
import { empty, failed, loading } from "../parts/states.js";

const MOST = 8;
const POINTS = 4000;
const INNER =
  /^epoch$|\/(penalty|skipped_share|sparsity|weight_norm|gradient_norm|clipped_share|seconds|samples_per_second)$/;

const { body } = screen("Compare");
const asked = new URLSearchParams(location.search).get("jobs") ?? "";
const ids = [...new Set(asked.split(",").filter((id) => /^job_[0-9a-f]{32}$/.test(id)))].slice(0, MOST);
const chooser = element("div", { class: "filters" });
const place = element("div", {});
fill(body, chooser, place);
await Promise.all([choose(), show()]);

async function choose() {
  const jobs = await all("/v1/jobs", {}, 200).catch(() => []);
  const others = jobs.filter((job) => !ids.includes(job.id));
  if (!others.length || ids.length >= MOST) return;
  const select = element(
    "select",
    { "aria-label": "Add a job" },
    element("option", { value: "" }, ids.length ? "Add a job…" : "Choose a job…"),
    others.map((job) => element("option", { value: job.id }, `${title(job)} (${job.status})`)),
  );
  select.addEventListener("change", () => go([...ids, select.value]));
  fill(chooser, select);
}

function go(chosen) {
  location.assign(`/compare${query({ jobs: chosen.join(",") })}`);
}

async function show() {
  if (!ids.length) {
    fill(
      place,
      empty(
        "Choose runs to compare",
        "Tick some in the list of jobs, or choose one here: their curves come on one chart, and what differs in their specs in one table.",
        element("a", { class: "button", href: "/jobs" }, "To the jobs"),
      ),
    );
    return;
  }
  fill(place, loading(6));
  try {
    let jobs = await Promise.all(ids.map((id) => get(`/v1/jobs/${id}`)));
    let comparison = await compared(jobs);
    const runs = jobs.map((job, index) => ({
      job,
      ...comparison.jobs[index],
      color: index + 1,
      label: labelOf(job, jobs),
      steps: new Curves(job, "step", STEP_KEYS),
      epochs: new Curves(job, "epoch"),
    }));
    const [table, noise, charts, spec] = Array.from({ length: 4 }, () => element("div", {}));
    const draw = chartsOf(charts, runs);
    const measure = (some) =>
      Promise.all(some.flatMap(({ steps, epochs }) => [steps.load(POINTS), epochs.load(POINTS)]));
    fill(place, table, noise, element("h2", {}, "What differs in the specs"), spec, element("h2", {}, "Curves"), charts);
    fill(table, results(runs));
    fill(noise, repetitions(runs, comparison.repetitions));
    fill(spec, specTable(runs, comparison.differences));
    await measure(runs);
    draw();
    if (jobs.every(isEnded)) return;
    every(2000, async () => {
      const running = runs.filter(({ job }) => !isEnded(job));
      if (!running.length) return;
      jobs = await Promise.all(jobs.map((job) => (isEnded(job) ? job : get(job.urls.self))));
      comparison = await compared(jobs);
      runs.forEach((run, index) =>
        Object.assign(run, { job: jobs[index], best: comparison.jobs[index].best, last: comparison.jobs[index].last }),
      );
      await measure(running);
      draw();
      fill(table, results(runs));
      fill(noise, repetitions(runs, comparison.repetitions));
    });
  } catch (problem) {
    fill(place, failed(problem, show));
  }
}

/** One job alone is compared with nothing, and still shown. */
async function compared(jobs) {
  if (jobs.length > 1) return get("/v1/compare", { jobs: ids.join(",") });
  return { jobs: [{ best: jobs[0].summary?.best, last: jobs[0].summary?.last }], differences: [], repetitions: [] };
}

/** What is chance: the spread of runs that differ in nothing but the seed. */
function repetitions(runs, found) {
  return found.map(({ jobs, metrics }) => {
    const names = Object.keys(metrics)
      .filter((name) => !INNER.test(name))
      .sort((one, other) => other.startsWith("validation") - one.startsWith("validation"));
    if (!names.length) return null;
    const own = runs.filter(({ job }) => jobs.includes(job.id));
    const rows = names.map((name) => {
      const { mean, std, minimum, maximum, count } = metrics[name];
      const ends = [metric(name, minimum), metric(name, maximum)];
      const cells = [metric(name, mean), std === null ? "–" : `± ${metric(name, std)}`, ...ends, count];
      return element(
        "tr",
        {},
        element("th", { scope: "row" }, capital(metricName(name))),
        cells.map((cell) => element("td", { class: "figure right" }, cell)),
      );
    });
    const heads = ["Best checkpoint's", "Mean", "Std", "Lowest", "Highest", "Runs"];
    return [
      element("h2", {}, "Noise"),
      element(
        "div",
        { class: "card scroll", role: "region", "aria-label": "Noise", tabindex: 0 },
        element(
          "table",
          {},
          element(
            "caption",
            { class: "soft small" },
            own.map(({ color, label }) => [element("span", { class: "swatch", data: { color } }), ` ${label}  `]),
            "differ only in the seed: what is not clearly larger than this is no difference.",
          ),
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
    ];
  });
}

/** Names that are the same are told apart. */
function labelOf(job, jobs) {
  const same = jobs.filter((other) => title(other) === title(job));
  return same.length > 1 ? `${title(job)} (${job.id.slice(-6)})` : title(job);
}

function results(runs) {
  const names = [...new Set(runs.flatMap(({ best }) => Object.keys(best ?? {})))]
    .filter((name) => !INNER.test(name))
    .sort((one, other) => other.startsWith("validation") - one.startsWith("validation"));
  const head = element(
    "tr",
    {},
    element("td", {}),
    runs.map(({ job, color, label }) =>
      element(
        "th",
        { scope: "col" },
        element("span", { class: "swatch", data: { color } }),
        element("a", { href: `/jobs/${job.id}` }, label),
      ),
    ),
  );
  const row = (title, cell) =>
    element(
      "tr",
      {},
      element("th", { scope: "row" }, title),
      runs.map((run) => element("td", {}, cell(run))),
    );
  return element(
    "div",
    { class: "card scroll", role: "region", "aria-label": "Results", tabindex: 0 },
    element(
      "table",
      { class: "side-by-side" },
      element("thead", {}, head),
      element(
        "tbody",
        {},
        row("State", ({ job }) => chip(job.status, job.desired_state)),
        names.map((name) => row(capital(metricName(name)), figuresOf(name, runs))),
        row("Took", ({ job }) => runtime(job)),
        ids.length > 1 && row("", ({ job, label }) => leaveOut(job, label)),
      ),
    ),
  );
}

/** The best checkpoint's figure, the better of the runs' in bold; the last one's below. */
function figuresOf(name, runs) {
  const bests = runs.map(({ best }) => best?.[name]).filter((value) => value !== undefined && value !== null);
  const top = bests.length < 2 ? null : /loss|error/.test(name) ? Math.min(...bests) : Math.max(...bests);
  return (run) => {
    const [best, last] = [run.best?.[name], run.last?.[name]];
    return [
      element("span", { class: best === top ? "figure strong" : "figure" }, metric(name, best)),
      last !== undefined && last !== best && element("span", { class: "soft small" }, `  last ${metric(name, last)}`),
    ];
  };
}

function leaveOut(job, label) {
  return element(
    "button",
    {
      type: "button",
      class: "quiet small",
      "aria-label": `Leave out ${label}`,
      on: { click: () => go(ids.filter((id) => id !== job.id)) },
    },
    "Leave out",
  );
}

function specTable(runs, differences) {
  if (runs.length < 2) return element("p", { class: "card soft" }, "Add another run.");
  const found = differences.filter(({ pointer }) => pointer !== "/name");
  if (!found.length) return element("p", { class: "card soft" }, "Nothing: their resolved specs are the same.");
  const head = element(
    "tr",
    {},
    element("th", { scope: "col" }, "Pointer"),
    runs.map(({ color, label }) =>
      element("th", { scope: "col" }, element("span", { class: "swatch", data: { color } }), label),
    ),
  );
  const said = (values, { job }) =>
    job.id in values ? element("code", {}, compact(values[job.id])) : element("span", { class: "soft" }, "absent");
  const rows = found.map(({ pointer, values }) =>
    element(
      "tr",
      {},
      element("th", { scope: "row" }, element("code", {}, pointer)),
      runs.map((run) => element("td", {}, said(values, run))),
    ),
  );
  return element(
    "div",
    { class: "card scroll", role: "region", "aria-label": "Differences of the specs", tabindex: 0 },
    element("table", { class: "side-by-side" }, element("thead", {}, head), element("tbody", {}, rows)),
  );
}

function chartsOf(place, runs) {
  const known = new Map();
  const grid = element("div", { class: "charts" });
  const more = element(
    "details",
    { class: "more" },
    element("summary", {}, "More curves"),
    element("div", { class: "charts" }),
  );
  const draw = (name, options, curvesOf, where = grid) => {
    const curves = runs
      .map(curvesOf)
      .filter((curve) => curve.values.some((value) => value !== null && value !== undefined));
    if (!curves.length) return;
    if (!known.has(name)) {
      known.set(name, new Chart(name, options));
      where.append(known.get(name).figure);
    }
    known.get(name).show(curves);
  };
  const byEpoch = (name, where) =>
    draw(
      capital(metricName(name)),
      formatsOf(name),
      ({ epochs, label, color }) => ({
        label,
        color,
        steps: epochs.steps,
        values: epochs.values(name),
        points: epochs.steps.length < 60,
      }),
      where,
    );
  const byStep = (title, name, options, isSmooth) =>
    draw(title, options, ({ steps, label, color }) => ({
      label,
      color,
      steps: steps.steps,
      values: isSmooth && steps.steps.length > 50 ? smoothed(steps.values(name), 0.9) : steps.values(name),
    }));
  const drawAll = () => {
    if (runs.every(({ steps, epochs }) => !steps.steps.length && !epochs.steps.length)) {
      fill(place, element("p", { class: "card soft" }, "No curves yet."));
      return;
    }
    if (!grid.isConnected) fill(place, grid, more);
    const names = [...new Set(runs.flatMap(({ epochs }) => epochs.names))].filter(
      (name) => !INNER.test(name) && name !== "train/loss",
    );
    const first = ["validation/loss", ...new Set(runs.map(({ job }) => watched(job)))].filter((name) =>
      names.includes(name),
    );
    byStep("Training loss, smoothed", "train/loss", {}, true);
    first.forEach((name) => byEpoch(name));
    byStep("Gradient norm, smoothed", "gradient_norm", { log: true }, true);
    byStep("Learning rate", "learning_rate", {}, false);
    more.hidden = names.length === first.length;
    if (more.open)
      names
        .filter((name) => !first.includes(name))
        .sort((one, other) => other.startsWith("validation") - one.startsWith("validation"))
        .forEach((name) => byEpoch(name, more.lastElementChild));
  };
  more.addEventListener("toggle", drawAll);
  return drawAll;
}

function capital(text) {
  return text[0].toUpperCase() + text.slice(1);
}

function formatsOf(name) {
  return isShare(name) ? { format: (value) => percent(value), tick: percentTick } : {};
}
