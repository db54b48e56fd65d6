"""Packs columns of longer texts as words: a vocabulary, and each text as places in it."""

from array import array
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.spec.manifest import ArrayFile, TextColumn, TextFiles
from models.spec.words import words_of
from worker.ingest.columns import is_missing
from worker.ingest.errors import IngestError, printable
from worker.ingest.limits import Limits
from worker.ingest.npy import CHUNK, ArrayWriter, save_array
from worker.ingest.progress import OnProgress, Progress
from worker.ingest.rows import Rows
from worker.ingest.skips import Skips
from worker.ingest.splits import TRAIN

COMMON = 20
"""So many of the most frequent words are shown."""

Written = tuple[TextColumn, TextFiles]


def write_texts(
    table: Rows, indices: Sequence[int], target: Path, limits: Limits, skips: Skips, on_progress: OnProgress
) -> list[Written]:
    """Read a table once more and write these of its columns; one without words, or with too many, is left out."""
    if not indices:
        return []
    texts = [Text(table.names[index], target, f"{TRAIN}.text{place}") for place, index in enumerate(indices)]
    try:
        done = 0
        for block in table.blocks():
            for text, index in zip(texts, indices, strict=True):
                text.add(block.text(index), limits, skips)
            done += len(block.rows)
            on_progress(Progress("rows", done, None))
            if sum(text.distinct for text in texts) > limits.vocabulary:
                max(texts, key=lambda text: text.distinct).give_up(_too_many(limits), skips)
        return [written for text in texts if (written := text.finish(skips)) is not None]
    finally:
        for text in texts:
            text.close()


def _too_many(limits: Limits) -> str:
    return f"text with more than {limits.vocabulary:,} different words"


class Text:
    """One column: its words numbered as they appear, which `finish` puts in order."""

    def __init__(self, name: str, folder: Path, stem: str) -> None:
        self.name = name
        self._folder, self._stem = folder, stem
        self._numbers: dict[str, int] = {}
        self._counts = array("q")
        self._total = self._longest = self._missing = self._rows = 0
        self._scratch = self._at("appeared")
        self._words = self._scratch.open("w+b")
        self._offsets = ArrayWriter(self._at("offsets.npy"), "<i8")
        self._offsets.append(np.zeros(1, np.int64))
        self._given_up = False

    def _at(self, ending: str) -> Path:
        return self._folder / f"{self._stem}.{ending}"

    @property
    def distinct(self) -> int:
        """Different words so far."""
        return len(self._numbers)

    def add(self, cells: Sequence[str], limits: Limits, skips: Skips) -> None:
        """Take in a block of rows."""
        if self._given_up:
            return
        numbers, ends = array("i"), np.empty(len(cells), np.int64)
        for place, cell in enumerate(cells):
            before = len(numbers)
            if is_missing(cell):
                self._missing += 1
            else:
                numbers.extend(map(self._number, words_of(cell)))
            self._longest = max(self._longest, len(numbers) - before)
            ends[place] = self._total + len(numbers)
            if len(self._numbers) > limits.vocabulary:
                self.give_up(_too_many(limits), skips)
                return
        self._total += len(numbers)
        self._rows += len(cells)
        if self._total * numbers.itemsize > limits.packed_bytes:
            raise IngestError("too_large", f"The column {self.name!r} has {self._total:,} words or more: too many.")
        self._words.write(numbers)
        self._offsets.append(ends)

    def _number(self, word: str) -> int:
        number = self._numbers.setdefault(word, len(self._numbers))
        if number == len(self._counts):
            self._counts.append(0)
        self._counts[number] += 1
        return number

    def give_up(self, reason: str, skips: Skips) -> None:
        """Leave the column out."""
        skips.add(f"column {self.name}", reason)
        self._given_up = True
        self._numbers.clear()
        self._counts = array("q")
        self._at("offsets.npy").unlink()

    def finish(self, skips: Skips) -> Written | None:
        """Write the vocabulary in order and the texts as places in it."""
        if not self._given_up and not self._total:
            self.give_up("no row has a word", skips)
        if self._given_up:
            return None
        words = sorted(self._numbers)
        appeared = np.array([self._numbers[word] for word in words], np.int64)
        counts = np.frombuffer(self._counts, np.int64)[appeared]
        order = np.empty(len(words), np.int32)
        order[appeared] = np.arange(len(words), dtype=np.int32)
        letters = np.frombuffer("\n".join(words).encode(), np.uint8)
        column = TextColumn(
            name=self.name,
            missing=self._missing,
            words=self._total,
            longest=self._longest,
            distinct=len(words),
            common=tuple(printable(words[place]) for place in np.argsort(-counts, kind="stable")[:COMMON]),
            vocabulary=save_array(self._at("vocabulary.npy"), letters),
        )
        return column, TextFiles(words=self._ordered(order), offsets=self._offsets.finish((self._rows + 1,)))

    def _ordered(self, order: NDArray[np.int32]) -> ArrayFile:
        writer = ArrayWriter(self._at("words.npy"), "<i4")
        try:
            self._words.seek(0)
            while piece := self._words.read(CHUNK):
                writer.append(order[np.frombuffer(piece, np.int32)])
            return writer.finish((self._total,))
        finally:
            writer.close()

    def close(self) -> None:
        """Let go of the files."""
        self._words.close()
        self._scratch.unlink(missing_ok=True)
        self._offsets.close()
