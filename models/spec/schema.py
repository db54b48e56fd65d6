"""The job spec's JSON Schema, and how to find one's way in it."""

from functools import cache
from typing import Any

from .job import JobSpec

Node = dict[str, Any]


@cache
def job_spec_schema() -> Node:
    """The JSON Schema (draft 2020-12) of a job spec as it may be sent."""
    schema = JobSpec.model_json_schema(by_alias=True, mode="validation")
    for node in schema["$defs"].values():
        if types_of(node):  # it tells a technique from the others of its family, and so has to be there
            node["required"] = ["type", *node.get("required", [])]
    return schema


def alternatives(node: Node) -> list[Node]:
    """The branches of a union, or the node itself; references followed."""
    if "$ref" in node:
        return alternatives(job_spec_schema()["$defs"][node["$ref"].removeprefix("#/$defs/")])
    branches = node.get("oneOf") or node.get("anyOf")
    return [option for branch in branches for option in alternatives(branch)] if branches else [node]


def fields_of(node: Node) -> list[str]:
    """The keys that an object of this schema may have."""
    return list(node.get("properties", {}))


def types_of(node: Node) -> list[str]:
    """What its `type` may say."""
    tag = node.get("properties", {}).get("type", {})
    return [tag["const"]] if "const" in tag else []
