// One job: where it is, its curves, what it left, what it was told to do.

import { get, maySubmit, post, remove } from "../parts/api.js";
import { applied } from "../parts/applied.js";
import { Chart, smoothed } from "../parts/chart.js";
import { Curves, STEP_KEYS } from "../parts/curves.js";
import { announce, element, factsCard, fill } from "../parts/elements.js";
import { evaluation } from "../parts/evaluation.js";
import { ago, bytes, isShare, metric, metricName, number, percent, percentTick, words } from "../parts/format.js";
import { confirmed, copyButton, main, screen } from "../parts/frame.js";
import { chip, forkLink, gist, isEnded, progressOf, runtime, tags, title, watched } from "../parts/jobs.js";
import { layersSection } from "../parts/layers.js";
import { every, follow, seldom } from "../parts/live.js";
import { logSection } from "../parts/log.js";
import { failed, loading, notice } from "../parts/states.js";
import { specView } from "../parts/spec.js";
import { timeline } from "../parts/timeline.js";

const PLAIN = ["epoch", "step"];
const INNER = ["penalty", "clipped_share", "skipped_share", "weight_norm", "sparsity", "seconds", "samples_per_second"];
const HIDDEN = [...INNER, "loss", "gradient_norm"];
const WORKING = ["queued", "starting", "running"];
const ACTIONS = [
  ["pause", "Pause", (job) => WORKING.includes(job.status) && job.desired_state === "run"],
  ["resume", "Resume", (job) => job.status === "paused" || job.desired_state === "pause"],
  ["retry", "Try again", (job) => ["failed", "cancelled"].includes(job.status) && job.failure?.code !== "diverged"],
  ["cancel", "Cancel", (job) => !isEnded(job) && job.desired_state !== "cancel", "danger quiet"],
  ["delete", "Delete", isEnded, "danger quiet"],
];
const datasets = new Map();
const id = location.pathname.split("/").at(-1);

fill(main, loading(6));
const job = await get(`/v1/jobs/${id}`).catch((problem) => {
  fill(screen("Job").body, failed(problem));
});
if (job) await show(job);

