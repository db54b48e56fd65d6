"""Ranges of bytes."""

import pytest

from api.ranges import RangeNotSatisfiable, range_of


@pytest.mark.parametrize(
    ("header", "start", "end"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=0-9", 0, 10),
        ("bytes=3-", 3, 10),
        ("bytes=3-99", 3, 10),
        ("bytes=-4", 6, 10),
        ("bytes=-99", 0, 10),
    ],
)
def test_a_range_names_bytes(header: str, start: int, end: int) -> None:
    assert range_of(header, 10) == (start, end)


@pytest.mark.parametrize(
    "header", [None, "", "bytes", "bytes=", "bytes=-", "bytes=5-2", "bytes=0-1,3-4", "lines=0-1", "bytes=x-y"]
)
def test_what_is_not_one_range_asks_for_all(header: str | None) -> None:
    assert range_of(header, 10) is None


@pytest.mark.parametrize("header", ["bytes=10-", "bytes=10-20", "bytes=-0"])
def test_a_range_of_nothing_cannot_be_served(header: str) -> None:
    with pytest.raises(RangeNotSatisfiable) as refused:
        range_of(header, 10)
    assert refused.value.headers == {"Content-Range": "bytes */10"}
