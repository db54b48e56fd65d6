// An editor of JSON: a text area, which every keyboard and screen reader knows, over its own colored image. Mistakes are
// underlined and said at the end of their line; what may come next is offered as it is typed.

import { element, fill } from "./elements.js";
import { cursorIn, read } from "./json.js";

const MOST_OFFERED = 60;
const PAIRS = { '"': '"', "{": "}", "[": "]" };

export class Editor {
  /** `suggest(pointer, isKey, document)` → `[{text, label, description}]`; `changed(text, parsed)` after each edit. */
  constructor({ label, suggest, changed }) {
    this.suggest = suggest;
    this.changed = changed;
    this.problems = [];
    this.offered = [];
    this.chosen = 0;
    this.image = element("code", {});
    this.numbers = element("div", { class: "numbers", "aria-hidden": "true" });
    this.remarks = element("div", { class: "remarks", "aria-hidden": "true" });
    this.popup = element("ul", {
      class: "offers",
      id: "offers",
      role: "listbox",
      "aria-label": "Suggestions",
      hidden: true,
    });
    this.area = element("textarea", {
      class: "source",
      "aria-label": label,
      "aria-controls": "offers",
      "aria-autocomplete": "list",
      "aria-describedby": "problems",
      spellcheck: "false",
      autocapitalize: "off",
      autocomplete: "off",
      wrap: "off",
      rows: 4,
    });
    this.area.addEventListener("input", (event) => this.#edited(event));
    this.area.addEventListener("keydown", (event) => this.#key(event));
    this.area.addEventListener("blur", () => this.#close());
    this.area.addEventListener("click", () => this.#close());
    this.layer = element(
      "div",
      { class: "layer" },
      element("pre", { "aria-hidden": "true" }, this.image),
      this.area,
      this.remarks,
      this.popup,
    );
    this.root = element(
      "div",
      { class: "editor card" },
      element("div", { class: "editor-scroll" }, this.numbers, this.layer),
    );
  }

  get text() {
    return this.area.value;
  }

  set text(value) {
    this.area.value = value;
    this.#edited();
  }

  /** `[{pointer, detail, kind, isKey}]`, shown where they belong: at the value, or at its key. */
  report(problems) {
    this.problems = problems;
    this.#paint();
  }

  lineOf(pointer) {
    return this.#line(this.#place(pointer).start);
  }

  /** Put the cursor where a pointer leads. */
  goTo(pointer) {
    const { start, end } = this.#place(pointer);
    this.area.focus();
    this.area.setSelectionRange(start, end);
  }

  /** Replace what stands at a pointer: its key when `isKey`, else its value. Undo works. */
  replace(pointer, text, isKey) {
    const place = this.parsed.places.get(pointer);
    const { start, end } = isKey ? place.key : place;
    this.area.focus();
    this.area.setSelectionRange(start, end);
    this.#insert(text);
  }

  has(pointer) {
    return this.parsed.places.has(pointer);
  }

  /** What may stand at the cursor, offered. */
  offer() {
    const cursor = cursorIn(this.parsed.tokens, this.area.selectionStart);
    const word = cursor.word.toLowerCase();
    const fitting = this.suggest(cursor.pointer, cursor.isKey, this.parsed.value).filter(({ label }) =>
      label.toLowerCase().includes(word),
    );
    fitting.sort((one, other) => other.label.toLowerCase().startsWith(word) - one.label.toLowerCase().startsWith(word));
    this.offered = fitting.slice(0, MOST_OFFERED);
    this.cursor = cursor;
    this.#choose(0);
    if (!this.offered.length) this.#close();
  }

  #edited(event) {
    this.parsed = read(this.text);
    this.#paint();
    this.changed(this.text, this.parsed);
    if (event?.inputType?.startsWith("insert") && /^["\w]$/.test(event.data ?? "")) this.offer();
    else this.#close();
  }

  #key(event) {
    const isOpen = !this.popup.hidden;
    if (event.key === " " && event.ctrlKey) {
      event.preventDefault();
      this.offer();
    } else if (isOpen && (event.key === "ArrowDown" || event.key === "ArrowUp")) {
      event.preventDefault();
      const count = this.offered.length;
      this.#choose((this.chosen + (event.key === "ArrowDown" ? 1 : count - 1)) % count);
    } else if (isOpen && (event.key === "Enter" || event.key === "Tab")) {
      event.preventDefault();
      this.#take(this.offered[this.chosen]);
    } else if (isOpen && event.key === "Escape") {
      event.preventDefault();
      this.#close();
    } else if (event.key === "Enter" && !event.isComposing) {
      event.preventDefault();
      this.#newLine();
    } else if (this.#pair(event.key)) event.preventDefault();
  }

  /** Quotes and brackets come in pairs; typing the second one steps over it. */
  #pair(key) {
    const { selectionStart: at, selectionEnd: end } = this.area;
    const next = this.text[end] ?? "";
    const { isQuoted } = cursorIn(this.parsed.tokens, at);
    if (this.text[at - 1] === "\\") return false;
    if (at === end && next === key && (key === '"' ? isQuoted : "}]".includes(key))) {
      this.area.selectionStart = at + 1;
      return true;
    }
    if (!(key in PAIRS) || isQuoted || at !== end || !/^[\s,}\]]?$/.test(next)) return false;
    this.#insert(key + PAIRS[key]);
    this.area.selectionStart = this.area.selectionEnd = at + 1;
    if (key === '"') this.offer();
    return true;
  }

  #newLine() {
    const before = this.text.slice(0, this.area.selectionStart);
    const indent = before.slice(before.lastIndexOf("\n") + 1).match(/^ */)[0];
    const opens = /[{[]\s*$/.test(before);
    const closes = opens && /^\s*[}\]]/.test(this.text.slice(this.area.selectionEnd));
    this.#insert(`\n${indent}${opens ? "  " : ""}${closes ? `\n${indent}` : ""}`);
    if (closes) this.area.selectionEnd = this.area.selectionStart -= indent.length + 1;
  }

  #take({ text }) {
    const { start, end, isKey } = this.cursor;
    this.area.setSelectionRange(start, end);
    const rest = this.text.slice(end);
    const last = isKey && /^\s*"/.test(rest) ? "," : "";
    const whole = isKey && /^\s*:/.test(rest) ? text.split(":")[0] : text + last;
    this.#insert(whole);
    const inside = whole.search(/(""|\{\}|\[\]),?$/);
    if (inside >= 0) this.area.selectionStart = this.area.selectionEnd = start + inside + 1;
    this.#close();
  }