async function show(first) {
  let job = first;
  let isGoing = false;
  let events = [];
  const steps = new Curves(job, "step", STEP_KEYS);
  const epochs = new Curves(job, "epoch");
  const layers = new Curves(job, "layer");
  const { heading, body, actions } = screen(title(job));
  const state = element("div", { class: "lead" });
  heading.after(state);
  const [facts, verdict, charts, heat, done, evaluated, lasting, specs, history] = Array.from({ length: 9 }, () =>
    element("div", {}),
  );
  let evaluatedEpoch;
  fill(
    body,
    verdict,
    facts,
    charts,
    evaluated,
    heat,
    done,
    lasting,
    specs,
    history,
    logSection(() => job),
  );

  const drawn = curvesSection(charts, steps, epochs, () => job);
  const drawLayers = layersSection(heat, layers);

  function head() {
    heading.textContent = title(job);
    fill(state, chip(job.status, job.desired_state), element("span", { class: "soft" }, sentence(job)));
    fill(actions, buttons(job, steer));
    fill(
      verdict,
      failure(job),
      job.warnings.map((warning) => notice("warning", element("code", {}, warning.pointer), ` ${warning.detail}`)),
    );
    fill(facts, factsOf(job));
    const report = job.summary?.report;
    if (report?.epoch !== evaluatedEpoch) fill(evaluated, evaluation(report, job));
    evaluatedEpoch = report?.epoch;
    fill(done, applied(job.applied));
  }

  async function drop() {
    if (!(await confirmed("Delete this job?", "Its curves, events and checkpoints go with it.", "Delete the job")))
      return;
    isGoing = true; // from here on nobody asks for what may not be there any more
    try {
      await Promise.allSettled([steps, epochs, layers].map((curves) => curves.turn));
      await remove(job.urls.self);
      location.assign("/jobs");
    } catch (problem) {
      isGoing = false;
      fill(verdict, failed(problem, drop));
    }
  }

  async function steer(action) {
    if (action === "delete") return drop();
    if (
      action === "cancel" &&
      !(await confirmed(
        "Cancel this job?",
        "It stops at its next step. What it has saved so far stays, and it can be tried again from there.",
        "Cancel the job",
      ))
    )
      return undefined;
    try {
      const wasEnded = isEnded(job);
      job = await post(job.urls[action], undefined, { once: false });
      if (wasEnded) location.reload();
      head();
    } catch (problem) {
      fill(
        verdict,
        failed(problem, () => steer(action)),
      );
    }
  }

  async function look() {
    const before = job.status;
    job = await get(job.urls.self);
    if (job.status !== before) announce(`${title(job)}: ${job.status}`);
    head();
  }

  async function measure() {
    await Promise.all([steps.load(), epochs.load(), layers.load()]);
    drawn();
    drawLayers();
  }

  async function saved() {
    fill(lasting, checkpointsSection((await get(job.urls.checkpoints)).data, job));
  }

  async function tell() {
    fill(history, element("h2", {}, "Events"), element("div", { class: "card" }, timeline(events)));
  }

  head();
  fill(
    specs,
    element("h2", {}, "Spec"),
    element(
      "div",
      { class: "columns" },
      specView("As sent", job.spec),
      specView("As it runs: defaults are pale", job.resolved_spec, job.spec),
    ),
  );
  fill(charts, loading(3));
  events = (await get(job.urls.events, { limit: 1000 })).data;
  await Promise.all([measure(), saved(), tell()]).catch((problem) =>
    fill(
      charts,
      failed(problem, () => location.reload()),
    ),
  );
  if (isEnded(job)) return;

  const [soonLook, soonMeasure, soonSaved, soonTell] = [
    [400, look],
    [600, measure],
    [400, saved],
    [400, tell],
  ].map(([pause, work]) => seldom(pause, () => isGoing || work().catch(() => {})));
  const stop = follow(job, events.at(-1)?.id, (event) => {
    if (event.object === "job.progress") {
      job = { ...job, progress: event.progress };
      head();
      soonMeasure();
      if (event.status !== job.status) soonLook();
      return;
    }
    if (!events.some((known) => known.id === event.id)) events.push(event);
    if (event.type === "job.started" && event.attempt > 1)
      [steps, epochs, layers].forEach((curves) => curves.reload().catch(() => {}));
    soonTell();
    soonLook();
    if (event.type === "checkpoint.created") soonSaved();
    if (["epoch.completed", "job.started"].includes(event.type) || isEnded({ status: event.type.slice(4) }))
      soonMeasure();
    if (isEnded({ status: event.type.slice(4) })) {
      soonSaved();
      stop();
    }
  });
  every(5000, async () => {
    if (job.status === "queued") await look();
  });
}

function sentence(job) {
  if (job.status === "failed") return job.failure?.code ? words(job.failure.code) : "failed";
  const speed = job.status === "running" && job.progress?.samples_per_second;
  return speed ? `${job.status_reason}, ${number(Math.round(speed))} examples a second` : job.status_reason;
}

function buttons(job, steer) {
  const fitting = maySubmit
    ? ACTIONS.filter(([action, , fits]) => (job.urls[action] || action === "delete") && fits(job))
    : [];
  return [
    fitting.map(([action, text, , kind]) =>
      element("button", { type: "button", class: kind, on: { click: () => steer(action) } }, text),
    ),
    element("a", { class: "button quiet", href: `/compare?jobs=${job.id}` }, "Compare"),
    maySubmit && forkLink(job),
  ];
}

function failure(job) {
  if (!job.failure) return null;
  const { message, advice } = job.failure;
  return notice("error", element("strong", {}, message), advice && element("p", {}, "Try: ", advice));
}

