"""Curves as chunks of columns."""

import math

import pytest

from models import metrics
from models.metrics import Extent, Series, Wanted
from tests.models.conftest import Office


def append(office: Office, job_id: str, steps: list[int], **columns: list[float]) -> None:
    with office.database.write() as session:
        metrics.append(session, job_id, 1, "step", {"step": steps, **columns}, {"step": steps[-1]})


def read(office: Office, job_id: str, since_step: int = 0, *keys: str, limit: int = 100) -> tuple[Series, bool]:
    with office.database.read() as session:
        return metrics.read(session, Wanted(job_id, "step", since_step, keys), limit)


def test_chunks_come_back_as_one_series(office: Office) -> None:
    job = office.running()
    append(office, job.id, [1, 2], loss=[0.5, 0.4])
    append(office, job.id, [3], loss=[0.3], norm=[1.0])
    series, _ = read(office, job.id)
    assert series.columns == {"step": [1, 2, 3], "loss": [0.5, 0.4, 0.3], "norm": [None, None, 1.0]}
    assert office.read(job.id).progress == {"step": 3}


def test_a_number_that_is_not_finite_is_null_and_named(office: Office) -> None:
    job = office.running()
    append(office, job.id, [1, 2, 3], loss=[0.5, math.nan, -math.inf])
    series, _ = read(office, job.id)
    assert series.columns["loss"] == [0.5, None, None]
    assert series.nonfinite == {"loss": [2, 3]}


def test_what_lies_beyond_a_checkpoint_is_dropped(office: Office) -> None:
    job = office.running()
    for step in (1, 3, 5):
        append(office, job.id, [step, step + 1], loss=[1.0, 1.0])
    with office.database.write() as session:
        metrics.drop_after(session, job.id, 1, 4)
    assert read(office, job.id)[0].columns["step"] == [1, 2, 3, 4]


def test_the_same_chunk_twice_is_there_once(office: Office) -> None:
    job = office.running()
    for _ in range(2):
        append(office, job.id, [1, 2], loss=[0.5, 0.4])
    assert read(office, job.id)[0].columns["step"] == [1, 2]


@pytest.mark.parametrize("since", [0, 1, 2, 3])
def test_reading_goes_on_after_a_step(office: Office, since: int) -> None:
    job = office.running()
    append(office, job.id, [1, 2, 3], loss=[3.0, 2.0, 1.0], norm=[0.0, 0.0, 0.0])
    series, _ = read(office, job.id, since, "loss")
    assert series.columns.get("loss", []) == [3.0, 2.0, 1.0][since:]
    assert "norm" not in series.columns


@pytest.mark.parametrize("keys", [(), ("loss",)])
def test_reading_stops_where_it_was_told_and_says_so(office: Office, keys: tuple[str, ...]) -> None:
    job = office.running()
    for first in (1, 3, 5):
        append(office, job.id, [first, first + 1], loss=[1.0, math.nan])
    for limit, has_more in ((1, True), (2, True), (3, True), (5, True), (6, False), (7, False)):
        series, more = read(office, job.id, 0, *keys, limit=limit)
        assert (series.columns["step"], more) == (list(range(1, 7))[:limit], has_more)
        assert series.nonfinite.get("loss", []) == [2, 4, 6][: limit // 2]


def test_a_job_knows_how_much_it_has_without_reading_it(office: Office) -> None:
    job = office.running()
    append(office, job.id, [1, 2], loss=[1.0, 2.0])
    append(office, job.id, [3, 4, 5], norm=[1.0, 2.0, 3.0])
    with office.database.read() as session:
        assert metrics.extent(session, Wanted(job.id, "step")) == Extent(5, 1, 5)
        assert metrics.extent(session, Wanted(job.id, "step", 3)) == Extent(3, 4, 5)
        assert metrics.extent(session, Wanted(job.id, "step", 5)) is None
        assert metrics.names(session, Wanted(job.id, "step")) == ["step", "loss", "norm"]
        assert metrics.names(session, Wanted(job.id, "step", 2)) == ["step", "norm"]
        assert metrics.names(session, Wanted(job.id, "step", 0, ("loss", "absent"))) == ["step", "loss"]


def test_only_the_columns_that_are_wanted_leave_the_database(office: Office) -> None:
    job = office.running()
    names = {"train/loss": [1.0], "a.b [c], {d} $e 'f'": [2.0], "other": [3.0]}
    append(office, job.id, [1], **names)
    wanted = Wanted(job.id, "step", 0, tuple(names)[:2])
    with office.database.read() as session:
        (piece,) = metrics.pieces(session, wanted)
    assert piece.columns == {"step": [1], "train/loss": [1.0], "a.b [c], {d} $e 'f'": [2.0]}
