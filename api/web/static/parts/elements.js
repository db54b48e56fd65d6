// Elements made of data. Text stays text: nothing here, or anywhere in these scripts, reads markup out of a string.

/** @param {string} name @param {object} attributes  `on` has listeners, `data` data-*, `style` custom properties. */
export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) set(made, key, value);
  made.append(...content(children));
  return made;
}

/** In place of what is there. */
export function fill(parent, ...children) {
  parent.replaceChildren(...content(children));
  return parent;
}

export function find(selector, within = document) {
  return within.querySelector(selector);
}

/** A share as a bar; the number belongs beside it. */
export function bar(share) {
  return element("div", { class: "share", "aria-hidden": "true", style: { "--share": share } });
}

/** What is known of one thing. @param {Array} pairs  [label, value, more]; what has no value is left out. */
export function factsCard(pairs) {
  return element(
    "dl",
    { class: "facts card" },
    pairs
      .filter((pair) => pair && pair[1])
      .map(([label, value, more]) =>
        element(
          "div",
          {},
          element("dt", {}, label),
          element("dd", {}, value, more && element("div", { class: "soft small" }, more)),
        ),
      ),
  );
}

/** Said to those who listen to the page instead of looking at it. */
export function announce(text) {
  find("#announcer").textContent = text;
}

function content(children) {
  return children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false);
}

function set(made, key, value) {
  if (value === null || value === undefined || value === false) return;
  if (key === "on") for (const [type, listener] of Object.entries(value)) made.addEventListener(type, listener);
  else if (key === "data") Object.assign(made.dataset, value);
  else if (key === "style") for (const [name, text] of Object.entries(value)) made.style.setProperty(name, text);
  else made.setAttribute(key, value === true ? "" : value);
}
