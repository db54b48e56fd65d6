"""A packed data set as a job sees it: split, resized, its columns chosen, its classes numbered, its spread measured.

Arrays are mapped into memory, not read: what the jobs of one machine share is in memory once.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import assert_never

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import TypeAdapter
from torch import Tensor

from models.spec.dataset import Fraction, Split
from models.spec.job import JobSpec
from models.spec.manifest import (
    ArrayFile,
    CategoricalColumn,
    Column,
    ImageManifest,
    ImageSplit,
    Manifest,
    NumericColumn,
    TableManifest,
    VectorManifest,
)
from models.spec.task import TRAIN, Task, held_out, labels_in, task_of, text_form
from worker.training.randomness import generator_for
from worker.training.resizing import open_images
from worker.training.texts import StoredText, frequent, open_text, stored_text

ROWS_AT_ONCE = 256

ROUNDING = 1e-12
"""A variance below this share of the squared mean is what rounding leaves of none."""


@dataclass(frozen=True)
class Normalization:
    """What the network gets: (x / divisor − mean) / std, per channel of an image or per feature of a vector.

    One mean and one std for all where every feature is treated alike.
    """

    divisor: float
    mean: tuple[float, ...]
    std: tuple[float, ...]


@dataclass(frozen=True)
class Part:
    """The training or the validation examples."""

    inputs: Tensor
    """(stored, height, width, channels) uint8 or (stored, features) uint8 or float32; of text there are none."""
    targets: Tensor
    """(stored,) int64 class indices, (stored, labels) float32 of 0 and 1, or (stored, outputs) float32."""
    rows: Tensor | None = None
    """(examples,) int64: which of the stored rows belong to this part; None for all."""
    texts: tuple[StoredText, ...] = ()
    """Columns of text, whose inputs come behind the others."""

    def __len__(self) -> int:
        return len(self.inputs) if self.rows is None else len(self.rows)

    @property
    def all_targets(self) -> Tensor:
        """Of its examples in order: (examples,) or (examples, outputs)."""
        return self.targets if self.rows is None else self.targets[self.rows]

    def to(self, device: str) -> "Part":
        rows = None if self.rows is None else self.rows.to(device)
        texts = tuple(text.to(device) for text in self.texts)
        return Part(self.inputs.to(device), self.targets.to(device), rows, texts)

    def gather(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """The examples at these positions (batch,) of the part: inputs and targets as they are stored."""
        positions = positions.to(self.inputs.device)
        rows = positions if self.rows is None else self.rows[positions]
        inputs, targets = self.inputs.index_select(0, rows), self.targets.index_select(0, rows)
        if not self.texts:
            return inputs, targets
        texts = [text.gather(rows) for text in self.texts]
        return torch.cat([inputs, *texts], 1) if inputs.shape[1] else torch.cat(texts, 1), targets


@dataclass(frozen=True)
class Dataset:
    """All that training needs to know about the data."""

    task: Task
    training: Part
    validation: Part | None
    normalization: Normalization
    vocabularies: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """The words that each column of text is read by, the most frequent first."""
    sha256: str = ""
    """Of the packed form's manifest: the identity of the data."""
    contrast: float = 0.0
    """Of images: the standard deviation of pixels, 0 to 255, of the channel that has most."""


def read_manifest(packed_folder: Path) -> Manifest:
    """Raises pydantic's ValidationError for what is no manifest."""
    adapter: TypeAdapter[Manifest] = TypeAdapter(Manifest)
    return adapter.validate_json((packed_folder / "manifest.json").read_bytes())


def load_dataset(packed_folder: Path, spec: JobSpec, cache_folder: Path) -> Dataset:
    """The data of a resolved spec; resized images are kept in `cache_folder` for the next job.

    Raises SpecInvalid where the spec does not fit the data.
    """
    manifest = read_manifest(packed_folder)
    task = task_of(spec, manifest)
    vocabularies: dict[str, Sequence[str]] = {}
    match manifest:
        case ImageManifest() | VectorManifest():
            training, validation = stored_parts(packed_folder, manifest, spec, task, cache_folder)
        case TableManifest():
            training, validation = table_parts(packed_folder, manifest, spec, task)
            training, validation, vocabularies = with_texts(packed_folder, manifest, spec, task, training, validation)
        case _:
            assert_never(manifest)
    normalization = normalization_of(manifest, spec, task, training)
    sha256 = hashlib.sha256((packed_folder / "manifest.json").read_bytes()).hexdigest()
    contrast = 255 * max(manifest.std) if isinstance(manifest, ImageManifest) else 0.0
    return Dataset(task, training, validation, normalization, vocabularies, sha256, contrast)


