"""Examples of a packed data set as people look at them: images as PNG, rows with the names of their columns.

They are read from the store by range, so that looking at some costs what some are long, whatever the data set is. What
is read is plain numbers: nothing is decoded here.
"""

import random
import struct
import zlib
from base64 import b64encode
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from math import isfinite, prod
from typing import assert_never

from api.resources import Picture, Sample
from models.spec.manifest import (
    ArrayFile,
    CategoricalColumn,
    Column,
    ImageManifest,
    ImageSplit,
    Manifest,
    TableManifest,
    TableSplit,
    TextColumn,
    TextFiles,
    VectorManifest,
    VectorSplit,
)
from models.storage import Storage

CODES = {"uint8": "B", "int32": "i", "int64": "q", "float32": "f", "float64": "d"}
"""What `struct` calls the types of arrays."""
LARGEST_SIDE = 128
"""Pixels of a picture's longer side; of a larger image every n-th pixel is shown."""
MOST_BYTES = 64 * 1024**2
"""Of an image that is read to be shown."""
MOST_VALUES = 100
"""Numbers of a vector, columns of a row, words of a text."""
_readers = ThreadPoolExecutor(8, "samples")
"""Objects are read side by side: a store answers in milliseconds, however little is asked for. So many at once, whoever
asks."""

Target = str | list[str] | list[float | None] | None


def places(examples: int, offset: int, limit: int, seed: int | None) -> list[int]:
    """The examples offset … offset + limit (exclusive) of a split: in its own order, or in the random one of a seed.

    The order of a seed is a Fisher–Yates shuffle that is only carried as far as it is looked at.
    """
    end = min(offset + limit, examples)
    if seed is None:
        return list(range(offset, end))
    draw = random.Random(seed)  # noqa: S311  nothing secret
    moved: dict[int, int] = {}
    order = []
    for place in range(end):
        chosen = draw.randrange(place, examples)
        order.append(moved.get(chosen, chosen))
        moved[chosen] = moved.pop(place, place)
    return order[offset:]


