"""Packs a table: finds the type of each column, then writes every number and category as one float64, and texts as
words.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from models.spec.manifest import ArrayFile, CategoricalColumn, Column, TableManifest, TableSplit
from worker.ingest.columns import Categories, Numbers, Statistics, first_infinite, numbers
from worker.ingest.errors import IngestError, printable
from worker.ingest.limits import Limits
from worker.ingest.npy import CHUNK, ArrayWriter
from worker.ingest.progress import OnProgress, Progress
from worker.ingest.rows import Block, Rows, Table
from worker.ingest.skips import Skips
from worker.ingest.splits import TRAIN
from worker.ingest.texts import write_texts


def pack_csv(source: Path, target: Path, *, limits: Limits, on_progress: OnProgress) -> TableManifest:
    """Read a CSV file; all rows are the `train` split."""
    return pack_table(Table(source, limits), target, Skips(), limits=limits, on_progress=on_progress)


def pack_table(table: Rows, target: Path, skips: Skips, *, limits: Limits, on_progress: OnProgress) -> TableManifest:
    """Read a table twice, to find which columns are numbers and to write them, and once more for longer texts."""
    rows, numeric = _survey(table, limits)
    texts = {index: Categories(limits) for index, is_numeric in enumerate(numeric) if not is_numeric}
    scratch = target / "cells"
    try:
        present = _write_cells(table, texts, scratch, limits, lambda done: on_progress(Progress("rows", done, rows)))
        longer = [index for index, categories in texts.items() if categories.given_up is not None]
        written = write_texts(table, longer, target, limits, skips, on_progress)
        kept = [index for index in range(len(table.names)) if index not in longer and present[index]]
        for index in {*range(len(table.names))} - {*kept, *longer}:
            skips.add(f"column {table.names[index]}", "no row has a value")
        if not kept:
            raise IngestError("no_columns", "No column of numbers or categories has values that can be learnt from.")
        statistics, inputs = _write_kept(scratch, target / f"{TRAIN}.inputs.npy", kept, texts, rows)
    finally:
        scratch.unlink(missing_ok=True)
    return TableManifest(
        columns=tuple(
            _column(table.names[index], place, texts.get(index), statistics) for place, index in enumerate(kept)
        ),
        texts=tuple(column for column, _ in written),
        splits={TRAIN: TableSplit(examples=rows, inputs=inputs, texts={text.name: files for text, files in written})},
        skipped=skips.listed,
        skipped_total=skips.total,
    )


def _survey(table: Rows, limits: Limits) -> tuple[int, list[bool]]:
    """How many rows there are, and which columns hold nothing but numbers."""
    rows = 0
    numeric = [True] * len(table.names)
    infinite: dict[int, tuple[int, object]] = {}
    for block in table.blocks():
        rows += len(block.rows)
        for index, cells in enumerate(block.columns):
            values = numbers(cells) if numeric[index] else None
            numeric[index] = values is not None
            if values is not None and index not in infinite and (place := first_infinite(values)) is not None:
                infinite[index] = block.rows[place], cells[place]
        if rows > limits.examples or rows * len(table.names) * 8 > limits.packed_bytes:
            raise IngestError(
                "too_many_examples", f"The table has more rows than are read: at most {limits.examples:,}.", row=rows
            )
    if rows == 0:
        raise IngestError("empty", "The table has a header and no row below it.")
    for index, (row, cell) in infinite.items():
        if numeric[index]:
            detail = (
                f"Row {row:,}, column {table.names[index]!r}: {printable(str(cell), 40)!r} is no finite number. "
                "Leave the cell empty where the value is unknown."
            )
            raise IngestError("not_finite", detail, row=row)
    return rows, numeric


def _write_cells(
    table: Rows, texts: dict[int, Categories], scratch: Path, limits: Limits, on_rows: Callable[[int], None]
) -> list[bool]:
    """Write every cell as a float64, texts as numbers by appearance; tells which columns have any value."""
    present = np.zeros(len(table.names), np.bool)
    done = 0
    with scratch.open("wb") as file:
        for block in table.blocks():
            cells = _cells(block, texts)
            present |= ~np.isnan(cells).all(axis=0)
            file.write(cells.data)
            done += len(block.rows)
            on_rows(done)
            if sum(map(len, texts.values())) > limits.categories_total:
                detail = f"The text columns have more than {limits.categories_total:,} different values together."
                raise IngestError("too_many_categories", detail, row=block.rows[-1])
    return present.tolist()


def _cells(block: Block, texts: dict[int, Categories]) -> Numbers:
    cells = np.empty((len(block.rows), len(block.columns)))
    for index, column in enumerate(block.columns):
        values = texts[index].encode(block.text(index)) if index in texts else numbers(column)
        assert values is not None  # the survey found numbers in every row
        cells[:, index] = values
    return cells


def _write_kept(
    scratch: Path, target: Path, kept: list[int], texts: dict[int, Categories], rows: int
) -> tuple[Statistics, ArrayFile]:
    """Copy the columns that are kept, with texts numbered in their order, and measure them."""
    columns = scratch.stat().st_size // 8 // rows
    orders = [(place, texts[index].sorted()[1]) for place, index in enumerate(kept) if index in texts]
    statistics = Statistics(len(kept))
    writer = ArrayWriter(target, "<f8")
    try:
        with scratch.open("rb") as file:
            while piece := file.read(max(1, CHUNK // (8 * columns)) * 8 * columns):
                block = np.frombuffer(piece).reshape(-1, columns)[:, kept]
                for place, order in orders:
                    block[:, place] = _reordered(block[:, place], order)
                statistics.add(block)
                writer.append(block)
        return statistics, writer.finish((rows, len(kept)))
    finally:
        writer.close()


def _reordered(codes: Numbers, order: Numbers) -> Numbers:
    missing = np.isnan(codes)
    return np.where(missing, np.nan, order[np.where(missing, 0, codes).astype(np.int64)])


def _column(name: str, place: int, categories: Categories | None, statistics: Statistics) -> Column:
    if categories is None:
        return statistics.numeric(place, name)
    return CategoricalColumn(name=name, missing=statistics.missing(place), categories=categories.sorted()[0])
