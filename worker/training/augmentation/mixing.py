"""Pairs of examples, mixed with their targets; how much of each is drawn on the CPU."""

from collections.abc import Sequence
from typing import assert_never

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from models.spec.mixing import CutMix, Mixing, Mixup
from models.spec.task import Task
from worker.training.augmentation.draws import Draws, per_sample
from worker.training.augmentation.erasing import Boxes, around
from worker.training.augmentation.timing import Planned, acting, note
from worker.training.copying import onto
from worker.training.tally import Tally


def mix(
    inputs: Tensor,
    targets: Tensor,
    operations: Sequence[Planned[Mixing]],
    step: int,
    generator: torch.Generator,
    task: Task,
    tally: Tally | None = None,
) -> tuple[Tensor, Tensor]:
    """Inputs (batch, …) and their targets; while an operation acts these are soft: (batch, classes) shares of each
    class, (batch,) shares of the second class, or (batch, outputs) numbers.
    """
    draws = Draws(len(inputs), generator)
    for one in acting(operations, step):
        operation, before = one.operation, inputs
        targets = softened(targets, task)
        order = onto(inputs.device, torch.randperm(draws.samples, generator=draws.generator))
        kept = torch.where(draws.chosen(operation.p), beta(operation.alpha, draws), 1.0)
        match operation:
            case Mixup():
                inputs = weighted(inputs, inputs[order], per_sample(kept, inputs))
            case CutMix():
                height, width = inputs.shape[2:]
                boxes = boxes_of(kept, draws, (height, width))
                inputs = torch.where(boxes.mask((height, width), inputs.device), inputs[order], inputs)
                kept = 1.0 - boxes.area / (height * width)
            case _:
                assert_never(operation)
        targets = weighted(targets, targets[order], per_sample(kept, targets))
        note(tally, [one], [kept < 1.0], before, inputs)
    return inputs, targets


def softened(targets: Tensor, task: Task) -> Tensor:
    if task.kind == "multiclass" and not targets.is_floating_point():
        return F.one_hot(targets, task.outputs).float()
    return targets.float()


def weighted(one: Tensor, other: Tensor, share: Tensor) -> Tensor:
    """`share` of one and the rest of the other."""
    return one * share + other * (1.0 - share)


def beta(alpha: float, draws: Draws) -> Tensor:
    """(samples,) from Beta(alpha, alpha)."""
    return torch.from_numpy(np.random.default_rng(draws.seed()).beta(alpha, alpha, draws.samples)).float()


def boxes_of(kept: Tensor, draws: Draws, size: tuple[int, int]) -> Boxes:
    """Boxes of a share 1 − `kept` (samples,) of the area, before they are clipped."""
    sides = (1.0 - kept).sqrt()
    height, width = ((sides * length).long() for length in size)
    return around(draws.whole(0, size[0] - 1), draws.whole(0, size[1] - 1), height, width, size)
