// A new job: a spec that is checked while it is typed, and what it will take, before anything runs.

import { all, get, maySubmit, newKey, post } from "../parts/api.js";
import { contents } from "../parts/datasets.js";
import { Editor } from "../parts/editor.js";
import { announce, element, fill } from "../parts/elements.js";
import { bytes, number } from "../parts/format.js";
import { main, screen } from "../parts/frame.js";
import { pretty } from "../parts/json.js";
import { title } from "../parts/jobs.js";
import { Previews } from "../parts/previews.js";
import { Schema } from "../parts/schema.js";
import { failed, loading, notAllowed, notice } from "../parts/states.js";

const PAUSE = 300;
const asked = new URLSearchParams(location.search);

fill(main, loading(6));
if (maySubmit) await open();
else {
  const { body } = screen("New job");
  fill(body, notAllowed("submitting a job"));
}

async function open() {
  let loaded;
  try {
    const templates = fetch(new URL("../templates.json", import.meta.url)).then((answer) => answer.json());
    loaded = await Promise.all([
      get("/v1/schemas/job-spec.json"),
      all("/v1/datasets"),
      templates,
      all("/v1/jobs", {}, 100),
      asked.get("from") && get(`/v1/jobs/${asked.get("from")}`),
    ]);
  } catch (problem) {
    fill(main, failed(problem, open));
    return;
  }
  const [schema, datasets, templates, jobs, from] = loaded;
  const ready = datasets.filter(({ status }) => status === "ready");
  show(new Schema(schema), ready, templates, jobs, from);
}

function show(schema, datasets, templates, jobs, from) {
  const submit = element("button", { type: "button", class: "primary", disabled: true }, "Start training");
  const { body } = screen("New job", submit);
  const verdict = element("div", { class: "card verdict", "aria-live": "polite" });
  const problems = element("div", { id: "problems" });
  const said = element("div", {});
  const previews = new Previews();
  let [timer, controller, key] = [null, null, newKey()];

  const editor = new Editor({
    label: "Job spec, JSON. Control and space offer what may come next.",
    suggest: (pointer, isKey, spec) => suggestions(schema, datasets, pointer, isKey, spec),
    changed: () => {
      key = newKey();
      submit.disabled = true;
      previews.stop();
      controller?.abort(); // what it says would be of another text
      clearTimeout(timer);
      timer = setTimeout(validate, PAUSE);
    },
  });

  const start = startFrom(datasets, templates, jobs, (spec) => {
    editor.text = `${pretty(spec)}\n`;
  });
  fill(
    body,
    datasets.length
      ? null
      : notice(
          "info",
          "No data set is ready yet. ",
          element("a", { href: "/datasets" }, "Upload one"),
          ", then train on it.",
        ),
    start,
    said,
    element(
      "div",
      { class: "workbench" },
      editor.root,
      element("aside", { class: "side", "aria-label": "Check" }, verdict, problems),
    ),
    previews.root,
  );
  submit.addEventListener("click", send);
  editor.text = `${pretty(first(datasets, templates, from))}\n`;

  async function validate() {
    controller?.abort();
    controller = new AbortController();
    if (editor.parsed.error) {
      const { offset, message } = editor.parsed.error;
      const line = editor.text.slice(0, offset).split("\n").length;
      editor.report([]);
      fill(verdict, element("h2", {}, "Not JSON yet"), element("p", { class: "soft" }, `Line ${line}: ${message}`));
      fill(problems);
      return;
    }
    try {
      tell(await post("/v1/jobs/validate", editor.text, { signal: controller.signal, once: false }));
    } catch (problem) {
      if (problem.name === "AbortError") return;
      if (problem.errors?.length) tell({ valid: false, errors: problem.errors, warnings: [], estimate: null });
      else fill(verdict, failed(problem, validate));
    }
  }

  function tell({ valid, errors, warnings, estimate }) {
    const found = [
      ...errors.map((error) => ({ ...error, kind: "error" })),
      ...warnings.map((warning) => ({ ...warning, kind: "warning" })),
    ].map((one) => ({ ...one, pointer: one.pointer ?? "", isKey: one.code === "unknown_key" }));
    editor.report(found);
    submit.disabled = !valid;
    if (valid) previews.ask(editor.text);
    verdict.dataset.valid = String(valid);
    const counted = `${errors.length} ${errors.length === 1 ? "mistake" : "mistakes"}`;
    fill(
      verdict,
      element("h2", {}, valid ? "Ready to train" : counted),
      valid ? facts(estimate) : element("p", { class: "soft" }, "Each is marked where it stands."),
    );
    fill(
      problems,
      found.length > 0 &&
        element(
          "ul",
          { class: "problems" },
          found.map((one) => item(one)),
        ),
    );
  }

  function item({ pointer, detail, kind, suggestion, isKey }) {
    const mend =
      suggestion &&
      editor.has(pointer) &&
      element(
        "button",
        {
          type: "button",
          class: "small",
          on: { click: () => editor.replace(pointer, JSON.stringify(suggestion), isKey) },
        },
        `Use ${suggestion}`,
      );
    return element(
      "li",
      { class: `notice ${kind}` },
      element(
        "button",
        { type: "button", class: "link", on: { click: () => editor.goTo(pointer) } },
        `Line ${editor.lineOf(pointer)}`,
      ),
      pointer && element("code", { class: "small" }, pointer),
      element("p", {}, detail),
      mend,
    );
  }

  async function send() {
    submit.disabled = true;
    try {
      const job = await post("/v1/jobs", editor.text, { key });
      announce("The job is submitted");
      location.assign(`/jobs/${job.id}`);
    } catch (problem) {
      submit.disabled = false;
      if (problem.errors.length) tell({ valid: false, errors: problem.errors, warnings: [], estimate: null });
      else fill(said, notice("error", problem.message));
    }
  }
}

