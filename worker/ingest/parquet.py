"""Packs a Parquet table of flat columns, read in blocks that are metered."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from models.spec.manifest import TableManifest
from worker.ingest.archive import Meter
from worker.ingest.errors import IngestError, printable
from worker.ingest.limits import MIB, Limits
from worker.ingest.progress import OnProgress
from worker.ingest.rows import BLOCK_CELLS, Block, Cells, check_names
from worker.ingest.skips import Skips
from worker.ingest.tables import pack_table

if TYPE_CHECKING:
    import pyarrow

BUFFER = MIB
MOST_ROWS = 8_192
"""Of one block."""
LARGEST_FOOTER = 32 * MIB
FIRST_INDEX = "__index_level_"
"""What pandas calls an index that has no name."""


def pack_parquet(source: Path, target: Path, *, limits: Limits, on_progress: OnProgress) -> TableManifest:
    """Read a Parquet file; all rows are the `train` split."""
    skips = Skips()
    try:
        table = ParquetTable(source, limits, skips)
    except ImportError as error:
        detail = "This worker was installed without pyarrow, which reads Parquet: install it, or save the table as CSV."
        raise IngestError("not_supported", detail) from error
    return pack_table(table, target, skips, limits=limits, on_progress=on_progress)


class ParquetTable:
    """The flat columns of a Parquet file; others are left out and reported.

    Raises IngestError for a damaged file, and for one that unfolds to more than the limits allow. What decompression
    allocates is bounded by the limit on this process's memory.
    """

    def __init__(self, path: Path, limits: Limits, skips: Skips) -> None:
        import pyarrow
        import pyarrow.parquet

        pyarrow.set_cpu_count(1)
        pyarrow.set_io_thread_count(1)
        pyarrow.set_memory_pool(pyarrow.system_memory_pool())  # the others reserve more than a confined process may
        self._arrow, self._limits, self._path = pyarrow, limits, path
        self._known: dict[str, _Texts] = {}
        self._damage = (pyarrow.ArrowException, OSError, ValueError, OverflowError)
        _check_footer(path)
        try:
            self._file = pyarrow.parquet.ParquetFile(path, buffer_size=BUFFER, pre_buffer=False)
        except self._damage as error:
            raise damaged(error) from error
        self.names = self._kept(skips)
        texts = [name for name in self.names if not self._is_number(self._file.schema_arrow.field(name).type)]
        self._file = pyarrow.parquet.ParquetFile(path, buffer_size=BUFFER, pre_buffer=False, read_dictionary=texts)

    def blocks(self) -> Iterator[Block]:
        """Every row, numbered from 1."""
        rows = max(1, min(MOST_ROWS, BLOCK_CELLS // len(self.names)))
        meter = Meter(self._path.stat().st_size, self._limits)
        done = 0
        batches = self._file.iter_batches(rows, columns=list(self.names), use_threads=False)
        while True:
            try:
                batch = next(batches, None)
            except MemoryError:  # of Arrow's too, which is one of its exceptions besides
                raise
            except self._damage as error:
                raise damaged(error) from error
            if batch is None:
                return
            meter.add(8 * batch.num_columns * batch.num_rows)
            columns = [self._cells(batch.column(name), name, meter) for name in self.names]
            yield Block(range(done + 1, done + 1 + batch.num_rows), columns)
            done += batch.num_rows

    def _kept(self, skips: Skips) -> tuple[str, ...]:
        schema, names = self._file.schema_arrow, []
        if self._file.metadata.num_rows > self._limits.examples:
            detail = f"The table has {self._file.metadata.num_rows:,} rows; at most {self._limits.examples:,} are read."
            raise IngestError("too_many_examples", detail)
        if len(schema) > self._limits.columns:
            detail = f"The table has {len(schema):,} columns; at most {self._limits.columns:,} are read."
            raise IngestError("too_many_columns", detail)
        check_names(schema.names)
        for field in schema:
            reason = self._reason(field)
            if reason is None:
                names.append(field.name)
            else:
                skips.add(f"column {field.name}", reason)
        if not names:
            raise IngestError("no_columns", "No column holds numbers, truth values or text.")
        return tuple(names)

    def _reason(self, field: pyarrow.Field) -> str | None:
        """Why a column is not read."""
        types = self._arrow.types
        if field.name.startswith(FIRST_INDEX):
            return "the index of a pandas table; save it with index=False"
        if self._is_number(field.type) or self._is_text(field.type):
            return None
        if types.is_nested(field.type):
            return f"nested values ({field.type}); save one column for each"
        if types.is_temporal(field.type):
            return f"dates or times ({field.type}); save them as numbers, or as text"
        return f"values of type {field.type}, which are not read"

    def _is_number(self, kind: pyarrow.DataType) -> bool:
        types = self._arrow.types
        return bool(
            types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind) or types.is_decimal(kind)
        )

    def _is_text(self, kind: pyarrow.DataType) -> bool:
        types = self._arrow.types
        plain = kind.value_type if types.is_dictionary(kind) else kind
        return bool(types.is_string(plain) or types.is_large_string(plain) or types.is_string_view(plain))

    def _cells(self, column: pyarrow.Array, name: str, meter: Meter) -> Cells:
        """Numbers as they are, with NaN for null; text stripped, with nothing for null."""
        arrow = self._arrow
        if self._is_number(column.type):
            if arrow.types.is_boolean(column.type):
                column = column.cast(arrow.uint8())
            values = column.cast(arrow.float64(), safe=False).to_numpy(zero_copy_only=False)
            return np.asarray(values, np.float64)
        if not arrow.types.is_dictionary(column.type):
            column = column.dictionary_encode()
        texts = self._texts(name, column.dictionary)
        places = column.indices.fill_null(len(texts.values) - 1).to_numpy(zero_copy_only=False)
        meter.add(int(texts.lengths[places].sum()))
        return tuple(map(texts.values.__getitem__, places.tolist()))

    def _texts(self, name: str, dictionary: pyarrow.Array) -> _Texts:
        """The different texts of a column, which stay the same for many blocks."""
        known = self._known.get(name)
        if known is None or not known.dictionary.equals(dictionary):
            known = self._known[name] = _Texts(name, dictionary)
            if known.lengths.max() > self._limits.cell_bytes:
                detail = (
                    f"The column {printable(name)!r} has a cell of more than {self._limits.cell_bytes:,} characters."
                )
                raise IngestError("cell_too_large", detail)
        return known


class _Texts:
    """A dictionary of texts, stripped, and behind them the empty one that stands for null."""

    def __init__(self, name: str, dictionary: pyarrow.Array) -> None:
        self.dictionary = dictionary
        try:
            self.values = [*((text or "").strip() for text in dictionary.to_pylist()), ""]
        except UnicodeDecodeError as error:
            detail = f"The column {printable(name)!r} holds text that is not UTF-8."
            raise IngestError("wrong_encoding", detail) from error
        self.lengths = np.array([len(text) for text in self.values], np.int64)


def _check_footer(path: Path) -> None:
    """Refuse a footer that claims more than a table's description needs, before anything is made of it."""
    size = path.stat().st_size
    with path.open("rb") as file:
        file.seek(max(0, size - 8))
        end = file.read(8)
    claimed = int.from_bytes(end[:4], "little")
    if end[4:] != b"PAR1" or claimed > min(size, LARGEST_FOOTER):
        raise IngestError("damaged_parquet", "The Parquet file has no readable footer: it is cut short or damaged.")


def damaged(error: Exception) -> IngestError:
    """The refusal of a file that cannot be read."""
    return IngestError("damaged_parquet", f"The Parquet file cannot be read: {printable(str(error), 120)}.")
