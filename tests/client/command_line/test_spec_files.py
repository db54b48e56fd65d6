import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.merging import merge
from client.command_line.failures import Refused
from client.command_line.spec_files import SpecFile, change, mistakes, patch_between
from client.resources import ProblemItem

WORDS = st.text('ab/~"\\é\n ', max_size=3)
VALUES = st.recursive(
    st.booleans() | st.integers() | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=10,
)
SPECS = st.dictionaries(WORDS, VALUES, max_size=4)


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("b.c=2", {"a": [1, {"x": 2}], "b": {"c": 2}}),
        ("a.1.x=0.5", {"a": [1, {"x": 0.5}], "b": None}),
        ("b=sgd", {"a": [1, {"x": 2}], "b": "sgd"}),
        ('b=["sgd"]', {"a": [1, {"x": 2}], "b": ["sgd"]}),
        ("b=x=y", {"a": [1, {"x": 2}], "b": "x=y"}),
        ("b=", {"a": [1, {"x": 2}], "b": ""}),
    ],
)
def test_a_setting_changes_one_place(setting: str, expected: dict[str, Any]) -> None:
    spec = {"a": [1, {"x": 2}], "b": None}
    assert change(spec, setting) == expected
    assert spec == {"a": [1, {"x": 2}], "b": None}


@pytest.mark.parametrize("setting", ["a", "=1", "a.2=1", "a.x=1", "a.-1=1", "a.0.x=1"])
def test_a_setting_that_fits_nowhere_is_refused(setting: str) -> None:
    with pytest.raises(Refused):
        change({"a": [1, 2]}, setting)


@given(before=SPECS, after=SPECS)
def test_a_patch_makes_the_one_of_the_other(before: dict[str, Any], after: dict[str, Any]) -> None:
    """As the service merges it."""
    assert merge(before, patch_between(before, after)) == after


def shown(spec: SpecFile, pointer: str, code: str = "invalid") -> list[str]:
    return mistakes(spec, [ProblemItem(pointer=pointer, code=code, detail="no")])


@given(spec=SPECS, indent=st.sampled_from([None, 2]))
def test_every_place_of_every_text_is_found(spec: dict[str, Any], indent: int | None) -> None:
    """What is underlined is the value itself, as far as its first line goes."""
    text = json.dumps(spec, indent=indent, ensure_ascii=False)
    for name, value in spec.items():
        pointer = "/" + name.replace("~", "~0").replace("/", "~1")
        _, line, marks, _ = shown(SpecFile("job.json", text, spec), pointer)
        start = marks.index("^")
        expected = json.dumps(value, indent=indent, ensure_ascii=False).splitlines()[0]
        assert line[start : start + marks.count("^")].replace("\N{REPLACEMENT CHARACTER}", "") == expected


def test_an_unknown_key_is_underlined_itself() -> None:
    spec = SpecFile("job.json", '{"a": {"bb": 1}}', {"a": {"bb": 1}})
    assert shown(spec, "/a/bb", "unknown_key")[2].endswith("| " + " " * 7 + "^^^^")


def test_what_is_missing_is_shown_where_it_should_be() -> None:
    spec = SpecFile("job.json", '{"a": {"b": 1}}', {"a": {"b": 1}})
    head, _, marks, said = shown(spec, "/a/c/d")
    assert (head, marks.index("^"), said.strip()) == ("job.json:1:7", 14, "= /a/c/d: no")


def test_what_the_author_wrote_is_shown_in_the_authors_text() -> None:
    spec = SpecFile("job.json", '{"a":1,"b":2}', {"a": 1, "b": 2}).changed(["b=3"])
    assert shown(spec, "/a")[0] == "job.json:1:6"
    assert shown(spec, "/b")[0] == "job.json, as changed:3:8"
