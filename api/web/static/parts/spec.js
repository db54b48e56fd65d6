// A spec as text, and which of its lines nobody wrote: defaults that were filled in.

import { element } from "./elements.js";
import { copyButton } from "./frame.js";
import { compact } from "./json.js";

export function specView(heading, spec, sent = null) {
  const lines = [...linesOf(spec, sent, 0, "")];
  const code = element(
    "code",
    {},
    lines.map(({ text, given }) => element("span", { class: given ? "line" : "line filled" }, `${text}\n`)),
  );
  return element(
    "section",
    { class: "card spec", "aria-label": heading },
    element(
      "header",
      {},
      element("h3", {}, heading),
      copyButton(() => JSON.stringify(spec, null, 2)),
    ),
    element("pre", { class: "scroll", tabindex: 0 }, code),
  );
}

function* linesOf(value, sent, depth, key) {
  const pad = "  ".repeat(depth);
  const begin = pad + (key ? `${JSON.stringify(key)}: ` : "");
  const given = sent === null || sent !== undefined;
  const whole = compact(value);
  const flat =
    value === null ||
    typeof value !== "object" ||
    begin.length + whole.length < 56 ||
    (Array.isArray(value) && value.every((one) => typeof one !== "object"));
  if (flat) {
    yield { text: begin + whole, given };
    return;
  }
  const [open, close] = Array.isArray(value) ? ["[", "]"] : ["{", "}"];
  yield { text: begin + open, given };
  const members = Object.entries(value);
  for (const [index, [name, member]] of members.entries()) {
    const inside = [
      ...linesOf(member, sent === null ? null : sent?.[name], depth + 1, Array.isArray(value) ? "" : name),
    ];
    if (index < members.length - 1) inside.at(-1).text += ",";
    yield* inside;
  }
  yield { text: pad + close, given };
}
