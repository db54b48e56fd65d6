// A job in few words: its state, what it trains with, how far it is, how well it does.

import { element } from "./elements.js";
import { duration, metric, metricName, number, percent, secondsBetween } from "./format.js";

export const ENDED = ["succeeded", "failed", "cancelled"];
export const ACTIVE = ["queued", "starting", "running", "paused"];

export function isEnded(job) {
  return ENDED.includes(job.status);
}

export function title(job) {
  return job.name ?? `Job ${job.id.slice(-8)}`;
}

/** Where it is, or where it is on its way to. */
export function chip(status, wish = "run") {
  const [shown, text] = ON_THE_WAY[wish]?.(status) ?? [status, status];
  return element("span", { class: "chip", data: { status: shown } }, text);
}

const ON_THE_WAY = {
  cancel: (status) => (ENDED.includes(status) ? null : ["cancelled", "stopping"]),
  pause: (status) => (["starting", "running"].includes(status) ? ["paused", "pausing"] : null),
};

/** `resnet 18 · sgd 0.1 · cosine` */
export function gist(spec) {
  const { network = {}, optimizer = {}, schedule = {} } = spec;
  const depth = network.depth ?? network.widths?.length ?? network.hidden?.length;
  const parts = [
    [network.type, depth].filter((part) => part !== undefined && part !== null).join(" "),
    [optimizer.type, optimizer.learning_rate && number(optimizer.learning_rate)].filter(Boolean).join(" "),
    schedule.type,
  ];
  return parts.filter(Boolean).join(" · ");
}

export function tags({ tags: all = [] }) {
  return (
    all.length > 0 &&
    element(
      "div",
      { class: "tags" },
      all.map((tag) => element("span", { class: "badge plain" }, tag)),
    )
  );
}

export function progressOf(job) {
  const { step, steps, epoch, epochs, eta_seconds: left } = job.progress ?? {};
  if (!steps) return null;
  const share = Math.min(1, step / steps);
  const text = epochs ? `epoch ${epoch} of ${epochs}` : `step ${number(step)} of ${number(steps)}`;
  const rest = !isEnded(job) && left ? `, ${duration(left)} left` : "";
  return element(
    "div",
    { class: "progress" },
    element("progress", { max: 1, value: share, "aria-label": "Progress" }, percent(share, 0)),
    element("span", { class: "soft small" }, text + rest),
  );
}

/** What the best checkpoint is chosen by, or else the loss. */
export function watched(job) {
  return job.resolved_spec?.checkpoints?.keep_best?.metric ?? "train/loss";
}

export function result(job) {
  const name = watched(job);
  const value = job.summary?.best?.[name];
  if (value === undefined || value === null) return null;
  return element("span", { title: `best ${metricName(name)}`, class: "figure" }, metric(name, value));
}

export function runtime(job) {
  return job.started_at ? duration(secondsBetween(job.started_at, job.finished_at)) : "–";
}

export function forkLink(job, text = "New job from this") {
  return element("a", { class: "button", href: `/jobs/new?from=${job.id}` }, text);
}
