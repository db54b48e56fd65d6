"""Fewer rows that show the same: what a curve's eye-catching points are is kept."""

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from models.metrics import Extent, Series

MOST_FLAGS = 1000
"""Steps that are named for one column as not finite."""
Row = dict[str, float | int | None]


@dataclass
class Thinned:
    """What is left of a long series, and how many rows it had."""

    series: Series
    rows: int


def downsample(pieces: Iterable[Series], names: list[str], extent: Extent, max_points: int) -> Thinned:
    """At most `max_points` rows: of buckets that span equally many steps, the rows where a column is smallest or
    greatest. In memory there are never more than these and one piece.

    Args:
        names: all columns, `step` first.
    """
    curves = names[1:]
    count = max(1, max_points // max(1, 2 * len(curves)))
    buckets = [_Bucket() for _ in range(count)]
    nonfinite: dict[str, list[int]] = {}
    rows = 0
    for piece in pieces:
        for place, part in _parts(piece, extent, count):
            buckets[place].take(piece, part, curves)
        rows += len(piece.columns["step"])
        for name, steps in piece.nonfinite.items():
            flagged = nonfinite.setdefault(name, [])
            flagged += steps[: MOST_FLAGS - len(flagged)]
    kept = [row for bucket in buckets for row in bucket.rows()]
    return Thinned(Series({name: [row.get(name) for row in kept] for name in names}, nonfinite), rows)


@dataclass
class _Bucket:
    """The rows in which a column is smallest or greatest so far."""

    lowest: dict[str, Row] = field(default_factory=dict)
    highest: dict[str, Row] = field(default_factory=dict)

    def take(self, piece: Series, part: slice, curves: list[str]) -> None:
        for name in curves:
            values = piece.columns.get(name, [])[part]
            numbers = [value for value in values if value is not None]
            if not numbers:
                continue
            low, high = min(numbers), max(numbers)
            if name not in self.lowest or low < _number(self.lowest[name], name):
                self.lowest[name] = _row(piece, part.start + values.index(low))
            if name not in self.highest or high > _number(self.highest[name], name):
                self.highest[name] = _row(piece, part.start + values.index(high))

    def rows(self) -> list[Row]:
        kept = {_number(row, "step"): row for row in (*self.lowest.values(), *self.highest.values())}
        return [kept[step] for step in sorted(kept)]


def _parts(piece: Series, extent: Extent, count: int) -> Iterator[tuple[int, slice]]:
    """Which rows of a piece lie in which bucket. Rows that have come since the extent was asked for lie in the last."""
    span = extent.last_step - extent.first_step + 1
    places = [
        min(max((int(step or 0) - extent.first_step) * count // span, 0), count - 1) for step in piece.columns["step"]
    ]
    start = 0
    while start < len(places):
        end = bisect_right(places, places[start])
        yield places[start], slice(start, end)
        start = end


def _row(piece: Series, index: int) -> Row:
    return {name: values[index] for name, values in piece.columns.items()}


def _number(row: Row, name: str) -> float:
    value = row[name]
    assert value is not None
    return value
