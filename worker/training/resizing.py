"""Images in the size a job asks for: derived once, kept under the name of their content, mapped by every later job."""

import os
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from models.spec.manifest import ImageSplit

METHOD = "bilinear-antialias-1"
"""Part of the derived array's name: a change of method is a change of name."""

IMAGES_AT_ONCE = 256


def open_images(folder: Path, split: ImageSplit, channels: int, size: tuple[int, int], cache_folder: Path) -> Tensor:
    """The split's images as (examples, height, width, channels) uint8, resized where they have another size."""
    if split.sizes is None and split.inputs.shape[1:3] == size:
        return torch.from_numpy(np.load(folder / split.inputs.path, mmap_mode="c"))
    path = cache_folder / derived_name(split, size)
    if not path.exists():
        cache_folder.mkdir(parents=True, exist_ok=True)
        write_resized(path, folder, split, channels, size)
    return torch.from_numpy(np.load(path, mmap_mode="c"))


def derived_name(split: ImageSplit, size: tuple[int, int]) -> str:
    """Sizes are part of a ragged split's content: equal bytes can be cut in two ways."""
    shapes = f"-{split.sizes.sha256[:16]}" if split.sizes else ""
    return f"{split.inputs.sha256}{shapes}-{size[0]}x{size[1]}-{METHOD}.npy"


def write_resized(path: Path, folder: Path, split: ImageSplit, channels: int, size: tuple[int, int]) -> None:
    """Writes to a temporary name, waits for the disk, renames: `path` is never half an array. Raises OSError where the
    disk has no room.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        resized = np.lib.format.open_memmap(
            temporary, mode="w+", dtype=np.uint8, shape=(split.examples, *size, channels)
        )
        if hasattr(os, "posix_fallocate"):  # whoever writes to memory without a disk behind it is ended, not told
            with temporary.open("r+b") as file:
                os.posix_fallocate(file.fileno(), 0, temporary.stat().st_size)
        fill_resized(resized, folder, split, channels, size)
        resized.flush()
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def fill_resized(
    resized: NDArray[np.uint8], folder: Path, split: ImageSplit, channels: int, size: tuple[int, int]
) -> None:
    stored = np.load(folder / split.inputs.path, mmap_mode="c")
    if split.sizes is None or split.offsets is None:
        for start in range(0, split.examples, IMAGES_AT_ONCE):
            images = torch.from_numpy(stored[start : start + IMAGES_AT_ONCE])
            resized[start : start + IMAGES_AT_ONCE] = resize(images, size).numpy()
        return
    sizes, offsets = np.load(folder / split.sizes.path), np.load(folder / split.offsets.path)
    for index, (height, width) in enumerate(sizes):
        image = torch.from_numpy(stored[offsets[index] : offsets[index + 1]]).view(1, int(height), int(width), channels)
        resized[index] = resize(image, size)[0].numpy()


def resize(images: Tensor, size: tuple[int, int]) -> Tensor:
    """(examples, height, width, channels) uint8 to another height and width: bilinear, averaging what falls into one
    pixel.
    """
    channels_first = images.permute(0, 3, 1, 2)
    return F.interpolate(channels_first, size, mode="bilinear", antialias=True).permute(0, 2, 3, 1)
