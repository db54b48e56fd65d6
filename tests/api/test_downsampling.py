"""Fewer rows that show the same."""

import numpy
from hypothesis import given
from hypothesis import strategies as st

from api.downsampling import MOST_FLAGS, Thinned, downsample
from models.metrics import Column, Extent, Series


def _thin(curves: list[Column], points: int, piece: int = 7) -> Thinned:
    """The curves at the steps 1, 2, …, in pieces as the database gives them."""
    length = len(curves[0])
    columns: dict[str, Column] = {"step": [*range(1, length + 1)]}
    columns |= {f"c{index}": curve for index, curve in enumerate(curves)}
    pieces = [
        Series({name: column[start : start + piece] for name, column in columns.items()})
        for start in range(0, length, piece)
    ]
    return downsample(pieces, list(columns), Extent(length, 1, length), points)


@given(st.integers(100, 400), st.integers(10, 60), st.integers(0, 2**32 - 1))
def test_no_more_rows_than_asked_and_every_extreme(length: int, points: int, seed: int) -> None:
    curves = numpy.random.default_rng(seed).normal(size=(3, length)).tolist()
    thin = _thin(curves, points)
    steps = thin.series.columns["step"]
    assert thin.rows == length
    assert len(steps) <= points
    assert steps == sorted(set(filter(None, steps)))
    for index, curve in enumerate(curves):
        assert {min(curve), max(curve)} <= set(thin.series.columns[f"c{index}"])


@given(st.integers(50, 300), st.integers(4, 40), st.integers(0, 2**32 - 1))
def test_every_bucket_keeps_its_smallest_and_its_greatest(length: int, points: int, seed: int) -> None:
    curve = numpy.random.default_rng(seed).normal(size=length)
    kept = set(_thin([curve.tolist()], points).series.columns["c0"])
    buckets = points // 2
    place = numpy.arange(length) * buckets // length
    for bucket in range(buckets):
        values = curve[place == bucket]
        assert len(values) == 0 or {values.min(), values.max()} <= kept


def test_a_row_is_kept_whole() -> None:
    thin = _thin([[0.0, 9.0, 0.0, 0.0], [1.0, 2.0, 3.0, 4.0]], 4).series.columns
    assert dict(zip(thin["c0"], thin["c1"], strict=True))[9.0] == 2.0


def test_columns_without_values_cost_nothing() -> None:
    thin = _thin([[None] * 50, [float(value) for value in range(50)]], 8).series
    assert (thin.columns["c1"][0], thin.columns["c1"][-1]) == (0.0, 49.0)


def test_flags_are_not_without_end() -> None:
    steps = list(range(1, 5001))
    piece = Series({"step": [*steps], "loss": [None] * 5000}, {"loss": steps})
    thin = downsample([piece], ["step", "loss"], Extent(5000, 1, 5000), 10)
    assert thin.series.nonfinite == {"loss": steps[:MOST_FLAGS]}
