// JSON while it is being typed: where each value stands, by pointer, and what may stand at the cursor. It reads on
// behind a mistake, as well as can be.

const TOKEN = /\s+|"(?:[^"\\\n]|\\.)*"?|[{}[\],:]|[^\s{}[\],:"]+/gy;

/**
 * `places`: pointer → {start, end, key}, the offsets of a value and, in an object, of its key.
 * `value`: what has been read so far. `error`: {offset, message} or null.
 */
export function read(text) {
  const tokens = [...text.matchAll(TOKEN)]
    .map((match) => ({ text: match[0], start: match.index, end: match.index + match[0].length }))
    .filter((token) => token.text.trim());
  const places = new Map();
  let at = 0;
  let error = null;

  const complain = (message, token = tokens[at]) =>
    (error ??= { offset: token?.start ?? text.trimEnd().length, message });

  function value(pointer) {
    const token = tokens[at];
    if (!token || ["}", "]", ",", ":"].includes(token.text)) {
      complain("A value is missing here.");
      return null;
    }
    at += 1;
    const place = { start: token.start, end: token.end };
    places.set(pointer, place);
    if (token.text !== "{" && token.text !== "[") return plain(token);
    const found = token.text === "{" ? object(pointer) : array(pointer);
    place.end = tokens[at - 1].end;
    return found;
  }

  function plain(token) {
    try {
      return JSON.parse(token.text);
    } catch {
      complain(
        token.text[0] === '"' ? "This text does not end." : "Not a JSON value: text needs double quotes.",
        token,
      );
      return token.text.replace(/^"/, "");
    }
  }

  function object(pointer) {
    const found = {};
    while (at < tokens.length && tokens[at].text !== "}") {
      const key = tokens[at];
      if (key.text[0] !== '"') {
        complain("A key in double quotes belongs here.");
        at += 1;
        continue;
      }
      at += 1;
      const name = plain(key);
      if (tokens[at]?.text === ":") at += 1;
      else complain("A colon is missing behind this key.", key);
      const inside = `${pointer}/${escaped(name)}`;
      found[name] = value(inside);
      places.set(inside, {
        start: key.start,
        end: key.end,
        ...places.get(inside),
        key: { start: key.start, end: key.end },
      });
      separate("}");
    }
    return close("}", found);
  }

  function array(pointer) {
    const found = [];
    while (at < tokens.length && tokens[at].text !== "]" && tokens[at].text !== "}") {
      const before = at;
      found.push(value(`${pointer}/${found.length}`));
      if (at === before) at += 1;
      separate("]");
    }
    return close("]", found);
  }

  function separate(end) {
    if (tokens[at]?.text === ",") {
      at += 1;
      if (tokens[at]?.text === end) complain("No comma belongs before the end.", tokens[at - 1]);
    } else if (at < tokens.length && tokens[at].text !== end) complain("A comma is missing before this.");
  }

  function close(end, found) {
    if (tokens[at]?.text === end) at += 1;
    else complain(`A “${end}” is missing.`);
    return found;
  }

  const whole = value("");
  if (at < tokens.length) complain("Nothing belongs behind the end.");
  return { value: whole, places, error, tokens };
}

/**
 * What the cursor is in: {pointer, isKey, word, start, end}. `pointer` is the value's, or of the object whose key it is;
 * `word` is what has been typed of it, from `start` to `end`.
 */
export function cursorIn(tokens, offset) {
  const stack = [];
  let touched = null;
  for (const token of tokens) {
    if (token.start >= offset) break;
    const top = stack.at(-1);
    const isOpen = token.end > offset || (token.end === offset && !/^[{}[\],:]$/.test(token.text));
    if (isOpen && !/^[{}[\],:]$/.test(token.text)) {
      touched = token;
      break;
    }
    if (token.text === "{" || token.text === "[")
      stack.push({ isObject: token.text === "{", key: null, index: 0, wantsKey: token.text === "{" });
    else if (token.text === "}" || token.text === "]") stack.pop();
    else if (token.text === "," && top) {
      top.index += 1;
      top.wantsKey = top.isObject;
    } else if (token.text === ":" && top) top.wantsKey = false;
    else if (top?.isObject && top.wantsKey) top.key = token.text.replace(/^"|"$/g, "");
  }
  const inner = stack.at(-1);
  const path = stack
    .map((frame, depth) =>
      depth === stack.length - 1 && frame.wantsKey
        ? null
        : escaped(frame.isObject ? (frame.key ?? "") : String(frame.index)),
    )
    .filter((part) => part !== null);
  const [start, end] = touched ? [touched.start, endOf(touched, offset)] : [offset, offset];
  const word = touched ? touched.text.slice(0, offset - start).replace(/^"/, "") : "";
  return {
    pointer: path.map((part) => `/${part}`).join(""),
    isKey: Boolean(inner?.isObject && inner.wantsKey),
    isQuoted: touched?.text[0] === '"',
    word,
    start,
    end,
    depth: stack.length,
  };
}

/** On one line, as people write it. */
export function compact(value) {
  if (Array.isArray(value)) return `[${value.map(compact).join(", ")}]`;
  if (value === null || typeof value !== "object") return JSON.stringify(value);
  const members = Object.entries(value).filter(([, member]) => member !== undefined);
  return `{${members.map(([name, member]) => `${JSON.stringify(name)}: ${compact(member)}`).join(", ")}}`;
}

/** With short lists and objects on one line. */
export function pretty(value, indent = "", width = 88) {
  const flat = compact(value);
  if (value === null || typeof value !== "object" || (indent && indent.length + flat.length < width)) return flat;
  const inner = `${indent}  `;
  const members = Array.isArray(value)
    ? value.map((member) => inner + pretty(member, inner, width))
    : Object.entries(value)
        .filter(([, member]) => member !== undefined)
        .map(([name, member]) => `${inner}${JSON.stringify(name)}: ${pretty(member, inner, width)}`);
  const [open, close] = Array.isArray(value) ? "[]" : "{}";
  return members.length ? `${open}\n${members.join(",\n")}\n${indent}${close}` : open + close;
}

/** Where a token ends; a text whose second quote is not typed yet ends with its word, not with its line. */
function endOf({ text, start, end }, offset) {
  if (text[0] !== '"' || (text.length > 1 && text.endsWith('"'))) return end;
  return offset + text.slice(offset - start).match(/^\w*/)[0].length;
}

export function escaped(name) {
  return String(name).replaceAll("~", "~0").replaceAll("/", "~1");
}

/** The value at a pointer, or undefined. */
export function at(value, pointer) {
  return pointer
    .split("/")
    .slice(1)
    .reduce((inner, part) => inner?.[part.replaceAll("~1", "/").replaceAll("~0", "~")], value);
}
