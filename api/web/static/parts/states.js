// What stands where data will be, or cannot be: loading, nothing yet, not allowed, gone wrong.

import { element } from "./elements.js";

export function loading(rows = 4) {
  const bars = Array.from({ length: rows }, () => element("div", { class: "skeleton" }));
  return element(
    "div",
    { class: "loading", role: "status" },
    element("span", { class: "visually-hidden" }, "Loading"),
    bars,
  );
}

export function empty(title, text, ...actions) {
  return element(
    "div",
    { class: "state" },
    curve(),
    element("h2", {}, title),
    element("p", { class: "soft" }, text),
    actions.length ? element("p", { class: "actions" }, actions) : null,
  );
}

/** A request that failed, in words, with the way on. */
export function failed(problem, retry) {
  const again = retry && element("button", { type: "button", on: { click: retry } }, "Try again");
  return element(
    "div",
    { class: "state", role: "alert" },
    element("h2", {}, TITLES[problem.status] ?? "That did not work"),
    element("p", { class: "soft" }, DETAILS[problem.status] ?? problem.message),
    problem.requestId && element("p", { class: "soft small" }, "Request ", element("code", {}, problem.requestId)),
    element("p", { class: "actions" }, again, element("a", { class: "button quiet", href: "/jobs" }, "To the jobs")),
  );
}

export function notAllowed(what) {
  return notice(
    "info",
    `Your key only reads: ${what} needs one with scope “submit”. Whoever manages the project can make one.`,
  );
}

export function notice(kind, ...children) {
  return element("div", { class: `notice ${kind}`, role: kind === "error" ? "alert" : null }, children);
}

const TITLES = { 0: "No connection", 403: "Not allowed", 404: "Nothing here", 503: "Not available just now" };
const DETAILS = {
  403: "Your key does not allow this. Whoever manages the project can make one that does.",
  404: "It does not exist, was deleted, or belongs to another project.",
};

function curve() {
  const space = "http://www.w3.org/2000/svg";
  const picture = document.createElementNS(space, "svg");
  picture.setAttribute("viewBox", "0 0 120 48");
  picture.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(space, "path");
  path.setAttribute("d", "M4 6c6 30 14 20 20 26s10-4 16 3 12 1 20 4 30 2 56 3");
  picture.append(path);
  return picture;
}
