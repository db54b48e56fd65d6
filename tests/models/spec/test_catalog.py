from typing import Any

import pytest

from models.spec import JobSpec, catalog, job_spec_schema, parse_spec
from tests.models.spec.specs import raw

LISTS = ("regularization", "augmentation")
ENTRIES = [(family, name, entry) for family, types in catalog().items() for name, entry in types.items()]


def in_a_spec(family: str, example: dict[str, Any]) -> dict[str, Any]:
    """The words of a spec that name this technique."""
    if family == "layer":
        return {"network": {"type": "sequential", "layers": [example]}}
    if family == "averaging":
        return {"training": {"epochs": 2, "averaging": example}}
    if family == "text":
        return {"dataset": {"id": "ds_1", "text": example}}
    return {family: [example] if family in LISTS else example}


def spec_with(family: str, example: dict[str, Any]) -> JobSpec:
    return parse_spec(raw(**in_a_spec(family, example)))


@pytest.mark.parametrize(("family", "name", "entry"), ENTRIES)
def test_every_example_is_valid(family: str, name: str, entry: dict[str, Any]) -> None:
    spec_with(family, entry["example"])


@pytest.mark.parametrize(("family", "name", "entry"), ENTRIES)
def test_every_technique_is_explained(family: str, name: str, entry: dict[str, Any]) -> None:
    assert len(entry["summary"]) >= 10
    assert "$ref" not in str(entry["parameters"])


def test_the_two_xaviers_are_told_apart() -> None:
    assert "Two different starts are called Xavier" in catalog()["initialization"]["xavier_normal"]["description"]


def test_l2_is_told_apart_from_weight_decay() -> None:
    assert "L2 is not weight decay under Adam" in catalog()["regularization"]["l2"]["description"]


def test_the_schema_knows_every_family() -> None:
    assert set(catalog()) - {"layer", "averaging", "text"} <= set(job_spec_schema()["properties"])
