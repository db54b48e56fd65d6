"""What is minimized, and measured: a mean over the examples of a batch, without penalties."""

from functools import cache
from typing import assert_never

import torch
from torch import Tensor
from torch.nn import functional as F

from models.spec.loss import (
    BinaryCrossEntropy,
    CrossEntropy,
    Focal,
    Hinge,
    Huber,
    Loss,
    MeanAbsoluteError,
    MeanSquaredError,
    Poisson,
)
from worker.training.data import Part

SURE = 1e-12
"""A share of other classes below this is none: the slope of a power of it may be infinite."""

LEAST_WEIGHT = torch.finfo(torch.float32).tiny
"""Together examples weigh at least so much: a batch may hold none but of classes that do not count."""


def class_weights(loss: Loss, training: Part, classes: int) -> Tensor | None:
    """(classes,) float32, or None where all count alike. `balanced` is n / (classes · n_c) of the training part, and 0
    for a class that it lacks: of that only label smoothing would see anything.
    """
    if not isinstance(loss, CrossEntropy) or loss.class_weights == "none":
        return None
    if loss.class_weights != "balanced":
        return torch.tensor(loss.class_weights)
    targets = training.all_targets
    counts = torch.bincount(targets, minlength=classes)
    return torch.where(counts > 0, len(targets) / (classes * counts.clamp(min=1)), 0.0).float()


def measure(loss: Loss, outputs: Tensor, targets: Tensor, weights: Tensor | None = None) -> Tensor:
    """A scalar; `outputs` (batch, outputs) are logits or numbers, `targets` as `Part` stores them or, of
    mixed examples, floating shares of each class, of the second class or of each label.
    """
    match loss:
        case CrossEntropy() if weights is None:
            return F.cross_entropy(outputs, targets)
        case CrossEntropy():
            return weighed(F.cross_entropy(outputs, targets, weights, reduction="sum"), share(loss, targets, weights))
        case BinaryCrossEntropy():
            logits = outputs if targets.dim() == 2 else outputs.squeeze(1)
            return F.binary_cross_entropy_with_logits(logits, targets.to(outputs.dtype))
        case Focal():
            return focal(loss, outputs, targets)
        case Hinge() if outputs.shape[1] == 1:
            return F.relu(loss.margin - (2 * targets - 1) * outputs.squeeze(1)).mean()
        case Hinge():
            return F.multi_margin_loss(outputs, targets, margin=loss.margin)
        case Poisson():
            return F.poisson_nll_loss(outputs, targets)
        case MeanSquaredError():
            return F.mse_loss(outputs, targets)
        case MeanAbsoluteError():
            return F.l1_loss(outputs, targets)
        case Huber():
            return F.huber_loss(outputs, targets, delta=loss.delta)
        case _:
            assert_never(loss)


def focal(loss: Focal, outputs: Tensor, targets: Tensor) -> Tensor:
    """One logit is the softmax of that and 0; labels (batch, labels) have one each."""
    if targets.dim() == 2:
        outputs, targets = outputs.reshape(-1, 1), targets.reshape(-1).long()
    logits = outputs if outputs.shape[1] > 1 else torch.cat([torch.zeros_like(outputs), outputs], dim=1)
    surprise = F.cross_entropy(logits, targets, reduction="none")
    values = (-torch.expm1(-surprise)).clamp(min=SURE).pow(loss.gamma) * surprise
    return (values if loss.alpha is None else values * on_device(loss.alpha, values.device)[targets]).mean()


@cache
def on_device(numbers: tuple[float, ...], device: torch.device) -> Tensor:
    """Once: a pass that is recorded for a GPU takes nothing from the processor."""
    return torch.tensor(numbers, device=device)


def predictions(loss: Loss, outputs: Tensor) -> Tensor:
    """What a regression's outputs say, in the unit of its targets."""
    return outputs.exp() if isinstance(loss, Poisson) else outputs


def weighed(total: Tensor, weight: Tensor | int) -> Tensor:
    """A weighted sum as a mean; 0 where all that is summed has the weight 0."""
    return total / torch.as_tensor(weight).clamp(min=LEAST_WEIGHT)


def share(loss: Loss, targets: Tensor, weights: Tensor | None = None) -> Tensor | int:
    """What a batch's mean counts in the mean over many batches: its examples, or their class weights."""
    if not isinstance(loss, CrossEntropy) or weights is None:
        return len(targets)
    return (targets @ weights if targets.is_floating_point() else weights[targets]).sum()
