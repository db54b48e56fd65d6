"""Packs an `.npz` of images or vectors with their labels."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.spec.manifest import ArrayFile, ImageManifest, ImageSplit, VectorManifest, VectorSplit
from worker.ingest.array_names import EXPECTED, meaning
from worker.ingest.errors import IngestError, printable
from worker.ingest.folders import class_counts, pixel_statistics
from worker.ingest.limits import Limits
from worker.ingest.npy import ArrayWriter, save_array
from worker.ingest.progress import OnProgress, Progress
from worker.ingest.skips import Skips
from worker.ingest.splits import TRAIN
from worker.ingest.stored_arrays import StoredArray
from worker.ingest.targets import Labels, Marks, Targets, Values, read_targets
from worker.ingest.zips import ZipArchive


def pack_arrays(
    archive: ZipArchive, target: Path, *, limits: Limits, on_progress: OnProgress
) -> ImageManifest | VectorManifest:
    """Copy the arrays of an `.npz` into `target`: 3-D and 4-D uint8 as images, 2-D as vectors of uint8 or float32."""
    found = _sort(archive)
    _check_pairs(found)
    shapes = {split: array.header.shape for split, array in found.inputs.items()}
    dimensions = {len(shape) for shape in shapes.values()}
    if dimensions == {2}:
        return _pack_vectors(found, target, limits, on_progress)
    if dimensions in ({3}, {4}):
        return _pack_images(found, target, limits, on_progress)
    raise IngestError(
        "array_shape",
        f"The inputs have shapes {shapes}; expected are images (examples, height, width) or (examples, height, width, "
        "channels), or vectors (examples, features), the same in every split.",
    )


@dataclass(slots=True)
class _Found:
    """The arrays of an `.npz` by what they are for."""

    inputs: dict[str, StoredArray] = field(default_factory=dict)
    targets: dict[str, StoredArray] = field(default_factory=dict)
    names: StoredArray | None = None
    skips: Skips = field(default_factory=Skips)

    def take(self, array: StoredArray) -> None:
        """Sort in one array; an array whose name says nothing is left out and reported."""
        means = meaning(array.name)
        match means and means.role:
            case "inputs" | "targets":
                assert means is not None
                assert means.split is not None
                arrays = self.inputs if means.role == "inputs" else self.targets
                if means.split in arrays:
                    raise _ambiguous(arrays[means.split], array)
                arrays[means.split] = array
            case "classes":
                if self.names is not None:
                    raise _ambiguous(self.names, array)
                self.names = array
            case None:
                self.skips.add(array.entry.name, "an array whose name says neither inputs nor targets")


def _sort(archive: ZipArchive) -> _Found:
    found = _Found()
    for entry in archive.entries:
        if entry.parts[-1].endswith(".npy"):
            found.take(StoredArray(archive, entry))
        else:
            found.skips.add(entry.name, "not an array")
    return found


def _ambiguous(one: StoredArray, other: StoredArray) -> IngestError:
    detail = f"{printable(one.name)!r} and {printable(other.name)!r} stand for the same thing; save one of them."
    return IngestError("array_missing", detail, other.entry.name)


def _check_pairs(found: _Found) -> None:
    if TRAIN not in found.inputs or found.inputs.keys() != found.targets.keys():
        have = (
            ", ".join(sorted(array.name for array in (*found.inputs.values(), *found.targets.values())))
            or "none of them"
        )
        raise IngestError("array_missing", f"Expected are arrays named {EXPECTED}; found: {printable(have)}.")
    for split, inputs in found.inputs.items():
        targets = found.targets[split]
        if inputs.rows != targets.rows:
            names = f"{printable(inputs.name)!r} has {inputs.rows:,} examples and {printable(targets.name)!r}"
            detail = f"{names} has {targets.rows:,}."
            raise IngestError("labels_mismatch", detail, targets.entry.name)
    shapes = {array.header.shape[1:] for array in found.inputs.values()}
    if len(shapes) > 1:
        raise IngestError("array_shape", f"The splits have inputs of different shapes: {sorted(shapes)}.")


def _pack_images(found: _Found, target: Path, limits: Limits, on_progress: OnProgress) -> ImageManifest:
    height, width, *rest = found.inputs[TRAIN].header.shape[1:]
    channels = rest[0] if rest else 1
    for array in found.inputs.values():
        _check_images(array, channels)
    if height * width > limits.image_pixels:
        raise IngestError(
            "image_too_large", f"The images are {width} × {height}: more than {limits.image_pixels:,} pixels."
        )
    labels = read_targets(found.targets, found.names, limits)
    if isinstance(labels, Values):
        raise IngestError("array_type", "The labels of images must be classes: whole numbers or text, not floats.")
    splits = {
        split: ImageSplit(
            examples=array.rows,
            inputs=_copy(
                array, target / f"{split}.inputs.npy", "u1", (array.rows, height, width, channels), on_progress
            ),
            targets=save_array(target / f"{split}.targets.npy", labels.targets[split]),
            class_counts=_counts(labels, split) or (),
        )
        for split, array in sorted(found.inputs.items())
    }
    mean, std = pixel_statistics(target / splits[TRAIN].inputs.path, channels)
    return ImageManifest(
        channels=3 if channels == 3 else 1,
        size=(height, width),
        classes=labels.classes,
        multi_label=isinstance(labels, Marks),
        mean=mean,
        std=std,
        splits=splits,
        skipped=found.skips.listed,
        skipped_total=found.skips.total,
    )


def _check_images(array: StoredArray, channels: int) -> None:
    if channels not in (1, 3):
        first = array.header.shape[1]
        advice = "save numpy.moveaxis(images, 1, -1)" if first in (1, 3) else "save 1 channel for grey or 3 for RGB"
        shape = f"{printable(array.name)!r} has shape {array.header.shape}"
        detail = f"{shape}: the last axis must be 1 or 3 channels; {advice}."
        raise IngestError("array_shape", detail, array.entry.name)
    if array.header.dtype != np.uint8:
        detail = (
            f"{printable(array.name)!r} holds {array.header.dtype}; images are saved as uint8 from 0 to 255: "
            "(images * 255).round().astype('uint8') where they run from 0 to 1."
        )
        raise IngestError("array_type", detail, array.entry.name)


def _pack_vectors(found: _Found, target: Path, limits: Limits, on_progress: OnProgress) -> VectorManifest:
    features = found.inputs[TRAIN].header.shape[1]
    dtype = "u1" if all(_is_small(array) for array in found.inputs.values()) else "<f4"
    labels = read_targets(found.targets, found.names, limits)
    splits = {
        split: VectorSplit(
            examples=array.rows,
            inputs=_copy(array, target / f"{split}.inputs.npy", dtype, (array.rows, features), on_progress),
            targets=save_array(target / f"{split}.targets.npy", labels.targets[split]),
            class_counts=_counts(labels, split),
        )
        for split, array in sorted(found.inputs.items())
    }
    return VectorManifest(
        features=features,
        classes=None if isinstance(labels, Values) else labels.classes,
        multi_label=isinstance(labels, Marks),
        outputs=labels.outputs if isinstance(labels, Values) else 1,
        splits=splits,
        skipped=found.skips.listed,
        skipped_total=found.skips.total,
    )


def _is_small(array: StoredArray) -> bool:
    return array.header.dtype in (np.dtype(np.uint8), np.dtype(np.bool))


def _counts(labels: Targets, split: str) -> tuple[int, ...] | None:
    match labels:
        case Labels():
            return class_counts(labels.targets[split], len(labels.classes))
        case Marks():
            return tuple(labels.targets[split].sum(axis=0, dtype=np.int64).tolist())
        case Values():
            return None


def _copy(array: StoredArray, path: Path, dtype: str, shape: tuple[int, ...], on_progress: OnProgress) -> ArrayFile:
    if array.header.dtype.kind not in "biuf":
        detail = f"{printable(array.name)!r} holds {array.header.dtype}; inputs are numbers."
        raise IngestError("array_type", detail, array.entry.name)
    writer = ArrayWriter(path, dtype)
    try:
        done = 0
        for piece in array.pieces():
            writer.append(_converted(piece, np.dtype(dtype), array, done))
            done += len(piece)
            on_progress(Progress("arrays", done, array.rows))
        return writer.finish(shape)
    finally:
        writer.close()


def _converted(
    piece: NDArray[np.generic], dtype: np.dtype[np.generic], array: StoredArray, first: int
) -> NDArray[np.generic]:
    with np.errstate(over="ignore"):
        values = piece.astype(dtype)
    if dtype.kind == "f" and not np.isfinite(values).all():
        row = first + int(np.flatnonzero(~np.isfinite(values).all(axis=1))[0])
        detail = f"{printable(array.name)!r} has a value at example {row:,} that is not a finite 32-bit number."
        raise IngestError("not_finite", detail, array.entry.name)
    return values
