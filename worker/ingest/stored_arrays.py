"""Reads arrays out of an `.npz`, piece by piece, after checking each header; pickles are never read."""

import math
import sys
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from worker.ingest.archive import Entry
from worker.ingest.errors import IngestError, printable
from worker.ingest.limits import MIB
from worker.ingest.zips import EntryStream, ZipArchive

PIECE = 2 * MIB
_MAX_DIMENSIONS = 8
_FIRST_SURROGATE, _LAST_SURROGATE = 0xD800, 0xDFFF
_DAMAGE = (
    ValueError,
    TypeError,
    SyntaxError,
    EOFError,
    RecursionError,
    LookupError,
    OverflowError,
    tokenize.TokenError,
)
"""What NumPy raises for a header that is none."""


@dataclass(frozen=True, slots=True)
class Header:
    """What an `.npy` says of itself; `shape` is checked against the bytes that are there."""

    dtype: np.dtype[np.generic]
    shape: tuple[int, ...]

    @property
    def row_values(self) -> int:
        """Values in one row, a row being what the first axis counts."""
        return math.prod(self.shape[1:])


class StoredArray:
    """One array of an `.npz`: its name, its checked header, and its rows."""

    def __init__(self, archive: ZipArchive, entry: Entry) -> None:
        self.name = entry.parts[-1].removesuffix(".npy")
        self.entry = entry
        self._archive = archive
        with archive.stream(entry) as stream:
            self.header = _read_header(stream, entry)
        archive.meter.require(math.prod(self.header.shape) * self.header.dtype.itemsize, entry.name)

    @property
    def rows(self) -> int:
        """The length of the first axis."""
        return self.header.shape[0]

    def pieces(self) -> Iterator[NDArray[np.generic]]:
        """The array from its first row to its last, a few MB at a time, each piece (rows, *shape[1:])."""
        header = self.header
        row_bytes = header.row_values * header.dtype.itemsize
        step = max(1, PIECE // row_bytes)
        with self._archive.stream(self.entry) as stream:
            _read_header(stream, self.entry)
            for first in range(0, self.rows, step):
                count = min(step, self.rows - first)
                data = _read_exactly(stream, count * row_bytes, self.entry)
                yield np.frombuffer(data, header.dtype).reshape(count, *header.shape[1:])
            if stream.read(1):
                raise damaged(self.entry, "more bytes follow than its header claims")

    def whole(self) -> NDArray[np.generic]:
        """The array at once; for those known to be small."""
        values = np.concatenate(list(self.pieces()))
        if values.dtype.kind == "U":
            _check_text(values, self.entry)
        return values


def _check_text(values: NDArray[np.generic], entry: Entry) -> None:
    """Refuse what is no Unicode, upon which Python's own strings break."""
    codes = np.frombuffer(values.astype(values.dtype.newbyteorder("=")).tobytes(), np.uint32)
    if (codes > sys.maxunicode).any() or ((codes >= _FIRST_SURROGATE) & (codes <= _LAST_SURROGATE)).any():
        raise damaged(entry, "its text is no Unicode")


def damaged(entry: Entry, reason: str) -> IngestError:
    """The refusal of an array whose bytes are not what they should be."""
    return IngestError("array_damaged", f"The array {printable(entry.name)!r} is damaged: {reason}.", entry.name)


def _read_header(stream: EntryStream, entry: Entry) -> Header:
    try:
        version = np.lib.format.read_magic(stream)
        if version == (1, 0):
            shape, by_columns, dtype = np.lib.format.read_array_header_1_0(stream)
        elif version == (2, 0):
            shape, by_columns, dtype = np.lib.format.read_array_header_2_0(stream)
        else:
            raise damaged(entry, f"its format version {version} holds structured values, which are not read")
    except _DAMAGE as error:
        raise damaged(entry, f"its header cannot be read ({printable(str(error), 120)})") from error
    _check_header(entry, shape, by_columns, dtype)
    return Header(dtype, shape)


def _check_header(entry: Entry, shape: tuple[int, ...], by_columns: bool, dtype: np.dtype[np.generic]) -> None:
    name = printable(entry.name)
    if dtype.hasobject:
        raise IngestError(
            "object_array",
            f"The array {name!r} holds Python objects, which can only be read by running a pickle and never are. "
            "Save plain numbers or fixed-length text.",
            entry.name,
        )
    if dtype.kind not in "biufUS" or dtype.itemsize == 0 or dtype.subdtype is not None:
        raise IngestError(
            "array_type", f"The array {name!r} is of type {dtype}; numbers and text are read.", entry.name
        )
    if not 1 <= len(shape) <= _MAX_DIMENSIONS or any(length < 0 for length in shape):
        raise damaged(entry, f"its shape is {shape}")
    if 0 in shape:
        raise IngestError("empty", f"The array {name!r} has shape {shape}: it holds nothing.", entry.name)
    if by_columns and len(shape) > 1:
        raise IngestError(
            "array_shape",
            f"The array {name!r} is stored column by column (Fortran order); save numpy.ascontiguousarray(array).",
            entry.name,
        )
    claimed = math.prod(shape) * dtype.itemsize
    if claimed > entry.size:
        raise damaged(entry, f"its header claims {claimed:,} bytes and {entry.size:,} are there")


def _read_exactly(stream: EntryStream, count: int, entry: Entry) -> bytes:
    data = bytearray()
    while len(data) < count:
        piece = stream.read(count - len(data))
        if not piece:
            raise damaged(entry, f"it ends {count - len(data):,} bytes early")
        data += piece
    return bytes(data)