function factsOf(job) {
  const name = watched(job);
  const [best, last] = [job.summary?.best, job.summary?.last];
  const pairs = [
    ["Progress", progressOf(job)],
    best &&
      best[name] !== undefined && [
        `Best ${metricName(name)}`,
        element("span", { class: "big figure" }, metric(name, best[name])),
        `epoch ${best.epoch}`,
      ],
    last &&
      last[name] !== undefined && [
        `Last ${metricName(name)}`,
        element("span", { class: "big figure" }, metric(name, last[name])),
        `epoch ${last.epoch}`,
      ],
    ["Trains with", gist(job.resolved_spec)],
    ["Data set", element("a", { href: `/datasets/${job.dataset_id}` }, datasetName(job.dataset_id))],
    ["Took", runtime(job), job.attempt > 1 && `${job.attempt} attempts`],
    [
      "Runs on",
      job.environment &&
        `${job.environment.device}, ${number(job.environment.threads)} ${job.environment.threads === 1 ? "thread" : "threads"}`,
      job.environment && `torch ${job.environment.torch}`,
    ],
    ["Created", ago(job.created_at), element("code", { class: "small" }, job.id)],
    ["Tags", tags(job)],
    ["Notes", job.notes],
  ];
  return factsCard(pairs);
}

function datasetName(datasetId) {
  const shown = element("span", {}, datasets.get(datasetId) ?? "…");
  if (!datasets.has(datasetId)) {
    datasets.set(datasetId, "…");
    get(`/v1/datasets/${datasetId}`).then(
      ({ name }) => {
        datasets.set(datasetId, name);
        document.querySelectorAll("[data-name-of]").forEach((node) => (node.textContent = name));
      },
      () => {},
    );
  }
  shown.dataset.nameOf = datasetId;
  return shown;
}

