"""Columns of text as a job reads them: the packed words stay mapped, and each batch is made when it is needed."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import assert_never

import numpy as np
import torch
from torch import Tensor

from models.spec.manifest import CategoricalColumn, TableManifest
from models.spec.text import MultiHot, Text, TokenSequence
from models.spec.words import FIRST_WORD, PADDING, UNKNOWN, words_of

ROWS_AT_ONCE = 4096


@dataclass(frozen=True)
class PackedText:
    """All texts of a column, end to end."""

    words: Tensor
    """(words,) int32: places in the vocabulary."""
    offsets: Tensor
    """(stored + 1,) int64."""
    vocabulary: list[str]
    """In the order of code points."""


@dataclass(frozen=True)
class StoredText:
    """A column of text that gives inputs."""

    words: Tensor
    offsets: Tensor
    numbers: Tensor
    """(vocabulary,) int64: what each word of the packed vocabulary is to the job."""
    form: Text
    size: int
    """Words that the job knows, at most."""

    def to(self, device: str) -> "StoredText":
        moved = (self.words.to(device), self.offsets.to(device), self.numbers.to(device))
        return replace(self, words=moved[0], offsets=moved[1], numbers=moved[2])

    def gather(self, rows: Tensor) -> Tensor:
        """(batch, size) uint8 of 0 and 1, or tokens (batch, length) int64."""
        match self.form:
            case MultiHot():
                return self.multi_hot(rows)
            case TokenSequence():
                return self.tokens(rows, self.form)
            case _:
                assert_never(self.form)

    def multi_hot(self, rows: Tensor) -> Tensor:
        begins, lengths = self.offsets[rows], self.offsets[rows + 1] - self.offsets[rows]
        examples = torch.repeat_interleave(torch.arange(len(rows), device=rows.device), lengths)
        firsts = begins - (lengths.cumsum(0) - lengths)
        places = torch.arange(len(examples), device=rows.device) + firsts[examples]
        hot = torch.zeros(len(rows), self.size + 1, dtype=torch.uint8, device=rows.device)
        hot[examples, self.numbers[self.words[places].long()]] = 1
        return hot[:, : self.size]

    def tokens(self, rows: Tensor, form: TokenSequence) -> Tensor:
        begins, ends = self.offsets[rows, None], self.offsets[rows + 1, None]
        counts = (ends - begins).clamp(max=form.length)
        begins = ends - counts if form.truncation == "start" else begins
        places = torch.arange(form.length, device=rows.device)
        if form.padding == "start":
            places = places - (form.length - counts.clamp(min=1))
        present = (places >= 0) & (places < counts)
        words = self.words[torch.where(present, begins + places, 0)].long()
        tokens = torch.where(present, self.numbers[words], PADDING)
        return torch.where((counts == 0) & (places == 0), UNKNOWN, tokens)


def open_text(folder: Path, manifest: TableManifest, name: str, split: str) -> PackedText:
    """A column that the data set keeps as text, mapped, or the categories of another one, divided into words."""
    for column in manifest.texts:
        if column.name == name:
            files = manifest.splits[split].texts[name]
            letters = np.load(folder / column.vocabulary.path).tobytes()
            words, offsets = (np.load(folder / file.path, mmap_mode="c") for file in (files.words, files.offsets))
            return PackedText(torch.from_numpy(words), torch.from_numpy(offsets), letters.decode().split("\n"))
    place, categories = next((i, one) for i, one in enumerate(manifest.columns) if one.name == name)
    assert isinstance(categories, CategoricalColumn)
    cells = np.load(folder / manifest.splits[split].inputs.path, mmap_mode="r")[:, place]
    return text_of_categories(categories, torch.from_numpy(np.nan_to_num(cells, nan=-1.0)).long())


def text_of_categories(column: CategoricalColumn, codes: Tensor) -> PackedText:
    """`codes` (rows,) are −1 where there is no text."""
    texts = [*map(words_of, column.categories), []]
    vocabulary = sorted({word for text in texts for word in text}) or [""]
    numbers = {word: number for number, word in enumerate(vocabulary)}
    lengths = torch.tensor([len(text) for text in texts])[codes]
    pieces = [torch.tensor([numbers[word] for word in text], dtype=torch.int32) for text in texts]
    nothing = torch.zeros(1, dtype=torch.int32)  # so that there is a word even where there is none
    words = torch.cat([*(pieces[code] for code in codes.tolist()), nothing])
    return PackedText(words, torch.cat([torch.zeros(1, dtype=torch.int64), lengths.cumsum(0)]), vocabulary)


def frequent(text: PackedText, rows: Tensor, most: int) -> Tensor:
    """The words that these rows hold most often, by their places in the vocabulary: (at most `most`,), the most
    frequent first, equally frequent ones in the order of the vocabulary.
    """
    counts = torch.zeros(len(text.vocabulary), dtype=torch.int64)
    for some in torch.split(rows, ROWS_AT_ONCE):
        begins, lengths = text.offsets[some], text.offsets[some + 1] - text.offsets[some]
        firsts = torch.repeat_interleave(begins - (lengths.cumsum(0) - lengths), lengths)
        words = text.words[torch.arange(len(firsts)) + firsts].long()
        counts += torch.bincount(words, minlength=len(counts))
    order = counts.argsort(descending=True, stable=True)[:most]
    return order[counts[order] > 0]


def stored_text(form: Text, text: PackedText, chosen: Tensor) -> StoredText:
    """`chosen` (words,) are the places of the words that the job knows, the most frequent first."""
    size = min(form.words, len(text.vocabulary))
    first, others = (FIRST_WORD, UNKNOWN) if isinstance(form, TokenSequence) else (0, size)
    numbers = torch.full((len(text.vocabulary),), others)
    numbers[chosen] = torch.arange(len(chosen)) + first
    return StoredText(text.words, text.offsets, numbers, form, size)
