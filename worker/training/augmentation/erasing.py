"""Boxes of images: drawn on the CPU, filled on the device."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from models.spec.photometric import Cutout, RandomErasing, Value
from worker.training.augmentation.draws import Draws, first_that_fits
from worker.training.copying import onto

TRIES = 10
"""So often a box is drawn anew that does not fit into the image."""


@dataclass(frozen=True)
class Boxes:
    """One box per sample, in pixels, each (samples,) int64 on the CPU; `bottom` and `right` are behind the box."""

    top: Tensor
    left: Tensor
    bottom: Tensor
    right: Tensor

    def mask(self, size: tuple[int, int], device: torch.device) -> Tensor:
        """(samples, 1, height, width) bool, true within the box."""
        rows = torch.arange(size[0])
        columns = torch.arange(size[1])
        down = (rows >= self.top[:, None]) & (rows < self.bottom[:, None])
        across = (columns >= self.left[:, None]) & (columns < self.right[:, None])
        return onto(device, down)[:, None, :, None] & onto(device, across)[:, None, None, :]

    @property
    def area(self) -> Tensor:
        return (self.bottom - self.top) * (self.right - self.left)


def around(rows: Tensor, columns: Tensor, height: Tensor, width: Tensor, size: tuple[int, int]) -> Boxes:
    """Boxes about these centres, clipped at the edge of the image."""
    return Boxes(
        (rows - height // 2).clamp(0, size[0]),
        (columns - width // 2).clamp(0, size[1]),
        (rows - height // 2 + height).clamp(0, size[0]),
        (columns - width // 2 + width).clamp(0, size[1]),
    )


def boxes_of(operation: RandomErasing | Cutout, draws: Draws, size: tuple[int, int]) -> Boxes:
    if isinstance(operation, RandomErasing):
        return rectangles(operation, draws, size)
    length = torch.full((draws.samples,), operation.length)
    return around(draws.whole(0, size[0] - 1), draws.whole(0, size[1] - 1), length, length, size)


def rectangles(operation: RandomErasing, draws: Draws, size: tuple[int, int]) -> Boxes:
    """Of random erasing; empty where none fits."""
    area = draws.between(*operation.scale, tries=TRIES) * size[0] * size[1]
    narrowest, widest = operation.ratio
    ratio = draws.between(math.log(narrowest), math.log(widest), tries=TRIES).exp()
    heights, widths = (area * ratio).sqrt().round().long(), (area / ratio).sqrt().round().long()
    fits = (heights < size[0]) & (widths < size[1])
    height = first_that_fits(heights, fits) * fits.any(1)
    width = first_that_fits(widths, fits) * fits.any(1)
    top = (draws.between(0.0, 1.0) * (size[0] - height + 1)).long()
    left = (draws.between(0.0, 1.0) * (size[1] - width + 1)).long()
    return Boxes(top, left, top + height, left + width)


def erased(images: Tensor, boxes: Boxes, value: Value, zero: Tensor, draws: Draws) -> Tensor:
    """`zero` (1, channels, 1, 1) is what the network gets as 0."""
    if value == "random":
        zero = torch.rand(images.shape, generator=draws.on(images.device), device=images.device) * 255.0
    return torch.where(boxes.mask((images.shape[2], images.shape[3]), images.device), zero, images)
