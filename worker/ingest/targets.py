"""Turns saved labels into class indices, or into regression targets."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from worker.ingest.errors import IngestError, printable
from worker.ingest.limits import Limits
from worker.ingest.stored_arrays import StoredArray

_LONGEST_TEXT = 1_024


@dataclass(frozen=True, slots=True)
class Labels:
    """Class indices for each split, (examples,) int64, and the names they index."""

    classes: tuple[str, ...]
    targets: dict[str, NDArray[np.int64]]


@dataclass(frozen=True, slots=True)
class Marks:
    """Which labels each example has, (examples, labels) uint8 of 0 and 1, and the names of the labels."""

    classes: tuple[str, ...]
    targets: dict[str, NDArray[np.uint8]]


@dataclass(frozen=True, slots=True)
class Values:
    """Regression targets for each split, (examples, outputs) float32."""

    outputs: int
    targets: dict[str, NDArray[np.float32]]


Targets = Labels | Marks | Values


def read_targets(arrays: dict[str, StoredArray], names: StoredArray | None, limits: Limits) -> Targets:
    """Read the targets of every split.

    Whole numbers, truth values and text are classes, and so are floats that are all 0 or 1; other floats are values to
    regress. Several columns of 0 and 1 are labels, any number of which an example may have.
    """
    values = {split: _flat(array, _load(array, limits)) for split, array in arrays.items()}
    kinds = {array.dtype.kind for array in values.values()}
    if _are_marks(values):
        return _marked(arrays, values, names, limits)
    if kinds == {"f"} and not all(_is_binary(array) for array in values.values()):
        return _regression(arrays, values)
    for split, array in arrays.items():
        _check_one_column(array, values[split])
    if kinds <= set("US") and names is None:
        return _named(values, limits)
    if kinds <= set("biuf") and ("f" not in kinds or kinds == {"f"}):
        return _numbered(values, names, limits)
    raise IngestError(
        "array_type", "The labels of the splits are of different types; save them all as whole numbers, or all as text."
    )


def read_class_names(array: StoredArray) -> tuple[str, ...]:
    """Names of classes by index, from a list of text."""
    if (
        array.header.dtype.kind not in "US"
        or len(array.header.shape) != 1
        or array.header.dtype.itemsize > 4 * _LONGEST_TEXT
    ):
        detail = f"The array {printable(array.name)!r} must be a list of text: numpy.array(['cat', 'dog'])."
        raise IngestError("array_type", detail, array.entry.name)
    return _texts(array.whole())


def _load(array: StoredArray, limits: Limits) -> NDArray[np.generic]:
    if array.rows > limits.examples:
        detail = f"{printable(array.name)!r} has {array.rows:,} examples; at most {limits.examples:,} are read."
        raise IngestError("too_many_examples", detail, array.entry.name)
    array_bytes = array.rows * array.header.row_values * array.header.dtype.itemsize
    if array_bytes > 8 * limits.examples:
        most = 8 * limits.examples
        detail = f"The targets {printable(array.name)!r} have {array_bytes:,} bytes; at most {most:,} are read."
        raise IngestError("too_large", detail, array.entry.name)
    return array.whole()


def _flat(array: StoredArray, values: NDArray[np.generic]) -> NDArray[np.generic]:
    if values.ndim > 2:
        detail = (
            f"The targets {printable(array.name)!r} have shape {values.shape}; expected is one number for each example."
        )
        raise IngestError("array_shape", detail, array.entry.name)
    return values[:, 0] if values.ndim == 2 and values.shape[1] == 1 else values


def _is_binary(values: NDArray[np.generic]) -> bool:
    return values.ndim == 1 and bool(np.isin(values, (0, 1)).all())


def _are_marks(values: dict[str, NDArray[np.generic]]) -> bool:
    """Whether every target is a row of 0 and 1, with other than exactly one 1 in some: one-hot rows are classes."""
    if not all(value.ndim == 2 and value.dtype.kind in "biuf" for value in values.values()):
        return False
    if not all(np.isin(value, (0, 1)).all() for value in values.values()):
        return False
    return any((value.astype(np.uint8).sum(axis=1, dtype=np.int64) != 1).any() for value in values.values())


def _marked(
    arrays: dict[str, StoredArray], values: dict[str, NDArray[np.generic]], names: StoredArray | None, limits: Limits
) -> Marks:
    width = _width(values)
    _check_count(width, limits)
    classes = tuple(map(str, range(width))) if names is None else read_class_names(names)
    if len(classes) != width:
        one = next(iter(arrays.values()))
        detail = f"{printable(one.name)!r} has {width:,} columns, and there are {len(classes):,} names of classes."
        raise IngestError("labels_mismatch", detail, one.entry.name)
    return Marks(classes, {split: value.astype(np.uint8) for split, value in values.items()})


def _width(targets: Mapping[str, NDArray[np.generic]]) -> int:
    """The columns that the targets of every split have."""
    widths: set[int] = {target.shape[1] for target in targets.values()}
    if len(widths) > 1:
        raise IngestError("array_shape", f"The splits have targets of different widths: {sorted(widths)}.")
    (width,) = widths
    return width


def _regression(arrays: dict[str, StoredArray], values: dict[str, NDArray[np.generic]]) -> Values:
    targets = {}
    for split, array in arrays.items():
        with np.errstate(over="ignore"):
            targets[split] = values[split].astype(np.float32).reshape(len(values[split]), -1)
        bad = np.flatnonzero(~np.isfinite(targets[split]).all(axis=1))
        if len(bad):
            detail = f"The targets {printable(array.name)!r} are not finite at example {bad[0]:,}."
            raise IngestError("not_finite", detail, array.entry.name)
    return Values(_width(targets), targets)


def _check_one_column(array: StoredArray, values: NDArray[np.generic]) -> None:
    if values.ndim > 1:
        detail = (
            f"The labels {printable(array.name)!r} have shape {values.shape}; expected is one class for each example. "
            "For one-hot labels save labels.argmax(axis=1); labels of which an example may have several are 0 or 1; "
            "for several regression outputs save floats."
        )
        raise IngestError("array_shape", detail, array.entry.name)


def _named(values: dict[str, NDArray[np.generic]], limits: Limits) -> Labels:
    every = np.unique(np.concatenate([np.unique(value) for value in values.values()]))
    _check_count(len(every), limits)
    names = _texts(every)
    return Labels(names, {split: np.searchsorted(every, value).astype(np.int64) for split, value in values.items()})


def _numbered(values: dict[str, NDArray[np.generic]], names: StoredArray | None, limits: Limits) -> Labels:
    numbers = {split: value.astype(np.int64) for split, value in values.items()}
    every = np.unique(np.concatenate([np.unique(value) for value in numbers.values()]))
    _check_count(len(every), limits)
    if names is None:
        classes = tuple(str(value) for value in every.tolist())
        return Labels(
            classes, {split: np.searchsorted(every, value).astype(np.int64) for split, value in numbers.items()}
        )
    classes = read_class_names(names)
    _check_count(len(classes), limits)
    if every[0] < 0 or every[-1] >= len(classes):
        span = f"The labels run from {every[0]} to {every[-1]}"
        detail = f"{span}, and {printable(names.name)!r} names {len(classes)} classes, the first being 0."
        raise IngestError("labels_mismatch", detail, names.entry.name)
    return Labels(classes, numbers)


def _check_count(count: int, limits: Limits) -> None:
    if count > limits.classes:
        detail = f"The labels have {count:,} different values; {limits.classes:,} classes are read at most."
        raise IngestError("too_many_classes", detail)


def _texts(values: NDArray[np.generic]) -> tuple[str, ...]:
    try:
        texts = tuple(value.decode() if isinstance(value, bytes) else str(value) for value in values.tolist())
    except UnicodeDecodeError as error:
        raise IngestError("wrong_encoding", "Class names must be UTF-8.") from error
    if not all(text.isprintable() and text for text in texts):
        raise IngestError("wrong_encoding", "Class names must be plain text that is not empty.")
    if any(one == other for one, other in pairwise(sorted(texts))):
        raise IngestError("labels_mismatch", "Two classes have the same name.")
    return texts
