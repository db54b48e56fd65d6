"""Curves as files: csv and parquet, written piece by piece while they are sent."""

import csv
import io
import math
from collections.abc import Iterable, Iterator
from typing import Any

from models.metrics import Series

WHOLE = {"step", "epoch"}
"""Columns of whole numbers."""


def as_csv(pieces: Iterable[Series], names: list[str]) -> Iterator[bytes]:
    """RFC 4180, with a header. A value that is missing is empty, one that is not finite is `nan`."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(names)
    for piece in pieces:
        writer.writerows(zip(*(_filled(piece, name) for name in names), strict=True))
        yield text.getvalue().encode()
        text.seek(0)
        text.truncate()
    yield text.getvalue().encode()


def as_parquet(pieces: Iterable[Series], names: list[str]) -> Iterator[bytes]:
    """A row group for each piece. A value that is missing is null, one that is not finite is NaN."""
    import pyarrow
    from pyarrow import parquet

    kinds = {name: pyarrow.int64() if name in WHOLE else pyarrow.float64() for name in names}
    sink = _Sink()
    with parquet.ParquetWriter(sink, pyarrow.schema(kinds)) as writer:
        for piece in pieces:
            columns = {name: pyarrow.array(_filled(piece, name), kind) for name, kind in kinds.items()}
            writer.write_table(pyarrow.table(columns))
            yield sink.taken()
    yield sink.taken()


def _filled(piece: Series, name: str) -> list[Any]:
    steps = piece.columns["step"]
    values = piece.columns.get(name, [None] * len(steps))
    flagged = set(piece.nonfinite.get(name, ()))
    return [math.nan if step in flagged else value for step, value in zip(steps, values, strict=True)]


class _Sink(io.RawIOBase):
    """A file that gives away what was written to it."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._length = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        piece = bytes(data)
        self._pieces.append(piece)
        self._length += len(piece)
        return len(piece)

    def tell(self) -> int:
        return self._length

    def taken(self) -> bytes:
        taken = b"".join(self._pieces)
        self._pieces.clear()
        return taken
