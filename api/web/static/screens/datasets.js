// Data sets, and a new one: named, uploaded while one watches, taken in by a worker.

import { all, maySubmit, post, Problem, remove, signIn } from "../parts/api.js";
import { contents, datasetChip, isSettled } from "../parts/datasets.js";
import { announce, element, fill } from "../parts/elements.js";
import { ago, bytes, duration, percent } from "../parts/format.js";
import { screen } from "../parts/frame.js";
import { every } from "../parts/live.js";
import { empty, failed, loading, notAllowed, notice } from "../parts/states.js";

const KINDS = ".zip,.tar,.gz,.tgz,.npz,.csv,.parquet";
const { body } = screen("Data sets");
const list = element("div", {});
let unsettled = false;

fill(body, maySubmit ? uploadForm() : notAllowed("uploading"), list);
fill(list, loading(3));
await show();
every(2000, async () => {
  if (unsettled) await show();
});

async function show() {
  try {
    const datasets = await all("/v1/datasets");
    unsettled = datasets.some((dataset) => !isSettled(dataset));
    fill(
      list,
      datasets.length
        ? cards(datasets)
        : empty(
            "No data sets yet",
            "Drop a zip or tar with a folder of images for each class, an npz, a csv or a Parquet file above. It is checked and packed before anything trains on it.",
          ),
    );
  } catch (problem) {
    fill(list, failed(problem, show));
  }
}

function cards(datasets) {
  return element(
    "ul",
    { class: "cards" },
    datasets.map((dataset) =>
      element(
        "li",
        { class: "card" },
        element(
          "header",
          {},
          element("h2", {}, element("a", { href: `/datasets/${dataset.id}` }, dataset.name)),
          datasetChip(dataset),
        ),
        element("p", {}, contents(dataset) ?? dataset.status_reason),
        element(
          "p",
          { class: "soft small" },
          [dataset.filename, bytes(dataset.upload_bytes)].filter((part) => part && part !== "–").join(", "),
          dataset.filename && ", ",
          ago(dataset.created_at),
        ),
      ),
    ),
  );
}

function uploadForm() {
  const file = element("input", { type: "file", id: "file", accept: KINDS, required: true });
  const name = element("input", { id: "name", maxlength: 200, required: true, autocomplete: "off" });
  const send = element("button", { class: "primary" }, "Upload");
  const told = element("div", { "aria-live": "polite" });
  const form = element(
    "form",
    { class: "card upload" },
    element(
      "div",
      { class: "field" },
      element("label", { for: "file" }, "File"),
      file,
      element(
        "p",
        { class: "soft small" },
        "Drop it here. A zip or tar with a folder of images for each class, an npz, a csv or a Parquet file.",
      ),
    ),
    element("div", { class: "field" }, element("label", { for: "name" }, "Name"), name),
    send,
    told,
  );
  file.addEventListener("change", () => {
    if (!name.value && file.files[0]) name.value = file.files[0].name.replace(/\.[^.]+$/, "").slice(0, 200);
  });
  for (const type of ["dragover", "dragleave", "drop"]) {
    form.addEventListener(type, (event) => {
      event.preventDefault();
      form.toggleAttribute("data-over", type === "dragover");
      if (type === "drop" && event.dataTransfer.files.length) {
        file.files = event.dataTransfer.files;
        file.dispatchEvent(new Event("change"));
      }
    });
  }
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    send.disabled = true;
    try {
      const dataset = await upload(name.value.trim(), file.files[0], told);
      location.assign(`/datasets/${dataset.id}`);
    } catch (problem) {
      fill(told, notice("error", problem.message));
      send.disabled = false;
    }
  });
  return form;
}

/** The data set, once all of the file is there. What could not be sent leaves nothing. */
async function upload(name, file, told) {
  const dataset = await post("/v1/datasets", { name });
  try {
    await put(`${dataset.urls.content}?filename=${encodeURIComponent(file.name)}`, file, progress(told, file));
  } catch (problem) {
    await remove(dataset.urls.self).catch(() => {});
    throw problem;
  }
  announce(`${name} is uploaded`);
  return dataset;
}

function progress(told, file) {
  const begun = performance.now();
  const bar = element("progress", { max: 1, value: 0, "aria-label": `Uploading ${file.name}` });
  const text = element("span", { class: "soft small" });
  fill(told, element("div", { class: "progress" }, bar, text));
  return (sent) => {
    const seconds = (performance.now() - begun) / 1000;
    bar.value = sent / file.size;
    const left =
      sent < file.size ? `, ${duration(((file.size - sent) * seconds) / Math.max(1, sent))} left` : ", being checked";
    text.textContent = `${percent(sent / file.size, 0)} of ${bytes(file.size)}${left}`;
  };
}

/** `fetch` says nothing of how far an upload is. */
function put(path, file, tell) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("PUT", path);
    request.setRequestHeader("Content-Type", "application/octet-stream");
    request.responseType = "json";
    request.upload.addEventListener("progress", (event) => tell(event.loaded));
    request.addEventListener("error", () =>
      reject(new Problem(0, { detail: "The connection broke: nothing was kept. Try again." })),
    );
    request.addEventListener("load", () => {
      if (request.status === 401) signIn();
      if (request.status < 300) resolve(request.response);
      else reject(new Problem(request.status, request.response ?? {}));
    });
    request.send(file);
  });
}