function first(datasets, templates, from) {
  if (from) return { ...from.spec, name: from.spec.name ? `${from.spec.name}, again`.slice(0, 200) : undefined };
  const dataset = datasets.find(({ id }) => id === asked.get("dataset")) ?? datasets[0];
  return filled(templates.find((template) => fits(template, dataset)) ?? templates[0], dataset);
}

function fits(template, dataset) {
  return !dataset || template.for.split(" ").includes(dataset.manifest.kind);
}

/** A template with the data set in it: its own validation part if it has one, for a table its last column. */
function filled({ spec }, dataset) {
  const made = structuredClone(spec);
  made.dataset.id = dataset?.id ?? "";
  const split = ["validation", "test"].find((name) => dataset?.manifest.splits[name]);
  if (split) made.dataset.validation = { split };
  if (dataset?.manifest.kind === "table") made.dataset.target = dataset.manifest.columns.at(-1).name;
  return made;
}

function startFrom(datasets, templates, jobs, put) {
  const data = element(
    "select",
    { id: "data" },
    datasets.map((dataset) => element("option", { value: dataset.id }, `${dataset.name}: ${contents(dataset)}`)),
  );
  if (asked.get("dataset")) data.value = asked.get("dataset");
  const source = element("select", { id: "source" });
  const chosen = () => datasets.find(({ id }) => id === data.value);
  const offer = () =>
    fill(
      source,
      element("option", { value: "" }, "Choose…"),
      element(
        "optgroup",
        { label: "Templates" },
        templates.map(
          (template, index) =>
            fits(template, chosen()) && element("option", { value: `template ${index}` }, template.name),
        ),
      ),
      jobs.length > 0 &&
        element(
          "optgroup",
          { label: "Earlier jobs" },
          jobs
            .slice(0, 50)
            .map((job, index) => element("option", { value: `job ${index}` }, `${title(job)} (${job.status})`)),
        ),
    );
  data.addEventListener("change", () => {
    offer();
    put(
      filled(
        templates.find((template) => fits(template, chosen())),
        chosen(),
      ),
    );
  });
  source.addEventListener("change", () => {
    const [kind, index] = source.value.split(" ");
    if (kind === "template") put(filled(templates[index], chosen()));
    if (kind === "job") put({ ...jobs[index].spec, dataset: { ...jobs[index].spec.dataset, id: data.value } });
  });
  offer();
  return element(
    "div",
    { class: "filters" },
    element("label", { for: "data" }, "Data set"),
    data,
    element("label", { for: "source" }, "Start from"),
    source,
  );
}

function suggestions(schema, datasets, pointer, isKey, spec) {
  if (isKey) {
    return schema
      .keys(pointer, spec)
      .filter(({ present }) => !present)
      .map(({ name, description, value }) => ({ text: `${JSON.stringify(name)}: ${value}`, label: name, description }));
  }
  if (pointer === "/dataset/id")
    return datasets.map((dataset) => ({
      text: JSON.stringify(dataset.id),
      label: dataset.name,
      description: contents(dataset),
    }));
  return schema.values(pointer, spec).map(({ text, description }) => ({
    text: text.replace(/^\{"type":/, '{"type": '),
    label: text.replace(/^\{"type":"(.*)"\}$/, "$1").replaceAll('"', ""),
    description,
  }));
}

function facts({ parameters, memory_bytes: memory, steps, steps_per_epoch: perEpoch, checkpoint_bytes: saved }) {
  const pairs = [
    ["Parameters", number(parameters)],
    ["Memory", bytes(memory)],
    ["Steps", `${number(steps)}, ${number(perEpoch)} an epoch`],
    ["Checkpoint", bytes(saved)],
  ];
  return element(
    "dl",
    { class: "pairs" },
    pairs.map(([label, value]) => [element("dt", {}, label), element("dd", { class: "figure" }, value)]),
  );
}
