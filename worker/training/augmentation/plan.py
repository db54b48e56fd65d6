"""The list of augmentations as runs that a batch goes through, and what a run does."""

from collections.abc import Sequence
from typing import assert_never

import torch
from torch import Tensor

from models.spec.augmentation import Augmentation, OnImages
from models.spec.geometric import Geometric
from models.spec.photometric import (
    ColorJitter,
    Cutout,
    Equalize,
    GaussianBlur,
    Grayscale,
    Invert,
    Photometric,
    Posterize,
    RandomErasing,
    Solarize,
)
from models.spec.policies import AutoAugment, Policy, RandAugment, TrivialAugment
from models.spec.vectors import GaussianNoise
from worker.training.augmentation.blurring import blurred
from worker.training.augmentation.draws import Draws, per_sample
from worker.training.augmentation.erasing import boxes_of, erased
from worker.training.augmentation.geometric import move, shared
from worker.training.augmentation.photometric import equalized, gray, jittered, posterized, solarized
from worker.training.augmentation.policies import follow
from worker.training.augmentation.timing import Planned, acting, note, planned
from worker.training.augmentation.vectors import noisy
from worker.training.geometry import Finish
from worker.training.tally import Tally


def plan(operations: Sequence[Augmentation], steps_per_epoch: int, steps: int) -> list[list[Planned[OnImages]]]:
    """Those of the list that change images, in runs: neighbours that share one resampling, and each of the other
    operations on its own.
    """
    runs: list[list[Planned[OnImages]]] = []
    for place, operation in enumerate(operations):
        if not isinstance(operation, OnImages):
            continue
        if not runs or not joins(operation, runs[-1]):
            runs.append([])
        runs[-1].append(planned(operation, steps_per_epoch, steps, place))
    return runs


def joins(operation: OnImages, run: Sequence[Planned[OnImages]]) -> bool:
    moves = [one.operation for one in run if isinstance(one.operation, Geometric)]
    return isinstance(operation, Geometric) and len(moves) == len(run) and shared([*moves, operation]) is not None


def augment(
    images: Tensor,
    runs: list[list[Planned[OnImages]]],
    step: int,
    generator: torch.Generator,
    zero: Tensor | None = None,
    tally: Tally | None = None,
    finish: Finish | None = None,
) -> Tensor:
    """Images (batch, channels, height, width), float or bytes, 0–255, as this step changes them, and finished;
    `generator` is of the CPU and of this step, `zero` (1, channels, 1, 1) is the pixel that the network gets as 0,
    black unless given.

    Operations that share a resampling count an image as changed by each of them that was drawn to move it.
    """
    draws = Draws(len(images), generator)
    zero = torch.zeros(1, 1, 1, 1, device=images.device) if zero is None else zero
    for run in runs:
        active = list(acting(run, step))
        moves = [one.operation for one in active if isinstance(one.operation, Geometric)]
        before = images
        if moves:
            at_last = finish if run is runs[-1] else None
            images, moved = move(images, moves, draws, at_last)
            note(tally, active, moved, before, images, at_last)
            if at_last is not None:
                return images
            continue
        images = images.float()
        for one in active:
            operation = one.operation
            assert not isinstance(operation, Geometric)
            chosen = draws.chosen(operation.p)
            images = torch.where(per_sample(chosen, images), changed(images, operation, draws, zero), images)
            note(tally, [one], [chosen], before, images)
    return images if finish is None else finish(images)


def changed(images: Tensor, operation: Photometric | GaussianNoise | Policy, draws: Draws, zero: Tensor) -> Tensor:
    """Every image of the batch, changed."""
    match operation:
        case ColorJitter():
            return jittered(images, operation, draws)
        case Grayscale():
            return gray(images).expand_as(images)
        case Invert():
            return 255.0 - images
        case Posterize():
            return posterized(images, 2.0 ** (8 - operation.bits))
        case Solarize():
            return solarized(images, operation.threshold)
        case Equalize():
            return equalized(images)
        case GaussianBlur():
            return blurred(images, draws.between(*operation.sigma))
        case GaussianNoise():
            return noisy(images, 255.0 * operation.std, draws.on(images.device)).clamp(0.0, 255.0)
        case RandAugment() | TrivialAugment() | AutoAugment():
            return follow(images, operation, draws)
        case RandomErasing() | Cutout():
            boxes = boxes_of(operation, draws, (images.shape[2], images.shape[3]))
            return erased(images, boxes, operation.value, zero, draws)
        case _:
            assert_never(operation)
