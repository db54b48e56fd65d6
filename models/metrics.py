"""Curves of a job, kept as chunks of columns: one row per flush instead of one per number.

A chunk never crosses a checkpoint, so that starting again from one drops whole chunks and each series has each step
once. Numbers are JSON's: one that is not finite is null in its column and named in the chunk's `nonfinite`.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from sqlalchemy import delete, func, select, true
from sqlalchemy.orm import Session
from sqlalchemy.sql.elements import ColumnElement

from models import jobs
from models.tables import Json, MetricChunk

Interval = Literal["step", "epoch", "layer"]
"""`layer`: at ends of epochs too, what the last step did to every layer."""
Column = list[float | int | None]


@dataclass
class Series:
    """Columns of equal length; `step` is one of them. A value that a chunk lacks is null."""

    columns: dict[str, Column] = field(default_factory=dict)
    nonfinite: dict[str, list[int]] = field(default_factory=dict)
    """Column name → the steps at which the value was not a finite number."""

    def extend(self, more: "Series") -> None:
        """Put what comes after it behind it."""
        length = len(self.columns["step"])
        for name, values in more.columns.items():
            self.columns.setdefault(name, [None] * length).extend(values)
        for column in self.columns.values():
            column.extend([None] * (len(self.columns["step"]) - len(column)))
        for name, steps in more.nonfinite.items():
            self.nonfinite.setdefault(name, []).extend(steps)

    def head(self, rows: int) -> "Series":
        """Its first rows."""
        steps = self.columns["step"]
        if len(steps) <= rows:
            return self
        shown = set(steps[:rows])
        flags = {name: [step for step in at if step in shown] for name, at in self.nonfinite.items()}
        return Series(
            {name: values[:rows] for name, values in self.columns.items()},
            {name: at for name, at in flags.items() if at},
        )


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
            points=len(steps),
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


@dataclass(frozen=True)
class Wanted:
    """Which part of which curves of a job."""

    job_id: str
    interval: Interval
    since_step: int = 0
    """Only what comes after this step."""
    keys: Sequence[str] = ()
    """Only these columns, and `step`; all when there are none."""

    @property
    def conditions(self) -> ColumnElement[bool]:
        mine = (MetricChunk.job_id == self.job_id) & (MetricChunk.interval == self.interval)
        if not self.since_step:
            return mine
        last = select(func.max(MetricChunk.first_step)).where(mine, MetricChunk.first_step <= self.since_step)
        begun = MetricChunk.first_step >= func.coalesce(last.scalar_subquery(), 0)  # none before it reaches so far
        return mine & begun & (MetricChunk.last_step > self.since_step)


class Extent(NamedTuple):
    """How much there is, before any of it is read."""

    rows: int
    """A little more when `since_step` falls inside a chunk."""
    first_step: int
    last_step: int


def extent(session: Session, wanted: Wanted) -> Extent | None:
    counts = select(func.sum(MetricChunk.points), func.min(MetricChunk.first_step), func.max(MetricChunk.last_step))
    rows, first, last = session.execute(counts.where(wanted.conditions)).one()
    return None if rows is None else Extent(int(rows), max(first, wanted.since_step + 1), last)


def names(session: Session, wanted: Wanted) -> list[str]:
    """Names of the columns that there are, `step` first."""
    on_postgres = session.get_bind().dialect.name == "postgresql"
    kept = MetricChunk.columns["columns"]
    if on_postgres:
        each = func.json_object_keys(kept).table_valued("key").render_derived()
    else:
        each = func.json_each(kept).table_valued("key")
    query = select(each.c.key).select_from(MetricChunk).join(each, true()).where(wanted.conditions).distinct()
    found = set(session.scalars(query))
    shown = found & set(wanted.keys) if wanted.keys else found
    return ["step", *sorted(shown - {"step"})]


CHUNKS = 64
"""That are read at once."""


def pieces(session: Session, wanted: Wanted) -> Iterator[Series]:
    """The curves chunk by chunk; only what is wanted leaves the database, and never all of it at once."""
    query = select(MetricChunk.first_step, *_parts(wanted)).where(wanted.conditions).order_by(MetricChunk.first_step)
    query = query.limit(CHUNKS)
    rows = session.execute(query).all()
    while rows:
        for _, nonfinite, *columns in rows:
            chunk = dict(zip(("step", *wanted.keys), columns, strict=True)) if wanted.keys else columns[0]
            yield _piece(chunk, nonfinite, wanted.since_step)
        behind = query.where(MetricChunk.first_step > rows[-1].first_step)
        rows = session.execute(behind).all() if len(rows) == CHUNKS else []


def _parts(wanted: Wanted) -> list[ColumnElement[Any]]:
    kept, flags = MetricChunk.columns["columns"], MetricChunk.columns["nonfinite"]
    return [flags, kept["step"], *(kept[key] for key in wanted.keys)] if wanted.keys else [flags, kept]


def _piece(chunk: Mapping[str, Column | None], nonfinite: Mapping[str, list[int]], since_step: int) -> Series:
    steps = chunk["step"] or []
    kept = [index for index, step in enumerate(steps) if step is not None and step > since_step]
    columns = {name: [values[index] for index in kept] for name, values in chunk.items() if values is not None}
    flags = {name: [step for step in at if step > since_step] for name, at in nonfinite.items() if name in columns}
    return Series(columns, {name: at for name, at in flags.items() if at})


def read(session: Session, wanted: Wanted, limit: int) -> tuple[Series, bool]:
    """At most `limit` rows, and whether there are more behind them."""
    series = Series({"step": []})
    for piece in pieces(session, wanted):
        room = limit - len(series.columns["step"])
        series.extend(piece.head(room))
        if room < len(piece.columns["step"]):
            return series, True
    return series, False


def last_epoch(session: Session, job_id: str) -> dict[str, float | int | None] | None:
    """The newest values of the epoch's curves."""
    mine = (MetricChunk.job_id == job_id) & (MetricChunk.interval == "epoch")
    newest = select(MetricChunk.columns["columns"]).where(mine).order_by(MetricChunk.first_step.desc()).limit(1)
    columns = session.scalars(newest).one_or_none()
    return None if columns is None else {name: values[-1] for name, values in columns.items()}


def _drop(session: Session, job_id: str, *conditions: ColumnElement[bool]) -> None:
    statement = delete(MetricChunk).where(MetricChunk.job_id == job_id, *conditions)
    session.execute(statement, execution_options={"synchronize_session": False})


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
