"""The catalogue as pages for readers. `python -m models.spec.reference` writes them to docs/reference/techniques."""

import json
from pathlib import Path
from typing import Any

from .catalog import Entry, catalog
from .schema import Node

FOLDER = Path("docs/reference/techniques")
_HEAD = "<!-- Written by `python -m models.spec.reference` from the classes of models/spec. -->"

_NOUNS = {"integer": "a whole number", "number": "a number", "string": "text", "None": "anything"}


def pages() -> dict[str, str]:
    """File name → page in Markdown: one for each family, and one that lists them."""
    families = {f"{family}.md": _page(family, entries) for family, entries in catalog().items()}
    return {"README.md": _contents(), **families}


def _contents() -> str:
    lines = [_HEAD, "", "# Techniques", "", "Everything that a job spec can name, family by family."]
    for family, entries in catalog().items():
        names = " · ".join(f"[{name}]({family}.md#{name})" for name in entries)
        lines += ["", f"**[{family}]({family}.md)** ({len(entries)}): {names}"]
    return _text(lines)


def _page(family: str, entries: dict[str, Entry]) -> str:
    lines = [_HEAD, "", f"# {family}"]
    for name, entry in entries.items():
        lines += ["", *_technique(name, entry)]
    return _text(lines)


def _technique(name: str, entry: Entry) -> list[str]:
    lines = [f"## {name}", "", entry["summary"]]
    if entry["description"]:
        lines += ["", entry["description"]]
    if str(entry["formula"]) not in " ".join(lines):
        lines += ["", f"**Formula.** {entry['formula']}"]
    lines += ["", f"**Reference.** {entry['reference']}"]
    if entry["aliases"]:
        lines += ["", "**Also called** " + ", ".join(f"`{alias}`" for alias in entry["aliases"])]
    if entry["parameters"]:
        lines += ["", "| parameter | what it may be | default | meaning |", "|---|---|---|---|"]
        lines += [_row(key, node, key in entry["required"]) for key, node in entry["parameters"].items()]
    return [*lines, "", "```json", json.dumps(entry["example"], ensure_ascii=False), "```"]


def _row(name: str, node: Node, is_required: bool) -> str:
    default = "needed" if is_required else f"`{json.dumps(node.get('default'), ensure_ascii=False)}`"
    meaning = " ".join(node.get("description", "see the formula").split())
    cells = (f"`{name}`", kind_of(node), default, meaning)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def kind_of(node: Node) -> str:
    """What a value may be, with its bounds, in a few words."""
    options = node.get("oneOf") or node.get("anyOf")
    if options:
        return " or ".join(dict.fromkeys(kind_of(option) for option in options))
    if "enum" in node:
        return ", ".join(f"`{value}`" for value in node["enum"])
    if "const" in node:
        return f"`{node['const']}`"
    if "pattern" in node and "epoch" in node["pattern"]:
        return 'a duration such as `"10 epochs"`, `"500 steps"` or `"30%"`'
    match node.get("type"):
        case "array":
            return _array(node)
        case "object":
            return _object(node)
        case "boolean":
            return "`true` or `false`"
        case "null":
            return "`null`"
        case kind:
            return _NOUNS[str(kind)] + _bounds(node)


def _array(node: Node) -> str:
    if "prefixItems" in node:
        return f"{len(node['prefixItems'])} of: {kind_of(node['prefixItems'][0])}"
    return f"a list of: {kind_of(node['items'])}" if "items" in node else "a list"


def _object(node: Node) -> str:
    if "properties" not in node:
        return str(node.get("description", "an object")).replace("Any of", "any of")
    tag = node["properties"].get("type", {}).get("const")
    return (
        f'`{{"type": "{tag}", …}}`' if tag else "an object with " + ", ".join(f"`{key}`" for key in node["properties"])
    )


def _bounds(node: dict[str, Any]) -> str:
    words = {"exclusiveMinimum": "above", "minimum": "from", "exclusiveMaximum": "below", "maximum": "to"}
    said = [f"{word} {node[key]:,g}" for key, word in words.items() if key in node]
    return " " + " ".join(said) if said else ""


def _text(lines: list[str]) -> str:
    return "\n".join(lines) + "\n"


def main() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, page in pages().items():
        (FOLDER / name).write_text(page)


if __name__ == "__main__":
    main()
