"""Fewer rows that show the same."""

import numpy
from hypothesis import given
from hypothesis import strategies as st

from api.downsampling import downsample
from models.metrics import Series


def _series(*curves: list[float | None]) -> Series:
    columns = {f"c{index}": curve for index, curve in enumerate(curves)}
    return Series(columns={"step": [*range(1, len(curves[0]) + 1)], **columns})


def test_a_short_series_stays_as_it_is() -> None:
    series = _series([1.0, 2.0])
    assert downsample(series, 2) is series


@given(st.integers(100, 400), st.integers(10, 60), st.integers(0, 2**32 - 1))
def test_no_more_rows_than_asked_and_every_extreme(length: int, points: int, seed: int) -> None:
    curves = numpy.random.default_rng(seed).normal(size=(3, length)).tolist()
    thin = downsample(_series(*curves), points)
    assert len(thin.columns["step"]) <= points
    assert list(thin.columns["step"]) == sorted(set(map(float, filter(None, thin.columns["step"]))))
    for index, curve in enumerate(curves):
        kept = thin.columns[f"c{index}"]
        assert {min(curve), max(curve)} <= set(kept)


def test_columns_without_values_cost_nothing() -> None:
    thin = downsample(_series([None] * 50, [float(value) for value in range(50)]), 8)
    assert thin.columns["c1"][0] == 0.0
    assert thin.columns["c1"][-1] == 49.0
