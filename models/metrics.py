"""Curves of a job, kept as chunks of columns: one row per flush instead of one per number.

A chunk never crosses a checkpoint, so that starting again from one drops whole chunks and each series has each step
once. Numbers are JSON's: one that is not finite is null in its column and named in the chunk's `nonfinite`.
"""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from sqlalchemy import delete, select
from sqlalchemy.orm import Session
from sqlalchemy.sql.elements import ColumnElement

from models import jobs
from models.tables import Json, MetricChunk

Interval = Literal["step", "epoch"]
Column = list[float | int | None]


@dataclass
class Series:
    """Columns of equal length; `step` is one of them. A value that a chunk lacks is null."""

    columns: dict[str, Column] = field(default_factory=dict)
    nonfinite: dict[str, list[int]] = field(default_factory=dict)
    """Column name → the steps at which the value was not a finite number."""


def append(
    session: Session,
    job_id: str,
    attempt: int,
    interval: Interval,
    columns: Mapping[str, Sequence[float]],
    progress: Json,
) -> None:
    """Add the next steps of an owned job and say how far it is. Doing it again changes nothing.

    Args:
        columns: equal-length columns; `step` among them, ascending.
    """
    jobs.fence(session, job_id, attempt, progress=progress)
    steps = [int(step) for step in columns["step"]]
    _drop(session, job_id, MetricChunk.interval == interval, MetricChunk.first_step >= steps[0])
    session.add(
        MetricChunk(
            job_id=job_id,
            interval=interval,
            first_step=steps[0],
            last_step=steps[-1],
            attempt=attempt,
            columns={
                "columns": {name: [finite(value) for value in values] for name, values in columns.items()},
                "nonfinite": _nonfinite(columns, steps),
            },
        )
    )


def drop_after(session: Session, job_id: str, attempt: int, step: int) -> None:
    """Forget what an earlier attempt reported beyond the checkpoint that this one starts from."""
    jobs.fence(session, job_id, attempt)
    _drop(session, job_id, MetricChunk.first_step > step)


def read(session: Session, job_id: str, interval: Interval, *, since_step: int = 0, keys: Sequence[str] = ()) -> Series:
    """The columns of the steps after `since_step`."""
    query = (
        select(MetricChunk)
        .where(MetricChunk.job_id == job_id, MetricChunk.interval == interval, MetricChunk.last_step > since_step)
        .order_by(MetricChunk.first_step)
    )
    series = Series(columns={"step": []})
    nonfinite: dict[str, list[int]] = defaultdict(list)
    for chunk in session.scalars(query):
        _extend(series.columns, chunk.columns["columns"], since_step, keys)
        for name, steps in chunk.columns["nonfinite"].items():
            if name in series.columns:
                nonfinite[name] += [step for step in steps if step > since_step]
    series.nonfinite = dict(nonfinite)
    return series


def _drop(session: Session, job_id: str, *conditions: ColumnElement[bool]) -> None:
    statement = delete(MetricChunk).where(MetricChunk.job_id == job_id, *conditions)
    session.execute(statement, execution_options={"synchronize_session": False})


def _extend(columns: dict[str, Column], chunk: dict[str, Column], since_step: int, keys: Sequence[str]) -> None:
    kept = [index for index, step in enumerate(chunk["step"]) if step is not None and step > since_step]
    length = len(columns["step"])
    for name in chunk:
        if name == "step" or not keys or name in keys:
            columns.setdefault(name, [None] * length).extend(chunk[name][index] for index in kept)
    for column in columns.values():
        column.extend([None] * (length + len(kept) - len(column)))


def finite(value: float) -> float | None:
    """JSON has no NaN and no infinity: null stands for them."""
    return value if math.isfinite(value) else None


def strict(tree: Any) -> Any:
    """A JSON value with null for every number that JSON does not have."""
    match tree:
        case float():
            return finite(tree)
        case dict():
            return {name: strict(value) for name, value in tree.items()}
        case list():
            return [strict(value) for value in tree]
        case _:
            return tree


def _nonfinite(columns: Mapping[str, Sequence[float]], steps: list[int]) -> dict[str, list[int]]:
    found = {
        name: [steps[i] for i, value in enumerate(values) if not math.isfinite(value)]
        for name, values in columns.items()
    }
    return {name: at for name, at in found.items() if at}
