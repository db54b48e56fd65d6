// What the JSON Schema of a job spec allows at a place.

import { at, compact } from "./json.js";

export class Schema {
  constructor(root) {
    this.root = root;
  }

  /** The schemas that may hold at a pointer, given what the document says so far: its `type`s choose among them. */
  candidates(pointer, document) {
    let nodes = this.#alternatives(this.root, document);
    let path = "";
    for (const part of pointer.split("/").slice(1)) {
      path += `/${part}`;
      const inside = nodes
        .flatMap((node) =>
          node.properties
            ? [node.properties[part]]
            : node.type === "array"
              ? [node.prefixItems?.[part] ?? node.items]
              : [node.additionalProperties],
        )
        .filter((node) => node && typeof node === "object");
      nodes = inside.flatMap((node) => this.#alternatives(node, at(document, path)));
    }
    return nodes;
  }

  /** Keys that an object may have and does not: `{name, description, value, required}`. */
  keys(pointer, document) {
    const present = Object.keys(at(document, pointer) ?? {});
    const found = new Map();
    for (const node of this.candidates(pointer, document)) {
      for (const [name, property] of Object.entries(node.properties ?? {})) {
        if (!found.has(name))
          found.set(name, {
            name,
            description: this.#description(property),
            value: this.#start(property, name, node),
            required: node.required?.includes(name) ?? false,
            present: present.includes(name),
          });
      }
    }
    return [...found.values()].sort((one, other) =>
      one.name === "type" ? -1 : other.name === "type" ? 1 : other.required - one.required,
    );
  }

  /** Values that fit: `{text, description}`, as JSON. */
  values(pointer, document) {
    const isType = pointer.endsWith("/type");
    const owner = pointer.slice(0, pointer.lastIndexOf("/"));
    const nodes = isType ? this.#types(owner, document) : this.candidates(pointer, withoutType(document, pointer));
    const found = new Map();
    const add = (value, description) => found.set(JSON.stringify(value), description ?? "");
    for (const node of nodes) {
      if (node.const !== undefined) add(node.const, node.summary ?? node.description);
      for (const value of node.enum ?? []) add(value, node.description);
      if (node.type === "boolean") [true, false].forEach((value) => add(value));
      if (node.default !== undefined && node.default !== null && typeof node.default !== "object")
        add(node.default, "the default");
      const type = node.properties?.type;
      if (!isType && type?.const) add({ type: type.const }, node.description);
    }
    return [...found].map(([text, description]) => ({ text, description: first(description) }));
  }

  #types(pointer, document) {
    return this.candidates(pointer, withoutType(document, pointer))
      .filter((node) => node.properties?.type?.const)
      .map((node) => ({ const: node.properties.type.const, summary: node.description }));
  }

  #alternatives(node, value) {
    if (node.$ref)
      return this.#alternatives(
        { ...this.root.$defs[node.$ref.slice(8)], ...(node.default === undefined ? {} : { default: node.default }) },
        value,
      );
    const branches = node.oneOf ?? node.anyOf;
    if (!branches) return [node];
    const all = branches.flatMap((branch) => this.#alternatives(branch, value)).filter((one) => one.type !== "null");
    const chosen = all.filter(
      (one) => one.properties?.type?.const !== undefined && one.properties.type.const === value?.type,
    );
    return chosen.length ? chosen : all;
  }

  #description(property) {
    const own =
      property.description ??
      this.#alternatives(property)
        .map((node) => node.description)
        .find(Boolean);
    return first(own);
  }

  /** What to begin a new key's value with. */
  #start(property, name, owner) {
    if (property.const !== undefined) return JSON.stringify(property.const);
    const { default: usual } = property;
    if (usual !== undefined && usual !== null && (typeof usual !== "object" || Object.keys(usual).length < 3))
      return compact(usual);
    const nodes = this.#alternatives(property);
    if (name === "type" && owner.properties.type.const) return JSON.stringify(owner.properties.type.const);
    if (nodes.some((node) => node.type === "object")) return "{}";
    if (nodes.some((node) => node.type === "array")) return "[]";
    if (nodes.some((node) => node.type === "string")) return '""';
    return "";
  }
}

/** The document as if the object at a pointer had not chosen its type yet. */
function withoutType(document, pointer) {
  const copy = structuredClone(document ?? null);
  const owner = at(copy, pointer);
  if (owner && typeof owner === "object") delete owner.type;
  return copy;
}

function first(text = "") {
  return text.split("\n\n")[0].replaceAll("\n", " ");
}
