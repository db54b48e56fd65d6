"""Random changes of a batch of training images: every operation of the list becomes one matrix per image, and the batch
is resampled once.

Operations with different fills or interpolations cannot share a resampling; a list that mixes them is resampled once
per run of equal ones. Flips have neither and join whatever stands beside them; alone they exchange pixels exactly.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import assert_never

import torch
from torch import Tensor

from models.spec.augmentation import (
    Affine,
    Augmentation,
    HorizontalFlip,
    ImageDataGenerator,
    Rotation,
    Shear,
    ShearAmount,
    Shift,
    VerticalFlip,
    Zoom,
    shear_degrees,
)
from worker.training import geometry
from worker.training.geometry import Fill, Interpolation

KERAS_FLIP = 0.5


@dataclass(frozen=True)
class Planned:
    """One operation and the steps in which it acts: from `begin` to before `end`."""

    operation: Augmentation
    begin: int
    end: int


@dataclass(frozen=True)
class Sampling:
    """How pixels are read between and beyond the pixels there are."""

    fill: Fill
    interpolation: Interpolation


def plan(operations: Sequence[Augmentation], steps_per_epoch: int, steps: int) -> list[list[Planned]]:
    """The list in runs that share one resampling."""
    runs: list[list[Planned]] = []
    current: Sampling | None = None
    for operation in operations:
        wanted = sampling_of(operation)
        if not runs or (wanted is not None and current is not None and wanted != current):
            runs.append([])
            current = None
        current = current or wanted
        begin = operation.from_.in_steps(steps_per_epoch, steps)
        runs[-1].append(Planned(operation, begin, operation.until.in_steps(steps_per_epoch, steps)))
    return runs


def augment(images: Tensor, runs: list[list[Planned]], step: int, generator: torch.Generator) -> Tensor:
    """Images (batch, channels, height, width), float, 0–255, as this step changes them; `generator` is of the CPU and
    of this step.
    """
    for run in runs:
        active = [planned.operation for planned in run if planned.begin <= step < planned.end]
        if active:
            images = change(images, active, generator)
    return images


def change(images: Tensor, operations: Sequence[Augmentation], generator: torch.Generator) -> Tensor:
    samplings = [sampling for operation in operations if (sampling := sampling_of(operation)) is not None]
    if not samplings:
        return flip(images, operations, generator)
    samples, size = len(images), (images.shape[2], images.shape[3])
    maps = draw_maps(operations[0], samples, size, generator)
    for operation in operations[1:]:
        maps = maps @ draw_maps(operation, samples, size, generator)
    return geometry.resample(images, maps, samplings[0].fill, samplings[0].interpolation)


def flip(images: Tensor, operations: Sequence[Augmentation], generator: torch.Generator) -> Tensor:
    """Flips alone: an exchange of pixels."""
    for operation in operations:
        chosen = (torch.rand(len(images), generator=generator) < operation.p).to(images.device)
        flipped = images.flip(3 if isinstance(operation, HorizontalFlip) else 2)
        images = torch.where(chosen[:, None, None, None], flipped, images)
    return images


def sampling_of(operation: Augmentation) -> Sampling | None:
    """None for flips, which need no resampling."""
    match operation:
        case HorizontalFlip() | VerticalFlip():
            return None
        case ImageDataGenerator():
            return Sampling(operation.fill_mode, "bilinear")
        case Affine() | Rotation() | Shift() | Shear() | Zoom():
            return Sampling(operation.fill, operation.interpolation)
        case _:
            assert_never(operation)


def draw_maps(operation: Augmentation, samples: int, size: tuple[int, int], generator: torch.Generator) -> Tensor:
    """Maps from output to input, (samples, 3, 3); the identity for those that `p` spares."""
    maps = draw_operation(operation, samples, size, generator)
    if operation.p == 1.0:
        return maps
    spared = torch.rand(samples, generator=generator) >= operation.p
    return torch.where(spared[:, None, None], torch.eye(3), maps)


def draw_operation(operation: Augmentation, samples: int, size: tuple[int, int], generator: torch.Generator) -> Tensor:
    draws = Draws(samples, generator)
    match operation:
        case Affine():
            return (
                zoomed(draws, operation.zoom)
                @ sheared(draws, operation.shear)
                @ geometry.rotation(draws.symmetric(math.radians(operation.rotation)))
                @ shifted(draws, operation.shift, size)
            )
        case Rotation():
            return geometry.rotation(draws.symmetric(math.radians(operation.rotation)))
        case Shift():
            return shifted(draws, operation.shift, size)
        case Shear():
            return sheared(draws, operation.shear)
        case Zoom():
            return zoomed(draws, operation.zoom)
        case HorizontalFlip():
            return geometry.scaling(torch.ones(samples), -torch.ones(samples))
        case VerticalFlip():
            return geometry.scaling(-torch.ones(samples), torch.ones(samples))
        case ImageDataGenerator():
            return keras_maps(operation, draws, size)
        case _:
            assert_never(operation)


@dataclass(frozen=True)
class Draws:
    """Uniform draws, one per image."""

    samples: int
    generator: torch.Generator

    def between(self, low: float, high: float) -> Tensor:
        return torch.rand(self.samples, generator=self.generator) * (high - low) + low

    def symmetric(self, bound: float) -> Tensor:
        return self.between(-bound, bound)

    def sign(self, chance: float) -> Tensor:
        """−1 with this chance, else 1."""
        return 1.0 - 2.0 * (torch.rand(self.samples, generator=self.generator) < chance)


def shifted(draws: Draws, shift: tuple[float, float], size: tuple[int, int]) -> Tensor:
    """`shift` is a share of the width and of the height; `size` is (height, width)."""
    return geometry.translation(draws.symmetric(shift[1] * size[0]), draws.symmetric(shift[0] * size[1]))


def sheared(draws: Draws, amount: ShearAmount) -> Tensor:
    if isinstance(amount, str):
        return geometry.shear(draws.symmetric(math.radians(shear_degrees(amount))).tan())
    return geometry.shear(draws.symmetric(amount))


def zoomed(draws: Draws, zoom: tuple[float, float]) -> Tensor:
    """A picture twice as large is read in half steps."""
    stride = draws.between(*zoom).reciprocal()
    return geometry.scaling(stride, stride)


def keras_maps(operation: ImageDataGenerator, draws: Draws, size: tuple[int, int]) -> Tensor:
    """Keras's `get_random_transform` and `apply_affine_transform`: rotation · shift · shear · zoom, then the flips."""
    shear = math.radians(operation.shear_range) if operation.shear_unit == "degrees" else operation.shear_range
    zoom = operation.zoom_range
    low, high = zoom if isinstance(zoom, tuple) else (1.0 - zoom, 1.0 + zoom)
    maps = (
        geometry.rotation(draws.symmetric(math.radians(operation.rotation_range)))
        @ geometry.translation(
            draws.symmetric(operation.height_shift_range * size[0]),
            draws.symmetric(operation.width_shift_range * size[1]),
        )
        @ geometry.angular_shear(draws.symmetric(shear))
        @ geometry.scaling(draws.between(low, high), draws.between(low, high))
    )
    if operation.horizontal_flip or operation.vertical_flip:
        down = draws.sign(KERAS_FLIP if operation.vertical_flip else 0.0)
        across = draws.sign(KERAS_FLIP if operation.horizontal_flip else 0.0)
        maps = maps @ geometry.scaling(down, across)
    return maps