  /** As if typed, so that it can be undone; where browsers no longer do that, as a plain edit. */
  #insert(text) {
    if (!document.execCommand("insertText", false, text)) {
      this.area.setRangeText(text, this.area.selectionStart, this.area.selectionEnd, "end");
      this.#edited();
    }
  }

  #choose(index) {
    this.chosen = index;
    this.popup.hidden = false;
    const items = this.offered.map(({ label, description }, place) =>
      element(
        "li",
        {
          id: `offer-${place}`,
          role: "option",
          "aria-selected": String(place === index),
          on: {
            mousedown: (event) => {
              event.preventDefault();
              this.#take(this.offered[place]);
            },
          },
        },
        element("code", {}, label),
        description && element("span", { class: "soft small" }, description),
      ),
    );
    fill(this.popup, items);
    items[index]?.scrollIntoView({ block: "nearest" });
    this.area.setAttribute("aria-activedescendant", `offer-${index}`);
    const before = this.text.slice(0, this.cursor.start);
    const line = before.split("\n").length;
    this.popup.style.setProperty("--line", line);
    this.popup.style.setProperty("--column", before.length - before.lastIndexOf("\n") - 1);
  }

  #close() {
    this.popup.hidden = true;
    this.area.removeAttribute("aria-activedescendant");
  }

  /** Where a pointer leads, or the nearest that is there. */
  #place(pointer, isKey = false) {
    for (let place = pointer; ; place = place.slice(0, place.lastIndexOf("/"))) {
      const found = this.parsed?.places.get(place);
      if (found && place) return found.key && (isKey || !isPlain(this.text[found.start])) ? found.key : found;
      if (!place) return { start: 0, end: 1 };
    }
  }

  #line(offset) {
    return this.text.slice(0, offset).split("\n").length;
  }

  #paint() {
    const marks = [
      ...this.problems.map(({ pointer, detail, kind, isKey }) => ({ ...this.#place(pointer, isKey), detail, kind })),
    ];
    const { error } = this.parsed;
    if (error) marks.unshift({ start: error.offset, end: error.offset + 1, detail: error.message, kind: "error" });
    fill(this.image, this.#colored(marks), "\n");
    const lines = this.text.split("\n");
    const byLine = Map.groupBy(marks, ({ start }) => this.#line(start));
    fill(
      this.numbers,
      lines.map((_, index) =>
        element("span", { data: { kind: byLine.get(index + 1)?.[0].kind ?? "" } }, String(index + 1)),
      ),
    );
    fill(
      this.remarks,
      [...byLine].map(([line, of]) =>
        element(
          "span",
          { class: of[0].kind, style: { "--line": line - 1, "--column": lines[line - 1].length } },
          of.map(({ detail }) => detail).join(" "),
        ),
      ),
    );
    this.layer.style.setProperty("--lines", lines.length);
    this.layer.style.setProperty("--columns", Math.max(...lines.map((line) => line.length)));
  }

  #colored(marks) {
    const pieces = [];
    let at = 0;
    const { tokens } = this.parsed;
    for (const [index, token] of tokens.entries()) {
      pieces.push(this.text.slice(at, token.start));
      const isKey = token.text[0] === '"' && tokens[index + 1]?.text === ":";
      const mark = marks.find(({ start, end }) => token.start >= start && token.start < end);
      pieces.push(
        element(
          "span",
          { class: [kindOf(token.text, isKey), mark && `mark ${mark.kind}`].filter(Boolean).join(" ") },
          token.text,
        ),
      );
      at = token.end;
    }
    return [...pieces, this.text.slice(at)];
  }
}

function isPlain(character) {
  return character !== "{" && character !== "[";
}

function kindOf(text, isKey) {
  if (isKey) return "key";
  if (text[0] === '"') return "text";
  return /^[{}[\],:]$/.test(text) ? "mark-up" : "literal";
}
