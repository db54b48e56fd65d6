"""Curves as chunks of columns."""

import math

import pytest

from models import metrics
from tests.models.conftest import Office


def append(office: Office, job_id: str, steps: list[int], **columns: list[float]) -> None:
    with office.database.write() as session:
        metrics.append(session, job_id, 1, "step", {"step": steps, **columns}, {"step": steps[-1]})


def test_chunks_come_back_as_one_series(office: Office) -> None:
    job = office.running()
    append(office, job.id, [1, 2], loss=[0.5, 0.4])
    append(office, job.id, [3], loss=[0.3], norm=[1.0])
    with office.database.read() as session:
        series = metrics.read(session, job.id, "step")
    assert series.columns == {"step": [1, 2, 3], "loss": [0.5, 0.4, 0.3], "norm": [None, None, 1.0]}
    assert office.read(job.id).progress == {"step": 3}


def test_a_number_that_is_not_finite_is_null_and_named(office: Office) -> None:
    job = office.running()
    append(office, job.id, [1, 2, 3], loss=[0.5, math.nan, -math.inf])
    with office.database.read() as session:
        series = metrics.read(session, job.id, "step")
    assert series.columns["loss"] == [0.5, None, None]
    assert series.nonfinite == {"loss": [2, 3]}


def test_what_lies_beyond_a_checkpoint_is_dropped(office: Office) -> None:
    job = office.running()
    for step in (1, 3, 5):
        append(office, job.id, [step, step + 1], loss=[1.0, 1.0])
    with office.database.write() as session:
        metrics.drop_after(session, job.id, 1, 4)
    with office.database.read() as session:
        assert metrics.read(session, job.id, "step").columns["step"] == [1, 2, 3, 4]


def test_the_same_chunk_twice_is_there_once(office: Office) -> None:
    job = office.running()
    for _ in range(2):
        append(office, job.id, [1, 2], loss=[0.5, 0.4])
    with office.database.read() as session:
        assert metrics.read(session, job.id, "step").columns["step"] == [1, 2]


@pytest.mark.parametrize("since", [0, 1, 2, 3])
def test_reading_goes_on_after_a_step(office: Office, since: int) -> None:
    job = office.running()
    append(office, job.id, [1, 2, 3], loss=[3.0, 2.0, 1.0], norm=[0.0, 0.0, 0.0])
    with office.database.read() as session:
        series = metrics.read(session, job.id, "step", since_step=since, keys=["loss"])
    assert series.columns.get("loss", []) == [3.0, 2.0, 1.0][since:]
    assert "norm" not in series.columns
