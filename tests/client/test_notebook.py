"""Cards of a notebook, read by a strict parser."""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from xml.etree import ElementTree

import pytest

from client import Job, Metrics

HOSTILE = '<script>alert("1")</script>&\''
NUMBER = re.compile(r"-?[0-9.]+")


def job(**parts: Any) -> Job:
    known = {
        "id": "job_1", "status": "running", "desired_state": "run", "status_reason": HOSTILE, "dataset_id": "ds_1",
        "spec": {}, "resolved_spec": {}, "spec_sha256": "", "attempt": 1, "created_at": datetime.now(UTC),
    }  # fmt: skip
    return Job.model_validate(known | parts)


def metrics(columns: Mapping[str, Sequence[float | None]]) -> Metrics:
    steps = list(range(len(next(iter(columns.values())))))
    return Metrics.model_validate({"job_id": "job_1", "interval": "step", "columns": {"step": steps, **columns}})


def test_nothing_that_others_wrote_is_read_as_html() -> None:
    failure = {"code": "x", "message": HOSTILE, "owner": "user"}
    warning = {"pointer": HOSTILE, "code": "x", "detail": HOSTILE}
    card = ElementTree.fromstring(job(name=HOSTILE, failure=failure, warnings=[warning])._repr_html_())
    assert "".join(card.itertext()).count(HOSTILE) == 5
    assert not list(card.iter("script"))
    curves = ElementTree.fromstring(metrics({HOSTILE: [1.0, 2.0]})._repr_html_())
    assert not list(curves.iter("script"))


def test_a_finished_job_shows_its_best_figures() -> None:
    best = {"train/loss": 0.5, "validation/accuracy": 0.91666}
    card = job(status="succeeded", summary={"best": best})._repr_html_()
    assert "validation/accuracy 0.9167" in card
    assert "train/loss" not in card


@pytest.mark.parametrize(
    ("values", "lines"), [([0.0, 1.0, 2.0], 1), ([0.0, None, 2.0, 1.0], 2), ([None, None], 0), ([1.0], 1)]
)
def test_a_curve_is_a_line_that_is_broken_where_nothing_is_known(values: list[float | None], lines: int) -> None:
    drawing = ElementTree.fromstring(metrics({"loss": values})._repr_html_()).find(".//path")
    assert drawing is not None
    assert drawing.attrib["d"].count("M") == lines
    assert len(NUMBER.findall(drawing.attrib["d"])) == 2 * sum(value is not None for value in values)


def test_a_long_curve_stays_small() -> None:
    assert len(metrics({"loss": [float(index % 7) for index in range(100_000)]})._repr_html_()) < 10_000


def test_curves_are_a_table_of_pandas() -> None:
    table = metrics({"loss": [2.0, None, 1.0]}).to_pandas()
    assert list(table.index) == [0, 1, 2]
    assert table["loss"].isna().tolist() == [False, True, False]
    assert table["loss"].min() == 1.0
