"""A curve in one line of text."""

from collections.abc import Sequence

__all__ = ["sparkline"]

BARS = "▁▂▃▄▅▆▇█"


def sparkline(values: Sequence[float | int | None], width: int = 40) -> str:
    """Bars from the lowest value to the highest; a gap where there is none. Longer curves are thinned out by means."""
    cells = [_mean(values[low:high]) for low, high in _buckets(len(values), width)]
    known = [cell for cell in cells if cell is not None]
    if not known:
        return " " * len(cells)
    low, high = min(known), max(known)
    return "".join(" " if cell is None else _bar(cell, low, high) for cell in cells)


def _buckets(length: int, width: int) -> list[tuple[int, int]]:
    count = min(length, width)
    return [(length * index // count, length * (index + 1) // count) for index in range(count)]


def _mean(values: Sequence[float | int | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _bar(value: float, low: float, high: float) -> str:
    share = (value - low) / (high - low) if high > low else 0.5
    return BARS[min(int(share * len(BARS)), len(BARS) - 1)]
