// Who trains, and why something waits.

import { all, get } from "../parts/api.js";
import { bar, element, fill } from "../parts/elements.js";
import { ago, number } from "../parts/format.js";
import { screen } from "../parts/frame.js";
import { title } from "../parts/jobs.js";
import { every } from "../parts/live.js";
import { empty, failed, loading } from "../parts/states.js";

const { body } = screen("Workers");
fill(body, loading(3));

async function show() {
  try {
    const [workers, queued] = await Promise.all([
      all("/v1/workers"),
      get("/v1/jobs", { status: "queued", order: "asc", limit: 5 }),
    ]);
    fill(body, summary(workers), workers.length ? cards(workers) : none(), waiting(queued));
  } catch (problem) {
    fill(body, failed(problem, show));
  }
}

function summary(workers) {
  const [slots, busy] = ["slots", "busy"].map((name) =>
    workers.filter(({ status }) => status === "online").reduce((sum, worker) => sum + worker[name], 0),
  );
  return workers.length
    ? element(
        "p",
        { class: "soft", role: "status" },
        `${number(busy)} of ${number(slots)} ${slots === 1 ? "slot" : "slots"} busy.`,
      )
    : null;
}

function none() {
  return empty(
    "No worker is online",
    "Jobs wait until one comes. On one machine the service starts its own; elsewhere, start one with “python -m worker serve”.",
  );
}

function cards(workers) {
  return element(
    "ul",
    { class: "cards" },
    workers.map((worker) =>
      element(
        "li",
        { class: "card" },
        element(
          "header",
          {},
          element("h2", {}, worker.device),
          element(
            "span",
            { class: "chip", data: { status: worker.status === "online" ? "running" : "queued" } },
            worker.status,
          ),
        ),
        bar(worker.busy / worker.slots),
        element("p", {}, `${worker.busy} of ${worker.slots} ${worker.slots === 1 ? "slot" : "slots"} busy`),
        element("p", { class: "soft small" }, "Up since ", ago(worker.started_at), ", heard of ", ago(worker.seen_at)),
        element("code", { class: "soft small" }, worker.id),
      ),
    ),
  );
}

function waiting(queued) {
  if (!queued.data.length) return element("p", { class: "soft" }, "Nothing waits.");
  return [
    element("h2", {}, "Waiting"),
    element(
      "ol",
      { class: "card plain rows" },
      queued.data.map((job) =>
        element(
          "li",
          {},
          element("a", { href: `/jobs/${job.id}` }, title(job)),
          element("span", { class: "soft" }, job.status_reason),
        ),
      ),
    ),
    queued.has_more && element("p", {}, element("a", { href: "/jobs?state=active" }, "All that run or wait")),
  ];
}

await show();
every(3000, show);