/** Draws all charts again when called. */
function curvesSection(place, steps, epochs, jobNow) {
  const grid = element("div", { class: "charts" });
  const more = element(
    "details",
    { class: "more", hidden: true },
    element("summary", {}, "More curves"),
    element("div", { class: "charts" }),
  );
  const slider = element("input", { type: "range", min: 0, max: 0.99, step: 0.01, value: 0.9, id: "smoothing" });
  const tools = element(
    "div",
    { class: "section-tools" },
    element("label", { for: "smoothing", class: "soft small" }, "Smoothing"),
    slider,
  );
  const known = new Map();
  let isShown = false;
  slider.addEventListener("input", seldom(80, draw));
  more.addEventListener("toggle", draw);

  function chart(name, options, where = grid) {
    if (!known.has(name)) {
      const made = new Chart(name, options);
      made.onZoom = seldom(50, () => zoomIn());
      known.set(name, made);
      where.append(made.figure);
    }
    return known.get(name);
  }

  /** Who looks closer gets every step. */
  async function zoomIn() {
    if (!steps.downsampled || steps.isFinest) return;
    await steps.loadAll();
    draw();
  }

  function byStep(name, label, color) {
    const values = steps.values(name);
    const weight = Number(slider.value);
    const raw = { label, steps: steps.steps, values, color };
    if (!weight || values.length < 50) return [raw];
    return [
      { ...raw, label: `${label}, each step`, faint: true },
      { ...raw, values: smoothed(values, weight) },
    ];
  }

  function byEpoch(name, label, color) {
    return {
      label,
      steps: epochs.steps,
      values: epochs.values(name),
      color,
      points: epochs.steps.length < 60,
      width: 2,
    };
  }

  function draw() {
    if (!steps.steps.length && !epochs.steps.length) {
      const waits = isEnded(jobNow()) ? "It ended before its first step." : "They appear with the first steps.";
      fill(place, element("h2", {}, "Curves"), element("p", { class: "card soft" }, `No curves yet. ${waits}`));
      return;
    }
    if (!isShown) fill(place, element("div", { class: "section" }, element("h2", {}, "Curves"), tools), grid, more);
    isShown = true;
    const loss = byStep("train/loss", "train", 1);
    if (epochs.names.includes("validation/loss")) loss.push(byEpoch("validation/loss", "validation", 2));
    const bad = steps.nonfinite["train/loss"]?.length;
    const losses = chart("Loss");
    losses.note.textContent = bad
      ? `${number(bad)} steps were not a number`
      : steps.downsampled
        ? "extremes kept; zoom for every step"
        : "";
    losses.show(loss);
    const shown = metricsOf(epochs);
    const chief = watched(jobNow()).replace(/^(train|validation)\//, "");
    const first = shown.find((name) => name === chief) ?? shown[0];
    if (first) both(first, grid);
    if (steps.names.includes("gradient_norm")) norms();
    if (steps.names.includes("learning_rate"))
      chart("Learning rate").show([
        { label: "learning rate", steps: steps.steps, values: steps.values("learning_rate"), color: 3 },
      ]);
    const others = [
      ...shown.filter((name) => name !== first),
      ...INNER.filter((name) => epochs.values(`train/${name}`).some((value) => value)),
    ];
    more.hidden = others.length === 0;
    if (more.open) others.forEach((name) => both(name, more.lastElementChild));
  }

  function both(name, where) {
    const parts = [
      ["train", 1],
      ["validation", 2],
    ].filter(([part]) => epochs.names.includes(`${part}/${name}`));
    chart(capital(words(name)), formatsOf(name), where).show(
      parts.map(([part, color]) => byEpoch(`${part}/${name}`, part, color)),
    );
  }

  function norms() {
    const { clipping } = jobNow().resolved_spec;
    const level = clipping?.max_norm ?? null;
    const shares = epochs.values("train/clipped_share").filter((value) => value !== null && value !== undefined);
    const share = shares.length ? shares.reduce((sum, value) => sum + value, 0) / shares.length : null;
    const shown = chart("Gradient norm", { log: true });
    shown.note.textContent =
      clipping && share !== null ? `${percent(share, 0)} of steps clipped` : clipping ? "" : "not clipped";
    shown.figure.dataset.clippedShare = share ?? "";
    shown.show(
      byStep("gradient_norm", "before clipping", 4),
      level === null ? [] : [{ label: "clipped above", value: level }],
    );
  }

  return draw;
}

function metricsOf(epochs) {
  const names = epochs.names
    .filter((name) => !PLAIN.includes(name))
    .map((name) => name.replace(/^(train|validation)\//, ""));
  return [...new Set(names)].filter((name) => !HIDDEN.includes(name));
}

function capital(text) {
  return text[0].toUpperCase() + text.slice(1);
}

function checkpointsSection(checkpoints, job) {
  const parts = [element("h2", {}, "Checkpoints")];
  if (!checkpoints.length)
    return [
      parts,
      element(
        "p",
        { class: "card soft" },
        isEnded(job) ? "It left none." : "None yet: the first comes with the first epoch.",
      ),
    ];
  const name = watched(job);
  const rows = [...checkpoints].reverse().map((checkpoint) =>
    element(
      "tr",
      {},
      element(
        "td",
        {},
        element("span", { class: "figure" }, number(checkpoint.epoch)),
        checkpoint.is_best && element("span", { class: "badge" }, "best"),
        checkpoint.kind === "last" && element("span", { class: "badge plain" }, "last"),
      ),
      element("td", { class: "figure right" }, number(checkpoint.step)),
      element("td", { class: "figure right" }, metric(name, checkpoint.metrics[name] ?? null)),
      element("td", { class: "figure right soft" }, bytes(checkpoint.bytes)),
      element(
        "td",
        {},
        element("code", { class: "small soft", title: checkpoint.sha256 }, checkpoint.sha256.slice(0, 12)),
        " ",
        copyButton(() => checkpoint.sha256, "Copy sha256"),
      ),
      element("td", { class: "soft" }, ago(checkpoint.created_at)),
      element(
        "td",
        { class: "right" },
        element(
          "a",
          {
            class: "button",
            href: checkpoint.urls.content,
            download: "",
            "aria-label": `Download the checkpoint of epoch ${checkpoint.epoch}`,
          },
          "Download",
        ),
      ),
    ),
  );
  const heads = ["Epoch", "Step", capital(metricName(name)), "Size", "sha256", "Saved", "Weights"];
  const classes = ["", "right", "right", "right", "", "", "right"];
  return [
    parts,
    element(
      "div",
      { class: "card scroll", role: "region", "aria-label": "Checkpoints", tabindex: 0 },
      element(
        "table",
        {},
        element(
          "thead",
          {},
          element(
            "tr",
            {},
            heads.map((head, index) => element("th", { scope: "col", class: classes[index] || null }, head)),
          ),
        ),
        element("tbody", {}, rows),
      ),
    ),
  ];
}

function formatsOf(name) {
  return isShare(name) ? { format: (value) => percent(value), tick: percentTick } : {};
}
