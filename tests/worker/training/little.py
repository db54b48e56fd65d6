"""Little data sets, packed, and runs on them."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.spec import JobSpec, parse_spec, resolve
from models.spec.manifest import (
    ArrayFile,
    Column,
    ImageManifest,
    ImageSplit,
    Manifest,
    TableManifest,
    TableSplit,
    VectorManifest,
    VectorSplit,
)
from worker.training import CheckpointReady, Dataset, Event, Resume, load_dataset, train
from worker.training.data import read_manifest

Arrays = tuple[NDArray[Any], NDArray[Any]]

SMALL_RUN: dict[str, Any] = {
    "dataset": {"id": "little", "validation": {"fraction": 0.25}},
    "network": {"type": "mlp", "hidden": [16]},
    "training": {"epochs": 2, "batch_size": 16},
}


def array_file(folder: Path, name: str, array: NDArray[Any]) -> ArrayFile:
    np.save(folder / name, array)
    digest = hashlib.sha256(array.tobytes()).hexdigest()
    return ArrayFile(path=name, dtype=str(array.dtype), shape=array.shape, bytes=array.nbytes, sha256=digest)


def write(folder: Path, manifest: Manifest) -> Path:
    (folder / "manifest.json").write_text(manifest.model_dump_json())
    return folder


def bars(examples: int, size: int = 8, channels: int = 1, seed: int = 0) -> Arrays:
    """Images (examples, size, size, channels) of four classes: a bright bar above, below, left or right."""
    random = np.random.default_rng(seed)
    images = random.integers(0, 90, (examples, size, size, channels), dtype=np.uint8)
    classes = random.integers(0, 4, examples)
    for image, label in zip(images, classes, strict=True):
        (image if label < 2 else image.swapaxes(0, 1))[-2 * (label % 2) or slice(0, 2)] += 120
    return images, classes.astype(np.int64)


def pack_images(folder: Path, **splits: Arrays) -> Path:
    packed = {}
    for name, (images, classes) in splits.items():
        packed[name] = ImageSplit(
            examples=len(images),
            inputs=array_file(folder, f"{name}.inputs.npy", images),
            targets=array_file(folder, f"{name}.targets.npy", classes),
            class_counts=tuple(np.bincount(classes, minlength=4).tolist()),
        )
    images = splits["train"][0]
    manifest = ImageManifest(
        channels=images.shape[3],
        size=(images.shape[1], images.shape[2]),
        classes=("top", "bottom", "left", "right"),
        mean=(0.5,) * images.shape[3],
        std=(0.25,) * images.shape[3],
        splits=packed,
    )
    return write(folder, manifest)


def counts_of(targets: NDArray[Any], classes: int) -> tuple[int, ...]:
    counts = targets.sum(0) if targets.ndim == 2 else np.bincount(targets, minlength=classes)
    return tuple(counts.tolist())


def pack_vectors(folder: Path, inputs: NDArray[Any], targets: NDArray[Any], classes: tuple[str, ...] | None) -> Path:
    split = VectorSplit(
        examples=len(inputs),
        inputs=array_file(folder, "train.inputs.npy", inputs),
        targets=array_file(folder, "train.targets.npy", targets),
        class_counts=None if classes is None else counts_of(targets, len(classes)),
    )
    outputs = 1 if classes is not None else targets.shape[1]
    manifest = VectorManifest(
        features=inputs.shape[1],
        classes=classes,
        multi_label=classes is not None and targets.ndim == 2,
        outputs=outputs,
        splits={"train": split},
    )
    return write(folder, manifest)


def pack_table(folder: Path, columns: tuple[Column, ...], rows: NDArray[np.float64]) -> Path:
    split = TableSplit(examples=len(rows), inputs=array_file(folder, "train.inputs.npy", rows))
    return write(folder, TableManifest(columns=columns, splits={"train": split}))


def spec_for(packed: Path, words: Mapping[str, Any]) -> JobSpec:
    """The resolved spec of a small run with these words."""
    return resolve(parse_spec({**SMALL_RUN, **words}), read_manifest(packed))


def load(packed: Path, words: Mapping[str, Any]) -> tuple[JobSpec, Dataset]:
    spec = spec_for(packed, words)
    return spec, load_dataset(packed, spec, packed / "cache")


def run(packed: Path, words: Mapping[str, Any], resume: Resume | None = None) -> list[Event]:
    spec, data = load(packed, words)
    return list(train(spec, data, resume_from=resume))


def last_of(events: list[Event]) -> CheckpointReady:
    return [event for event in events if isinstance(event, CheckpointReady)][-1]