def map_array(folder: Path, file: ArrayFile) -> Tensor:
    """Copy-on-write: a page is private once somebody writes to it, which nobody does; PyTorch wants writable memory."""
    return torch.from_numpy(np.load(folder / file.path, mmap_mode="c"))


def stored_parts(
    folder: Path, manifest: ImageManifest | VectorManifest, spec: JobSpec, task: Task, cache_folder: Path
) -> tuple[Part, Part | None]:
    def part(name: str) -> Part:
        split = manifest.splits[name]
        targets = map_array(folder, split.targets)
        targets = targets.float() if task.kind == "multi_label" else targets
        if isinstance(split, ImageSplit):
            height, width = task.input_shape[1:]
            return Part(open_images(folder, split, task.input_shape[0], (height, width), cache_folder), targets)
        return Part(map_array(folder, split.inputs), targets)

    return divide(part(TRAIN), spec, task, part)


def divide(training: Part, spec: JobSpec, task: Task, part_of: Callable[[str], Part]) -> tuple[Part, Part | None]:
    """The training part without what is held back, and what is evaluated on."""
    match spec.dataset.validation:
        case None:
            return training, None
        case Split(split=name):
            return training, part_of(name)
        case Fraction(fraction=fraction):
            classes = training.targets if task.kind in ("binary", "multiclass") else None
            held = held_back(len(training), classes, held_out(len(training), fraction), spec.seed)
            keep = torch.ones(len(training), dtype=torch.bool)
            keep[held] = False
            return replace(training, rows=keep.nonzero().flatten()), replace(training, rows=held)
        case _:
            assert_never(spec.dataset.validation)


def held_back(examples: int, classes: Tensor | None, count: int, seed: int) -> Tensor:
    """The rows (count,) of a validation fraction, in rising order: the same share of every class, to the nearest
    example.
    """
    shuffled = torch.randperm(examples, generator=generator_for(seed, "validation"))
    if classes is None:
        return shuffled[:count].sort().values
    per_class = torch.bincount(classes)
    exact = per_class * (count / examples)
    quota = exact.floor().long()
    quota[(exact - quota).argsort(descending=True, stable=True)[: count - int(quota.sum())]] += 1
    labels = classes[shuffled]
    chosen = [shuffled[labels == label][: int(quota[label])] for label in range(len(per_class))]
    return torch.cat(chosen).sort().values


def table_parts(folder: Path, manifest: TableManifest, spec: JobSpec, task: Task) -> tuple[Part, Part | None]:
    places = {column.name: index for index, column in enumerate(manifest.columns)}
    targets = [places[name] for name in task.targets]

    def part(name: str) -> Part:
        rows = np.load(folder / manifest.splits[name].inputs.path)
        plain = [places[column] for column in task.features if column not in task.texts]
        features = [table_inputs(manifest.columns[place], rows[:, place]) for place in plain]
        return Part(
            torch.from_numpy(np.concatenate([np.empty((len(rows), 0)), *features], axis=1, dtype=np.float32)),
            table_targets([manifest.columns[target] for target in targets], rows[:, targets], task, spec),
        )

    training, validation = divide(part(TRAIN), spec, task, part)
    fill_missing(training, validation)
    return training, validation


def with_texts(
    folder: Path, manifest: TableManifest, spec: JobSpec, task: Task, training: Part, validation: Part | None
) -> tuple[Part, Part | None, dict[str, Sequence[str]]]:
    """The parts with their columns of text, read by the words of the training part, and those words."""
    if not task.texts:
        return training, validation, {}
    form = text_form(spec)
    packed = [open_text(folder, manifest, name, TRAIN) for name in task.texts]
    rows = torch.arange(len(training)) if training.rows is None else training.rows
    places = [frequent(text, rows, form.words) for text in packed]
    read = partial(stored_text, form)
    training = replace(training, texts=tuple(map(read, packed, places)))
    vocabularies: dict[str, Sequence[str]] = {
        name: [text.vocabulary[place] for place in chosen.tolist()]
        for name, text, chosen in zip(task.texts, packed, places, strict=True)
    }
    if isinstance(spec.dataset.validation, Fraction):
        assert validation is not None
        return training, replace(validation, texts=training.texts), vocabularies
    assert validation is None  # a table has no other split
    return training, None, vocabularies


def table_inputs(column: Column, values: NDArray[np.float64]) -> NDArray[np.float32]:
    """(rows, 1) numbers with NaN where there is none, or (rows, categories) with one 1 in each row that has a value."""
    match column:
        case NumericColumn():
            return values[:, None].astype(np.float32)
        case CategoricalColumn():
            one_hot: NDArray[np.bool_] = values[:, None] == np.arange(len(column.categories))
            return one_hot.astype(np.float32)
        case _:
            assert_never(column)


