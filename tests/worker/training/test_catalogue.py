"""The whole catalogue: whatever can be named happens, and an interruption changes nothing about it."""

import json
import re
from pathlib import Path

import pytest

from tests.worker.training.turned_on import (
    case_of,
    effect,
    interrupted,
    last_of,
    names,
    pack,
    same_bits,
    same_memory,
    told,
)

CATALOGUE = list(names())
STEPS = 6
"""Of each run."""


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return pack(tmp_path_factory.mktemp("little"))


@pytest.mark.parametrize(("family", "name"), CATALOGUE)
def test_turning_a_technique_on_changes_the_run(places: dict[str, Path], family: str, name: str) -> None:
    assert effect(places, family, name)[1] > 0.0, (
        f"{family}/{name} changed neither weights nor numbers: in tests/worker/training/turned_on.py, SMALLER makes it "
        "act within six steps and ELSEWHERE puts it where it can"
    )


@pytest.mark.parametrize(("family", "name"), CATALOGUE)
def test_an_interruption_at_any_step_changes_nothing(
    places: dict[str, Path], tmp_path: Path, family: str, name: str
) -> None:
    case = case_of(family, name)
    step = 1 + CATALOGUE.index((family, name)) % (STEPS - 1)
    whole = last_of(told(places[case.data], json.dumps(case.with_it)))
    again = interrupted(places[case.data], case.with_it, step, tmp_path)
    assert same_bits(whole, again)
    assert same_memory(whole, again)


def test_the_table_has_every_technique() -> None:
    page = Path(__file__).parents[3] / "docs/reference/techniques-measured.md"
    rows = re.findall(r"^\| (\w+) \| `(\w+)` \|", page.read_text(), re.MULTILINE)
    assert rows == CATALOGUE, "run `python -m benchmarks.techniques`"
