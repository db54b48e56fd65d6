// What all screens have: a heading with its actions, the theme, questions before what cannot be undone.

import { element, fill, find } from "./elements.js";

const THEMES = { system: "Theme: system", light: "Theme: light", dark: "Theme: dark" };

export const main = find("#main");

/** The heading of a screen, and the place below it for what it shows. */
export function screen(title, ...actions) {
  document.title = `${title} · Trainwright`;
  const heading = element("h1", {}, title);
  const body = element("div", { class: "body" });
  const end = element("div", { class: "actions" }, actions);
  fill(main, element("div", { class: "heading" }, heading, end), body);
  return { heading, body, actions: end };
}

export function newJobLink() {
  return element("a", { class: "button primary", href: "/jobs/new" }, "New job");
}

/** Resolves to whether it was confirmed. */
export function confirmed(question, detail, yes) {
  const dialog = element(
    "dialog",
    { "aria-labelledby": "question" },
    element(
      "form",
      { method: "dialog" },
      element("h2", { id: "question" }, question),
      element("p", { class: "soft" }, detail),
      element(
        "div",
        { class: "actions" },
        element("button", { value: "no", class: "quiet", autofocus: true }, "Keep it"),
        element("button", { value: "yes", class: "danger" }, yes),
      ),
    ),
  );
  document.body.append(dialog);
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(dialog.returnValue === "yes");
    });
  });
}

/** A button that puts a text on the clipboard. */
export function copyButton(text, label = "Copy") {
  const button = element("button", { type: "button", class: "quiet small" }, label);
  button.addEventListener("click", async () => {
    const done = await navigator.clipboard?.writeText(text()).then(
      () => true,
      () => false,
    );
    button.textContent = done ? "Copied" : "Cannot copy here";
    setTimeout(() => (button.textContent = label), 1500);
  });
  return button;
}

const toggle = find("[data-theme-toggle]");
const showTheme = () => (toggle.textContent = THEMES[document.documentElement.dataset.theme ?? "system"]);
toggle.addEventListener("click", () => {
  const names = Object.keys(THEMES);
  const now = document.documentElement.dataset.theme ?? "system";
  const next = names[(names.indexOf(now) + 1) % names.length];
  localStorage.setItem("theme", next);
  if (next === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = next;
  showTheme();
  document.dispatchEvent(new Event("themechange"));
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () =>
  document.dispatchEvent(new Event("themechange")),
);
showTheme();