@dataclass(frozen=True)
class Samples:
    """The examples of one split."""

    storage: Storage
    prefix: str
    """Of the keys of the packed form."""
    manifest: Manifest
    split: str

    def at(self, indices: Sequence[int]) -> list[Sample]:
        """These examples, in this order."""
        return list(_readers.map(self._sample, indices))

    def _sample(self, index: int) -> Sample:
        match self.manifest:
            case ImageManifest():
                image = self.manifest.splits[self.split]
                return Sample(index=index, target=self._target(image, index), image=self._picture(image, index))
            case VectorManifest():
                vector = self.manifest.splits[self.split]
                numbers = self._row(vector.inputs, index, MOST_VALUES)
                more = vector.inputs.shape[1] - len(numbers)
                return Sample(index=index, target=self._target(vector, index), values=numbers, left_out=more)
            case TableManifest():
                return self._table_row(self.manifest.splits[self.split], index)
            case _:
                assert_never(self.manifest)

    def _target(self, split: ImageSplit | VectorSplit, index: int) -> Target:
        assert isinstance(self.manifest, ImageManifest | VectorManifest)
        row, classes = self._row(split.targets, index), self.manifest.classes
        if classes is None:
            return row[:MOST_VALUES]
        if self.manifest.multi_label:
            return [name for name, has in zip(classes, row, strict=True) if has]
        return classes[int(row[0] or 0)]

    def _picture(self, split: ImageSplit, index: int) -> Picture:
        assert isinstance(self.manifest, ImageManifest)
        channels = self.manifest.channels
        if split.sizes is None or split.offsets is None:
            _, height, width, _ = split.inputs.shape
            first = index * height * width * channels
        else:
            height, width = (int(side or 0) for side in self._row(split.sizes, index))
            first = int(self._elements(split.offsets, index, 1)[0])
        length = height * width * channels
        png = None
        if length <= MOST_BYTES:
            pixels = self._pieces(split.inputs, first, length)
            png = b64encode(thumbnail(pixels, height, width, channels)).decode()
        return Picture(height=height, width=width, png=png)

    def _table_row(self, split: TableSplit, index: int) -> Sample:
        assert isinstance(self.manifest, TableManifest)
        columns: list[Column] = list(self.manifest.columns[:MOST_VALUES])
        row = self._row(split.inputs, index, len(columns))
        values = {column.name: value_of(column, value) for column, value in zip(columns, row, strict=True)}
        for text in self.manifest.texts:
            if len(values) < MOST_VALUES:
                values[text.name] = self._text(text, split.texts[text.name], index)
        left_out = len(self.manifest.columns) + len(self.manifest.texts) - len(values)
        return Sample(index=index, values=values, left_out=left_out)

    def _text(self, column: TextColumn, files: TextFiles, index: int) -> str:
        first, end = (int(place) for place in self._elements(files.offsets, index, 2))
        words = self._elements(files.words, first, min(end - first, MOST_VALUES))
        vocabulary = self._vocabularies[column.name]
        return " ".join([vocabulary[int(word)] for word in words] + ["…"] * (end - first > MOST_VALUES))

    @cached_property
    def _vocabularies(self) -> dict[str, list[str]]:
        assert isinstance(self.manifest, TableManifest)
        files = {text.name: text.vocabulary for text in self.manifest.texts}
        return {name: self._bytes(file, 0, prod(file.shape)).decode().split("\n") for name, file in files.items()}

    def _row(self, file: ArrayFile, index: int, most: int | None = None) -> list[float | None]:
        """The numbers of one example, or the first of them; null for what is not finite."""
        width = prod(file.shape[1:])
        count = width if most is None else min(width, most)
        return [value if isfinite(value) else None for value in self._elements(file, index * width, count)]

    def _elements(self, file: ArrayFile, first: int, count: int) -> tuple[float, ...]:
        code = CODES[file.dtype]
        return struct.unpack(f"<{count}{code}", self._bytes(file, first, count))

    def _bytes(self, file: ArrayFile, first: int, count: int) -> bytes:
        return b"".join(self._pieces(file, first, count))

    def _pieces(self, file: ArrayFile, first: int, count: int) -> Iterator[bytes]:
        """Elements of an array as they lie in its file, behind a header of whatever length."""
        size = struct.calcsize(CODES[file.dtype])
        begin = file.bytes - prod(file.shape) * size + first * size
        if count > 0:
            yield from self.storage.read(f"{self.prefix}/{file.path}", begin, begin + count * size)


def value_of(column: Column, value: float | None) -> str | float | None:
    """What a cell says."""
    if value is not None and isinstance(column, CategoricalColumn):
        return column.categories[int(value)]
    return value


def thumbnail(pixels: Iterable[bytes], height: int, width: int, channels: int) -> bytes:
    """Pixels (height, width, channels), in pieces, as a PNG (W3C PNG, third edition), `LARGEST_SIDE` a side at most."""
    step = -(-max(height, width) // LARGEST_SIDE)
    shown = -(-height // step), -(-width // step)
    header = struct.pack(">2I5B", shown[1], shown[0], 8, 0 if channels == 1 else 2, 0, 0, 0)
    body = zlib.compress(b"".join(b"\0" + line for line in _lines(pixels, width * channels, channels, step)), 1)
    chunks = b"".join(_chunk(name, data) for name, data in ((b"IHDR", header), (b"IDAT", body), (b"IEND", b"")))
    return b"\x89PNG\r\n\x1a\n" + chunks


def _lines(pixels: Iterable[bytes], length: int, channels: int, step: int) -> Iterator[bytes]:
    """Every `step`-th pixel of every `step`-th line; no more than a piece and a line are held."""
    unread, row = bytearray(), 0
    for piece in pixels:
        unread += piece
        while len(unread) >= length:
            if row % step == 0:
                thinned = bytearray(-(-length // (channels * step)) * channels)
                for channel in range(channels):
                    thinned[channel::channels] = unread[channel : length : channels * step]
                yield bytes(thinned)
            del unread[:length]
            row += 1


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
