"""Fewer rows that show the same: what a curve's eye-catching points are is kept."""

from models.metrics import Column, Series


def downsample(series: Series, max_points: int) -> Series:
    """At most `max_points` rows of the series: in each of some buckets of equal length the rows where a column is
    smallest or greatest. A series that is short enough stays as it is."""
    steps = series.columns["step"]
    if len(steps) <= max_points:
        return series
    curves = [column for name, column in series.columns.items() if name != "step"]
    buckets = max(1, max_points // max(1, 2 * len(curves)))
    kept: set[int] = set()
    for bucket in range(buckets):
        rows = range(bucket * len(steps) // buckets, (bucket + 1) * len(steps) // buckets)
        kept |= _extremes(rows, curves)
    chosen = sorted(kept)
    return Series(
        columns={name: [column[row] for row in chosen] for name, column in series.columns.items()},
        nonfinite=series.nonfinite,
    )


def _extremes(rows: range, curves: list[Column]) -> set[int]:
    found: set[int] = set()
    for curve in curves:
        values = [(value, row) for row in rows if (value := curve[row]) is not None]
        if values:
            found |= {min(values)[1], max(values)[1]}
    return found
