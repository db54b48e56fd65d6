"""Every technique is explained in full, and the pages say what the classes say."""

from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from models.spec import catalog, job_spec_schema
from models.spec.reference import pages
from tests.models.spec.specs import raw
from tests.models.spec.test_catalog import in_a_spec

FOLDER = Path(__file__).parents[3] / "docs/reference/techniques"
ENTRIES = [(family, name) for family, entries in catalog().items() for name in entries]
BOUNDS = {"minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum"}
VALIDATOR = Draft202012Validator(job_spec_schema())


@pytest.mark.parametrize(("family", "name"), ENTRIES)
def test_a_technique_has_a_formula_a_reference_and_an_example(family: str, name: str) -> None:
    entry = catalog()[family][name]
    assert entry["formula"]
    assert entry["reference"]
    assert entry["example"]["type"] == name


@pytest.mark.parametrize(("family", "name"), ENTRIES)
def test_a_parameter_has_a_default_or_is_needed_and_its_numbers_have_bounds(family: str, name: str) -> None:
    entry = catalog()[family][name]
    for key, node in entry["parameters"].items():
        assert ("default" in node) != (key in entry["required"]), key
        assert all(has_bounds(number) for number in numbers_in(node)), key


@pytest.mark.parametrize(("family", "name"), ENTRIES)
def test_a_parameter_is_explained_in_its_own_words_or_in_those_of_its_technique(family: str, name: str) -> None:
    entry = catalog()[family][name]
    text = " ".join(str(entry[part]) for part in ("summary", "description", "formula"))
    assert [key for key, node in entry["parameters"].items() if not node.get("description") and key not in text] == []


@pytest.mark.parametrize("page", sorted(pages()))
def test_the_pages_are_fresh(page: str) -> None:
    assert (FOLDER / page).read_text() == pages()[page], "run `python -m models.spec.reference`"


def test_there_is_no_page_of_what_is_gone() -> None:
    assert {path.name for path in FOLDER.iterdir()} == set(pages())


def test_the_schema_is_a_schema() -> None:
    Draft202012Validator.check_schema(job_spec_schema())


@pytest.mark.parametrize(("family", "name"), ENTRIES)
def test_a_validator_of_others_takes_every_example(family: str, name: str) -> None:
    VALIDATOR.validate(raw(**in_a_spec(family, catalog()[family][name]["example"])))


@pytest.mark.parametrize(("family", "name"), ENTRIES)
def test_a_validator_of_others_refuses_a_key_too_many(family: str, name: str) -> None:
    example = {**catalog()[family][name]["example"], "unheard_of": 1}
    assert not VALIDATOR.is_valid(raw(**in_a_spec(family, example)))


def numbers_in(node: Any) -> list[dict[str, Any]]:
    """The schemas of numbers within a schema."""
    if isinstance(node, list):
        return [number for member in node for number in numbers_in(member)]
    if not isinstance(node, dict):
        return []
    here = [node] if node.get("type") in ("number", "integer") and "const" not in node and "enum" not in node else []
    return [*here, *(number for key, member in node.items() if key != "default" for number in numbers_in(member))]


def has_bounds(number: dict[str, Any]) -> bool:
    return bool(BOUNDS & number.keys())
