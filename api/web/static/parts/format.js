// Numbers, sizes and times as people read them.

import { element } from "./elements.js";

const SHARES = /(^|[/_])(accuracy|share|sparsity|precision|recall|f1)(_macro|_micro|_weighted)?$/;

export function number(value) {
  if (value === null || value === undefined) return "–";
  if (value === 0 || Number.isInteger(value)) return value.toLocaleString("en");
  const size = Math.abs(value);
  return size < 1e-3 || size >= 1e6 ? value.toExponential(2) : String(Number(value.toPrecision(4)));
}

export function percent(value, digits = 1) {
  return value === null || value === undefined ? "–" : `${(value * 100).toFixed(digits)} %`;
}

/** A share on an axis: with the digits that it needs, and no more. */
export function percentTick(value) {
  return value === null || value === undefined ? "–" : `${Number((value * 100).toPrecision(4))} %`;
}

/** A metric as its name asks for: shares in percent. */
export function metric(name, value) {
  return isShare(name) ? percent(value) : number(value);
}

export function isShare(name) {
  return SHARES.test(name);
}

/** `validation/top_5_accuracy` → `top 5 accuracy, validation`. */
export function metricName(name) {
  const [part, ...rest] = name.split("/");
  return rest.length ? `${words(rest.join("/"))}, ${part}` : words(name);
}

export function words(name) {
  return name.replaceAll("_", " ").replace("roc auc", "ROC AUC").replace(/\bf1\b/, "F1");
}

export function bytes(count) {
  if (count === null || count === undefined) return "–";
  const units = ["B", "kB", "MB", "GB", "TB"];
  let unit = 0;
  while (count >= 1000 && unit < units.length - 1) [count, unit] = [count / 1000, unit + 1];
  return `${unit && count < 100 ? count.toFixed(1) : Math.round(count)} ${units[unit]}`;
}

export function duration(seconds) {
  if (seconds === null || seconds === undefined || !Number.isFinite(seconds)) return "–";
  if (seconds < 1) return `${(seconds * 1000).toFixed(0)} ms`;
  if (seconds < 60) return `${seconds.toFixed(seconds < 10 ? 1 : 0)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${Math.floor(seconds % 60)} s`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} h ${minutes % 60} min` : `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

export function secondsBetween(start, end) {
  return start ? ((end ? new Date(end) : new Date()) - new Date(start)) / 1000 : null;
}

/** “3 min ago”; the moment itself is its title. */
export function ago(moment) {
  const title = new Date(moment).toLocaleString();
  return element("time", { datetime: moment, title, data: { ago: "" } }, sinceWords(moment));
}

export function clock(moment) {
  const shown = new Date(moment).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit" });
  return element("time", { datetime: moment, title: new Date(moment).toLocaleString() }, shown);
}

/** Times that stand on the page go on. */
setInterval(() => {
  for (const time of document.querySelectorAll("time[data-ago]")) time.textContent = sinceWords(time.dateTime);
}, 20_000);

function sinceWords(moment) {
  const seconds = (Date.now() - new Date(moment)) / 1000;
  if (seconds < 10) return "just now";
  if (seconds < 60) return `${Math.floor(seconds)} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ago`;
  if (seconds < 7 * 86400) return `${Math.floor(seconds / 86400)} d ago`;
  return new Date(moment).toLocaleDateString([], { year: "numeric", month: "short", day: "numeric" });
}
