"""The list of augmentations as runs that a batch goes through, and what a run does."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from models.spec.augmentation import Augmentation
from worker.training.augmentation.draws import Draws
from worker.training.augmentation.geometric import move, shared


@dataclass(frozen=True)
class Planned:
    """One operation and the steps in which it acts: from `begin` to before `end`."""

    operation: Augmentation
    begin: int
    end: int


def plan(operations: Sequence[Augmentation], steps_per_epoch: int, steps: int) -> list[list[Planned]]:
    """The list in runs that share one resampling."""
    runs: list[list[Planned]] = []
    for operation in operations:
        if not runs or shared([*(planned.operation for planned in runs[-1]), operation]) is None:
            runs.append([])
        begin = operation.from_.in_steps(steps_per_epoch, steps)
        runs[-1].append(Planned(operation, begin, operation.until.in_steps(steps_per_epoch, steps)))
    return runs


def augment(images: Tensor, runs: list[list[Planned]], step: int, generator: torch.Generator) -> Tensor:
    """Images (batch, channels, height, width), float, 0–255, as this step changes them; `generator` is of the CPU and
    of this step.
    """
    draws = Draws(len(images), generator)
    for run in runs:
        active = [planned.operation for planned in run if planned.begin <= step < planned.end]
        if active:
            images = move(images, active, draws)
    return images