def table_targets(columns: Sequence[Column], values: NDArray[np.float64], task: Task, spec: JobSpec) -> Tensor:
    """(rows,) int64 class indices, (rows, labels) float32 of 0 and 1, or (rows, outputs) float32."""
    if isinstance(columns[0], CategoricalColumn) and spec.dataset.delimiter is not None:
        return listed_labels(columns[0], values[:, 0], task.classes, spec.dataset.delimiter)
    if task.kind in ("regression", "multi_label"):
        return torch.from_numpy(values.astype(np.float32))
    if isinstance(columns[0], NumericColumn):
        return torch.from_numpy(np.searchsorted(np.array(columns[0].distinct), values[:, 0]).astype(np.int64))
    return torch.from_numpy(values[:, 0].astype(np.int64))


def listed_labels(
    column: CategoricalColumn, codes: NDArray[np.float64], labels: Sequence[str], delimiter: str
) -> Tensor:
    """(rows, labels) float32 of 0 and 1 from cells that list labels; an empty cell has none."""
    places = {label: place for place, label in enumerate(labels)}
    table = torch.zeros(len(column.categories) + 1, len(labels))
    for row, cell in enumerate(column.categories):
        table[row, [places[label] for label in labels_in(cell, delimiter)]] = 1.0
    return table[np.where(np.isnan(codes), len(column.categories), codes).astype(np.int64)]


def fill_missing(training: Part, validation: Part | None) -> None:
    """Puts the mean of the training part where a number is missing, in place."""
    rows = training.inputs if training.rows is None else training.inputs[training.rows]
    means = rows.double().nanmean(0).nan_to_num(0.0).float()
    for inputs in {id(part.inputs): part.inputs for part in (training, validation) if part is not None}.values():
        torch.where(inputs.isnan(), means, inputs, out=inputs)


def normalization_of(manifest: Manifest, spec: JobSpec, task: Task, training: Part) -> Normalization:
    match spec.dataset.normalize, manifest:
        case "auto", ImageManifest():
            mean, std = spread(training, task.input_shape[0])
            return Normalization(255.0, tuple((mean / 255).tolist()), tuple((std / 255).tolist()))
        case "unit", ImageManifest():
            return Normalization(255.0, (0.0,), (1.0,))
        case "auto", VectorManifest() if training.inputs.dtype != torch.uint8:
            mean, std = spread(training, task.input_shape[0])
            return Normalization(1.0, tuple(mean.tolist()), tuple(std.tolist()))
        case "auto", TableManifest() if not task.vocabulary:
            mean, std = table_spread(manifest, task, training)
            return Normalization(1.0, tuple(mean.tolist()), tuple(std.tolist()))
        case _:
            return Normalization(1.0, (0.0,), (1.0,))


def table_spread(manifest: TableManifest, task: Task, training: Part) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of the inputs that are numbers; 0 and 1 for those of categories and text."""
    columns = {column.name: column for column in manifest.columns}
    plain = [columns[name] for name in task.features if name not in task.texts]
    numeric = torch.tensor([number for column in plain for number in numeric_inputs(column)], dtype=torch.bool)
    mean = torch.zeros(task.input_shape[0], dtype=torch.float64)
    std = torch.ones_like(mean)
    if not len(numeric):
        return mean, std
    means, stds = spread(replace(training, texts=()), len(numeric))
    mean[: len(numeric)], std[: len(numeric)] = means.where(numeric, 0.0), stds.where(numeric, 1.0)
    return mean, std


def numeric_inputs(column: Column) -> list[bool]:
    return [True] if isinstance(column, NumericColumn) else [False] * len(column.categories)


def spread(part: Part, features: int) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation (features,) of every channel or feature, float64, exact for whole numbers; 1 where
    nothing varies.
    """
    total, squares, count = torch.zeros(features, dtype=torch.float64), torch.zeros(features, dtype=torch.float64), 0
    for positions in slices(len(part), ROWS_AT_ONCE):
        values = part.gather(positions)[0].reshape(-1, features).double()
        total += values.sum(0)
        squares += values.square().sum(0)
        count += len(values)
    mean = total / count
    variance = (squares / count - mean.square()).clamp(min=0.0)
    return mean, torch.where(variance > ROUNDING * mean.square(), variance.sqrt(), 1.0)


def slices(examples: int, at_once: int) -> Iterator[Tensor]:
    """The positions 0, 1, 2, … in order, `at_once` at a time."""
    for start in range(0, examples, at_once):
        yield torch.arange(start, min(start + at_once, examples))
