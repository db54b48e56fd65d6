// What happened to a job, by attempt; rows of ends of epochs and checkpoints are one line each run of them.

import { element } from "./elements.js";
import { clock, number, words } from "./format.js";

const OFTEN = ["epoch.completed", "checkpoint.created"];
const TELLS = {
  "job.created": () => "Submitted",
  "job.claimed": () => "A worker took it up",
  "job.started": ({ data }) =>
    data.start_step ? `Training goes on after step ${number(data.start_step)}` : started(data),
  "job.released": ({ data }) => `Given back: ${data.reason}`,
  "job.lost": ({ data }) => `Lost: ${data.reason}`,
  "job.warned": ({ data }) => data.detail ?? data.message ?? "Warned",
  "job.cancel_requested": () => "A cancel was asked for",
  "job.pause_requested": () => "A pause was asked for",
  "job.run_requested": () => "Asked to go on after all",
  "job.paused": () => "Paused: saved, and its worker is free for others",
  "job.resumed": () => "To be gone on with",
  "job.retried": () => "To be tried again, from its newest checkpoint",
  "job.succeeded": ({ data }) => `Trained to the end (${words(data.reason ?? "completed")})`,
  "job.failed": ({ data }) => data.message ?? "Failed",
  "job.cancelled": () => "Cancelled",
};

export function timeline(events) {
  const attempts = new Map();
  for (const event of events) attempts.set(event.attempt, [...(attempts.get(event.attempt) ?? []), event]);
  return [...attempts]
    .reverse()
    .map(([attempt, of]) =>
      element(
        "section",
        { class: "attempt" },
        element("h3", {}, attempt ? `Attempt ${attempt}` : "Before the first attempt"),
        element("ol", { class: "timeline" }, gathered(of).reverse().map(entry)),
      ),
    );
}

function gathered(events) {
  const runs = [];
  for (const event of events) {
    const last = runs.at(-1);
    if (last && OFTEN.includes(event.type) && last.events.every(({ type }) => OFTEN.includes(type)))
      last.events.push(event);
    else runs.push({ events: [event] });
  }
  return runs;
}

function entry({ events }) {
  const [first, last] = [events[0], events.at(-1)];
  const text = OFTEN.includes(first.type)
    ? ofRun(events)
    : (TELLS[first.type]?.(first) ?? words(first.type.replace(".", ": ")));
  return element(
    "li",
    { data: { type: OFTEN.includes(first.type) ? "progress" : first.type } },
    clock(last.created_at),
    element("span", {}, text),
    element("span", { class: "soft small" }, first.actor),
  );
}

function ofRun(events) {
  const epochs = events.filter(({ type }) => type === "epoch.completed");
  const saved = events.length - epochs.length;
  const [from, to] = [epochs[0]?.data.epoch, epochs.at(-1)?.data.epoch];
  const parts = [];
  if (epochs.length) parts.push(from === to ? `Epoch ${from} completed` : `Epochs ${from} to ${to} completed`);
  if (saved) parts.push(saved === 1 ? "a checkpoint saved" : `${saved} checkpoints saved`);
  return parts.join(", ").replace(/^a/, (letter) => (epochs.length ? letter : "A"));
}

function started({ steps, parameters, training_examples: examples }) {
  const parts = [
    steps && `${number(steps)} steps`,
    parameters && `${number(parameters)} parameters`,
    examples && `${number(examples)} examples`,
  ];
  const told = parts.filter(Boolean).join(", ");
  return told ? `Training began: ${told}` : "Training began";
}
