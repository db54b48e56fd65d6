"""Packs an image folder, from any archive."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.spec.manifest import ArrayFile, ImageManifest, ImageSplit
from worker.ingest.archive import Archive, Meter
from worker.ingest.errors import IngestError, printable
from worker.ingest.images import DamagedImage, Pixels, decode, strict_decoder
from worker.ingest.layout import Sample, arrange
from worker.ingest.limits import Limits
from worker.ingest.npy import CHUNK, HEADER_BYTES, ArrayWriter, save_array
from worker.ingest.progress import OnProgress, Progress
from worker.ingest.skips import Skips
from worker.ingest.splits import TRAIN

REPORT_EVERY = 64


def pack_folder(
    archive: Archive, target: Path, upload_bytes: int, *, limits: Limits, on_progress: OnProgress
) -> ImageManifest:
    """Decode the images of an archive into `target`, one at a time; grey stays one channel when all are grey."""
    skips = Skips()
    samples = arrange(archive.entries, skips, limits)
    packing = _Packing(target, samples, Meter(upload_bytes, limits))
    damaged: list[str] = []
    try:
        with strict_decoder(limits):
            for done, sample in enumerate(samples):
                if done % REPORT_EVERY == 0:
                    on_progress(Progress("images", done, len(samples)))
                try:
                    packing.add(sample, decode(archive.read(sample.entry), sample.entry.name, limits))
                except DamagedImage as error:
                    damaged.append(sample.entry.name)
                    skips.add(sample.entry.name, f"damaged: {error}")
                    _check_share(damaged, str(error), len(samples), skips, limits)
        on_progress(Progress("images", len(samples), len(samples)))
        return packing.manifest(skips)
    finally:
        packing.close()


def _check_share(damaged: list[str], reason: str, total: int, skips: Skips, limits: Limits) -> None:
    if len(damaged) <= limits.damaged_share * total:
        return
    detail = (
        f"{len(damaged)} of {total} images cannot be decoded, and at most {limits.damaged_share:.0%} may be left out; "
        f"the last one met is {printable(damaged[-1])!r}: {reason}."
    )
    raise IngestError("damaged_images", detail, damaged[-1], skipped=skips.listed)


class _Packing:
    """The splits of one image folder while they grow; `channels` widens to 3 at the first image in colour."""

    def __init__(self, target: Path, samples: list[Sample], meter: Meter) -> None:
        self._target = target
        self._meter = meter
        self._channels = 1
        self._classes = tuple(sorted({sample.label for sample in samples}))
        self._index = {label: number for number, label in enumerate(self._classes)}
        names = sorted({sample.split for sample in samples})
        self._writers = {name: ArrayWriter(target / f"{name}.inputs.npy", "u1") for name in names}
        self._sizes: dict[str, list[tuple[int, int]]] = {name: [] for name in names}
        self._targets: dict[str, list[int]] = {name: [] for name in names}

    def add(self, sample: Sample, pixels: Pixels) -> None:
        """Append one image (height, width, 1 or 3)."""
        height, width, channels = pixels.shape
        self._meter.add(height * width * max(channels, self._channels), sample.entry.name)
        if channels > self._channels:
            self._widen(channels)
        elif channels < self._channels:
            pixels = pixels.repeat(self._channels, axis=2)
        self._writers[sample.split].append(pixels)
        self._sizes[sample.split].append((height, width))
        self._targets[sample.split].append(self._index[sample.label])

    def _widen(self, channels: int) -> None:
        self._channels = channels
        for writer in self._writers.values():
            writer.repeat(channels)

    def manifest(self, skips: Skips) -> ImageManifest:
        """Finish every file and describe the whole; raises IngestError when the training part has no image left."""
        if not self._targets[TRAIN]:
            raise IngestError("no_images", "The training part holds no image that can be decoded.")
        sizes = set().union(*self._sizes.values())
        size = next(iter(sizes)) if len(sizes) == 1 else None
        splits = {name: self._split(name, size) for name in self._writers if self._targets[name]}
        mean, std = pixel_statistics(self._target / splits[TRAIN].inputs.path, self._channels)
        return ImageManifest(
            channels=3 if self._channels == 3 else 1,
            size=size,
            classes=self._classes,
            mean=mean,
            std=std,
            splits=splits,
            skipped=skips.listed,
            skipped_total=skips.total,
        )

    def _split(self, name: str, size: tuple[int, int] | None) -> ImageSplit:
        targets = np.array(self._targets[name], np.int64)
        return ImageSplit(
            examples=len(targets),
            inputs=self._inputs(name, size),
            targets=save_array(self._target / f"{name}.targets.npy", targets),
            sizes=None if size else save_array(self._target / f"{name}.sizes.npy", self._shape_array(name)),
            offsets=None if size else save_array(self._target / f"{name}.offsets.npy", self._offsets(name)),
            class_counts=class_counts(targets, len(self._classes)),
        )

    def _inputs(self, name: str, size: tuple[int, int] | None) -> ArrayFile:
        count = len(self._sizes[name])
        shape = (int(self._offsets(name)[-1]),) if size is None else (count, *size, self._channels)
        return self._writers[name].finish(shape)

    def _shape_array(self, name: str) -> NDArray[np.int32]:
        return np.array(self._sizes[name], np.int32)

    def _offsets(self, name: str) -> NDArray[np.int64]:
        sizes = np.array(self._sizes[name], np.int64)
        ends = np.cumsum(sizes[:, 0] * sizes[:, 1] * self._channels)
        return np.concatenate([np.zeros(1, np.int64), ends])

    def close(self) -> None:
        """Let go of every file."""
        for writer in self._writers.values():
            writer.close()


def class_counts(targets: NDArray[np.int64], classes: int) -> tuple[int, ...]:
    """How many examples each class has."""
    return tuple(np.bincount(targets, minlength=classes).tolist())


def pixel_statistics(path: Path, channels: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and population standard deviation of each channel, pixels scaled to 0–1, from exact integer sums."""
    total, squares = np.zeros(channels, np.int64), np.zeros(channels, np.int64)
    count = 0
    with path.open("rb") as file:
        file.seek(HEADER_BYTES)
        while piece := file.read(CHUNK // channels * channels):
            pixels = np.frombuffer(piece, np.uint8).reshape(-1, channels)
            histograms = [np.bincount(pixels[:, channel], minlength=256) for channel in range(channels)]
            total += [int(histogram @ np.arange(256)) for histogram in histograms]
            squares += [int(histogram @ np.arange(256) ** 2) for histogram in histograms]
            count += len(pixels)
    mean = [int(value) / count / 255 for value in total]
    variance = [
        (int(square) * count - int(value) ** 2) / count**2 / 255**2
        for square, value in zip(squares, total, strict=True)
    ]
    return tuple(mean), tuple(value**0.5 for value in variance)
