"""What is measured over many batches, as sums that stay on the device until somebody asks.

The sums of a part do not depend on how often anything is reported, and they are added in float64.
"""

from math import nan
from typing import Literal, assert_never

import torch
from torch import Tensor

from models.spec.loss import Loss
from models.spec.task import Task
from worker.training.loss import predictions, share

TOP = 5
"""Top-5 accuracy is told where there are more classes than that."""

LOSS, LOSS_SHARE, EXAMPLES, FIRST = range(4)
"""Places in the sums; what follows belongs to the kind of task."""


def sums_of(task: Task, loss: Loss, outputs: Tensor, targets: Tensor, mean: Tensor, weights: Tensor | None) -> Tensor:
    """One batch's sums, (n,) float64; `mean` is its loss."""
    part = torch.as_tensor(share(loss, targets, weights), dtype=torch.float64, device=outputs.device)
    head = torch.stack([mean.double() * part, part, torch.full_like(part, len(targets))])
    return torch.cat([head, torch.stack(task_sums(task, predictions(loss, outputs), targets)).double()])


def task_sums(task: Task, outputs: Tensor, targets: Tensor) -> list[Tensor]:
    """Of mixed examples the class with the larger share is the right one; of labels the right ones count alike."""
    match task.kind:
        case "multiclass":
            targets = targets.argmax(1) if targets.is_floating_point() else targets
            right = [(outputs.argmax(1) == targets).sum()]
            if task.outputs > TOP:
                right.append((outputs.topk(TOP, dim=1).indices == targets[:, None]).sum())
            return right
        case "binary":
            return [((outputs.squeeze(1) > 0) == (targets > 0.5)).sum()]
        case "multi_label":
            return [((outputs > 0) == (targets > 0.5)).sum() / task.outputs]
        case "regression":
            errors, values = (outputs - targets).double(), targets.double()
            return [errors.abs().sum(), errors.square().sum(), *values.sum(0), *values.square().sum(0)]
        case _:
            assert_never(task.kind)


def empty_sums(task: Task, device: str) -> Tensor:
    of_task = {"regression": 2 + 2 * task.outputs, "multiclass": 1 + (task.outputs > TOP)}.get(task.kind, 1)
    return torch.zeros(FIRST + of_task, dtype=torch.float64, device=device)


def metrics_of(task: Task, sums: Tensor, part: Literal["train", "validation"]) -> dict[str, float]:
    """Loss and accuracies, or loss, mae, rmse and r2."""
    values = sums.tolist()
    metrics = {"loss": ratio(values[LOSS], values[LOSS_SHARE])}
    match task.kind:
        case "multiclass" | "binary" | "multi_label":
            metrics["accuracy"] = ratio(values[FIRST], values[EXAMPLES])
            if len(values) > FIRST + 1:
                metrics["top_5_accuracy"] = ratio(values[FIRST + 1], values[EXAMPLES])
        case "regression":
            metrics |= regression_metrics(task.outputs, values[EXAMPLES], values[FIRST:])
        case _:
            assert_never(task.kind)
    return {f"{part}/{name}": value for name, value in metrics.items()}


def regression_metrics(outputs: int, examples: float, sums: list[float]) -> dict[str, float]:
    """r2 is 1 − Σ(y − ŷ)² / Σ(y − ȳ)² with both sums over all outputs; NaN where the targets do not vary."""
    absolute, squared, *rest = sums
    totals, squares = rest[:outputs], rest[outputs:]
    variation = sum(square - ratio(total**2, examples) for total, square in zip(totals, squares, strict=True))
    return {
        "mae": ratio(absolute, examples * outputs),
        "rmse": ratio(squared, examples * outputs) ** 0.5,
        "r2": 1.0 - ratio(squared, max(variation, 0.0)),
    }


def ratio(total: float, count: float) -> float:
    """NaN where nothing was counted: no example, or none whose step was not skipped."""
    return total / count if count else nan
