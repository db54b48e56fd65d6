"""Rows of a table in blocks of columns, and those of a CSV file with bounds on cells, rows and memory; every refusal
names its row.
"""

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

import numpy as np
from numpy.typing import NDArray

from worker.ingest.errors import IngestError, printable
from worker.ingest.limits import MIB, Limits

BLOCK_CELLS = 2**17
BLOCK_BYTES = 4 * MIB
MAX_HEADER = 256
_BOM = b"\xef\xbb\xbf"


Cells = tuple[str, ...] | NDArray[np.float64]
"""One column: stripped text, or numbers with NaN where there is none."""


@dataclass(frozen=True, slots=True)
class Block:
    """Some consecutive rows as columns; `rows` holds the number of each, a CSV file's header being row 1."""

    rows: Sequence[int]
    columns: Sequence[Cells]

    def text(self, index: int) -> tuple[str, ...]:
        """A column that is not of numbers."""
        cells = self.columns[index]
        assert isinstance(cells, tuple)
        return cells


class Rows(Protocol):
    """What the readers of tables have in common."""

    @property
    def names(self) -> tuple[str, ...]:
        """Of the columns."""

    def blocks(self) -> Iterator[Block]:
        """Every row, as often as asked for."""


class Table:
    """A CSV file with a header: `names`, and its rows as blocks, as often as asked for."""

    def __init__(self, path: Path, limits: Limits) -> None:
        self._path = path
        self._limits = limits
        with path.open("rb") as file:
            header = next(_rows(file, limits), None)
        if header is None:
            raise IngestError("empty", "The table has no row.")
        self.names = _header(header[1])

    def blocks(self) -> Iterator[Block]:
        """Every row below the header; blank lines hold nothing and are passed over."""
        numbers: list[int] = []
        cells: list[list[str]] = []
        size = 0
        with self._path.open("rb") as file:
            rows = _rows(file, self._limits)
            next(rows)
            for number, row in rows:
                self._check(number, row)
                numbers.append(number)
                cells.append(row)
                size += sum(map(len, row))
                if len(cells) * len(row) >= BLOCK_CELLS or size >= BLOCK_BYTES:
                    yield _block(numbers, cells)
                    numbers, cells, size = [], [], 0
        if cells:
            yield _block(numbers, cells)

    def _check(self, number: int, row: list[str]) -> None:
        if len(row) != len(self.names):
            raise IngestError(
                "ragged_row",
                f"Row {number:,} has {len(row):,} cells; {len(self.names):,} are expected, as many as the header "
                "names. Quote a cell that holds a comma.",
                row=number,
            )


def _block(numbers: list[int], cells: list[list[str]]) -> Block:
    return Block(tuple(numbers), [tuple(cell.strip() for cell in column) for column in zip(*cells, strict=True)])


class _Lines:
    """The lines of a file as text; refuses a record that is too long, and what is not UTF-8."""

    def __init__(self, file: BinaryIO, limits: Limits) -> None:
        self._file = file
        self._limits = limits
        self._record_bytes = 0
        self.row = 1

    def next_record(self) -> None:
        """A record is complete."""
        self.row += 1
        self._record_bytes = 0

    def __iter__(self) -> Iterator[str]:
        first = True
        while line := self._file.readline(self._limits.row_bytes + 1):
            self._record_bytes += len(line)
            if self._record_bytes > self._limits.row_bytes:
                detail = (
                    f"Row {self.row:,} has more than {self._limits.row_bytes:,} bytes. Is a quotation mark left open?"
                )
                raise IngestError("row_too_large", detail, row=self.row)
            yield self._text(line.removeprefix(_BOM) if first else line)
            first = False

    def _text(self, line: bytes) -> str:
        if b"\0" in line:
            raise IngestError(
                "wrong_encoding", f"Row {self.row:,} holds a NUL byte: the file is not text in UTF-8.", row=self.row
            )
        try:
            return line.decode()
        except UnicodeDecodeError as error:
            place = f"byte {line[error.start]:#04x} at position {error.start + 1}"
            detail = f"Row {self.row:,} is not UTF-8 ({place}). Save the table as UTF-8."
            raise IngestError("wrong_encoding", detail, row=self.row) from error


def _rows(file: BinaryIO, limits: Limits) -> Iterator[tuple[int, list[str]]]:
    """Every record that is not blank, with its number."""
    csv.field_size_limit(limits.cell_bytes)
    lines = _Lines(file, limits)
    reader = csv.reader(iter(lines), strict=True)
    while True:
        try:
            row = next(reader, None)
        except csv.Error as error:
            raise _malformed(error, lines.row, limits) from error
        if row is None:
            return
        if len(row) > limits.columns:
            detail = f"Row {lines.row:,} has {len(row):,} cells; at most {limits.columns:,} columns are read."
            raise IngestError("too_many_columns", detail, row=lines.row)
        if row:
            yield lines.row, row
        lines.next_record()


def _malformed(error: csv.Error, row: int, limits: Limits) -> IngestError:
    message = str(error)
    if "field limit" in message:
        return IngestError(
            "cell_too_large", f"Row {row:,} has a cell of more than {limits.cell_bytes:,} characters.", row=row
        )
    advice = {
        "unexpected end of data": "the file ends in a quoted cell: it is cut short, or a quotation mark is left open",
        "new-line": "lines end with a bare carriage return; save the file with Unix or Windows line ends",
        "expected after": "a quoted cell goes on after its closing mark; write a quotation mark inside as two",
    }
    reason = next((text for start, text in advice.items() if start in message), printable(message))
    return IngestError("malformed_csv", f"Row {row:,}: {reason}.", row=row)


def _header(cells: list[str]) -> tuple[str, ...]:
    names = tuple(cell.strip() for cell in cells)
    if len(names) == 1 and (other := re.search(r"[;\t|]", names[0])):
        raise IngestError(
            "malformed_csv", f"The header has no comma but {other[0]!r}; separate cells by commas.", row=1
        )
    check_names(names)
    if all(_is_number(name) for name in names):
        raise IngestError("header_missing", "The first row must name the columns, and holds only numbers.", row=1)
    return names


def check_names(names: Sequence[str]) -> None:
    """Raises IngestError for columns without a name, or with the same."""
    for position, name in enumerate(names, 1):
        if not name or len(name) > MAX_HEADER or not name.isprintable():
            shown = printable(name, 40)
            detail = f"The header's cell {position} must be a name of 1 to {MAX_HEADER} characters, not {shown!r}."
            raise IngestError("header_missing", detail, row=1)
    double = (
        next((name for position, name in enumerate(names) if name in names[:position]), None)
        if len(set(names)) < len(names)
        else None
    )
    if double is not None:
        raise IngestError("duplicate_column", f"The header names the column {printable(double)!r} twice.", row=1)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
