"""What is learnt of the columns of a table while its cells go by."""

from collections.abc import Sequence
from itertools import starmap
from math import nan

import numpy as np
from numpy.typing import NDArray

from models.spec.manifest import NumericColumn
from worker.ingest.errors import IngestError, printable
from worker.ingest.limits import Limits
from worker.ingest.rows import Cells

MISSING = frozenset({"", "na", "nan", "null", "?"})
"""What stands for no value, in any case of letters."""
MAX_DISTINCT = 100

Numbers = NDArray[np.float64]


def is_missing(cell: str) -> bool:
    """Whether a stripped cell says that there is no value."""
    return cell.lower() in MISSING


def numbers(cells: Cells) -> Sequence[float] | Numbers | None:
    """The cells as numbers, NaN where a value is missing, or None when one of them is text."""
    if not isinstance(cells, tuple):
        return cells
    try:
        values = list(map(float, cells))
    except ValueError:
        try:
            values = [nan if is_missing(cell) else float(cell) for cell in cells]
        except ValueError:
            return None
    return None if any("_" in cell for cell in cells) else values  # Python reads 1_000, a table does not mean it


def first_infinite(values: Sequence[float] | Numbers) -> int | None:
    """The place of the first value too large for a float64, or written as infinite."""
    places = np.flatnonzero(np.isinf(values))
    return int(places[0]) if len(places) else None


class Categories:
    """The different texts of one column, numbered as they appear; gives up on a column that looks like free text."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._codes: dict[str, int] = {}
        self.given_up: str | None = None

    def __len__(self) -> int:
        return len(self._codes)

    def encode(self, cells: tuple[str, ...]) -> list[float]:
        """The number of each cell's text; NaN where it is missing, or once the column is given up."""
        return [nan if self.given_up or is_missing(cell) else self._code(cell) for cell in cells]

    def _code(self, cell: str) -> float:
        code = self._codes.setdefault(cell, len(self._codes))
        if len(self._codes) > self._limits.categories:
            self._give_up(f"text with more than {self._limits.categories:,} different values")
        elif len(cell) > self._limits.category_characters:
            self._give_up(f"text of more than {self._limits.category_characters:,} characters")
        elif not cell.isprintable():
            self._give_up("text of several lines")
        return code

    def _give_up(self, reason: str) -> None:
        self.given_up = reason
        self._codes.clear()

    def sorted(self) -> tuple[tuple[str, ...], Numbers]:
        """The texts in order, and for each number by appearance the one by order."""
        texts = tuple(sorted(self._codes))
        order = np.zeros(len(texts), np.float64)
        for place, text in enumerate(texts):
            order[self._codes[text]] = place
        return tuple(printable(text) for text in texts), order


class Statistics:
    """Count, mean, spread, range and different values of columns, by blocks of rows; NaN counts as missing.

    Means and sums of squares are merged as in Chan, Golub and LeVeque, "Updating formulae and a pairwise algorithm for
    computing sample variances" (1979).
    """

    def __init__(self, columns: int) -> None:
        self._rows = 0
        self._count = np.zeros(columns)
        self._mean = np.zeros(columns)
        self._squares = np.zeros(columns)
        self._minimum = np.full(columns, nan)
        self._maximum = np.full(columns, nan)
        self._distinct: list[set[float] | None] = [set() for _ in range(columns)]

    def add(self, block: Numbers) -> None:
        """Take in rows (rows, columns)."""
        self._rows += len(block)
        present = ~np.isnan(block)
        count = present.sum(axis=0)
        divisor = np.maximum(count, 1)
        with np.errstate(over="ignore", invalid="ignore"):
            mean = np.where(present, block, 0).sum(axis=0) / divisor
            squares = (np.where(present, block - mean, 0) ** 2).sum(axis=0)
            together = np.maximum(self._count + count, 1)
            apart = mean - self._mean
            self._squares += squares + apart**2 * (self._count * count / together)
            self._mean += apart * (count / together)
        self._count += count
        self._minimum = np.fmin(self._minimum, np.fmin.reduce(block, axis=0))
        self._maximum = np.fmax(self._maximum, np.fmax.reduce(block, axis=0))
        self._distinct = list(starmap(_grown, zip(self._distinct, block.T, strict=True)))

    def missing(self, index: int) -> int:
        """How many rows have no value in a column."""
        return self._rows - int(self._count[index])

    def numeric(self, index: int, name: str) -> NumericColumn:
        """The description of a column of numbers, of which at least one is present."""
        mean, std = float(self._mean[index]), float((self._squares[index] / self._count[index]) ** 0.5)
        if not np.isfinite([mean, std]).all():
            raise IngestError("not_finite", f"The values of column {name!r} are too large for their mean and spread.")
        distinct = self._distinct[index]
        return NumericColumn(
            name=name,
            missing=self.missing(index),
            mean=mean,
            std=std,
            minimum=float(self._minimum[index]),
            maximum=float(self._maximum[index]),
            distinct=None if distinct is None else tuple(sorted(distinct)),
        )


def _grown(known: set[float] | None, values: Numbers) -> set[float] | None:
    if known is None:
        return None
    known.update(np.unique(values[~np.isnan(values)])[: MAX_DISTINCT + 1].tolist())
    return known if len(known) <= MAX_DISTINCT else None
