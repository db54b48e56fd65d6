"""Every technique that can be named in a spec, as data read off the classes themselves."""

import re
from functools import cache
from typing import Any

from .initialization import ALIASES
from .schema import Node, alternatives, job_spec_schema, types_of

FAMILIES = (
    "network",
    "initialization",
    "regularization",
    "augmentation",
    "loss",
    "optimizer",
    "schedule",
    "clipping",
)

_FORMULA = "Formula: "
_REFERENCE = "Reference: "

_TELLING: dict[str, Node] = {
    "sequential": {"layers": [{"type": "dense", "units": 16, "activation": "relu"}, {"type": "dense", "units": 1}]},
    "constant": {"value": 0.1},
    "dense": {"units": 16},
    "conv": {"filters": 32},
    "embedding": {"width": 128},
    "multistep": {"milestones": ["30 epochs", "60 epochs", "80 epochs"]},
    "piecewise": {
        "points": [{"at": "0%", "factor": 0.2}, {"at": "23%", "factor": 1.0}, {"at": "100%", "factor": 0.07}]
    },
    "sequence": {
        "phases": [{"schedule": {"type": "constant"}, "duration": "30%"}, {"schedule": {"type": "cosine"}}],
    },
    "affine": {"rotation": 10.0, "shift": [0.1, 0.1], "shear": 0.2, "zoom": [0.8, 1.2]},
    "image_data_generator": {"rotation_range": 10.0, "width_shift_range": 0.1, "horizontal_flip": True},
}
"""What the examples say where there is no default, or where the defaults together do nothing."""

Entry = dict[str, Any]


@cache
def catalog() -> dict[str, dict[str, Entry]]:
    """Family → type → {parameters, required, summary, description, formula, reference, aliases, example}.

    `parameters` is a JSON Schema for each key beside `type`, with no reference to elsewhere but the names of whole
    families. The family `layer` is what a `sequential` network is made of; `averaging` stands in `training`
    and `text` in `dataset`.
    """
    return {
        family: {name: _entry(name, node) for name, node in members.items()} for family, members in _families().items()
    }


@cache
def _families() -> dict[str, dict[str, Node]]:
    properties = job_spec_schema()["properties"]
    families = {family: _members(properties[family]) for family in FAMILIES}
    [training] = alternatives(properties["training"])
    families["averaging"] = _members(training["properties"]["averaging"])
    [dataset] = alternatives(properties["dataset"])
    families["text"] = _members(dataset["properties"]["text"])
    return {**families, "layer": _members(families["network"]["sequential"]["properties"]["layers"])}


def _members(node: Node) -> dict[str, Node]:
    options = alternatives(node)
    options = [member for option in options for member in alternatives(option.get("items", option))]
    return {name: option for option in options for name in types_of(option)}


def _entry(name: str, node: Node) -> Entry:
    parameters = {key: _inlined(value) for key, value in node["properties"].items() if key != "type"}
    paragraphs = [" ".join(paragraph.split()) for paragraph in node.get("description", "").split("\n\n")]
    prose = [text for text in paragraphs if not text.startswith((_FORMULA, _REFERENCE))]
    required = [key for key in node.get("required", []) if key != "type"]
    return {
        "summary": prose[0],
        "description": " ".join(prose[1:]),
        "formula": _said(_FORMULA, paragraphs) or next(filter(_is_formula, _sentences(prose)), None),
        "reference": _said(_REFERENCE, paragraphs),
        "parameters": parameters,
        "required": required,
        "aliases": [alias for alias, canonical in ALIASES.items() if canonical == name],
        "example": {"type": name, **_example(name, parameters)},
    }


def _said(word: str, paragraphs: list[str]) -> str | None:
    """The paragraph that begins with this word, without it."""
    return next((text.removeprefix(word) for text in paragraphs if text.startswith(word)), None)


def _sentences(prose: list[str]) -> list[str]:
    return [sentence for text in prose for sentence in re.split(r"(?<=\.)\s+(?=[A-Z`])", text)]


def _is_formula(sentence: str) -> bool:
    return any(mark in sentence for mark in "=·←√Σ‖~→")


def _example(name: str, parameters: Node) -> Node:
    """The defaults that are plain values, and what is told besides."""
    plain = {
        key: parameter["default"]
        for key, parameter in parameters.items()
        if isinstance(parameter.get("default"), int | float | str | list) and parameter["default"] != []
    }
    return {**plain, **{key: value for key, value in _TELLING.get(name, {}).items() if key in parameters}}


def _inlined(node: Any) -> Any:
    """The same schema with every reference replaced by what it refers to; a whole family is only named."""
    if isinstance(node, list):
        return [_inlined(member) for member in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        target = job_spec_schema()["$defs"][node["$ref"].removeprefix("#/$defs/")]
        rest = {key: value for key, value in node.items() if key != "$ref"}
        return {**_inlined(target), **_inlined(rest)}
    types = set(node.get("discriminator", {}).get("mapping", {}))
    family = next((family for family, members in _families().items() if types == set(members)), None)
    if family is not None:
        return {"type": "object", "description": f"Any of the family `{family}`"}
    return {key: _inlined(value) for key, value in node.items() if key != "discriminator"}
