"""What the training part of an epoch is measured by: sums over its batches that stay on the device until the epoch's
end, in float64.
"""

from math import nan
from typing import assert_never

import torch
from torch import Tensor

from models.spec.loss import Loss
from models.spec.task import Task
from worker.training.loss import predictions, share

LOSS, LOSS_SHARE, EXAMPLES, FIRST = range(4)
"""Places in the sums; what follows belongs to the kind of task."""


def sums_of(
    task: Task, loss: Loss, top_k: int | None, outputs: Tensor, targets: Tensor, mean: Tensor, weights: Tensor | None
) -> Tensor:
    """One batch's sums, (n,) float64; `mean` is its loss."""
    counted = share(loss, targets, weights)
    whole = outputs.new_full((), len(targets), dtype=torch.float64)
    part = counted.double() if isinstance(counted, Tensor) else whole
    head = torch.stack([mean.double() * part, part, whole])
    return torch.cat([head, torch.stack(task_sums(task, top_k, predictions(loss, outputs), targets)).double()])


def task_sums(task: Task, top_k: int | None, outputs: Tensor, targets: Tensor) -> list[Tensor]:
    """Of mixed examples the class with the larger share is the right one; of labels the right ones count alike."""
    match task.kind:
        case "multiclass":
            targets = targets.argmax(1) if targets.is_floating_point() else targets
            first = (outputs.argmax(1) == targets).sum()
            if top_k is None:
                return [first]
            return [first, (outputs.topk(top_k, dim=1).indices == targets[:, None]).sum()]
        case "binary":
            return [((outputs.squeeze(1) > 0) == (targets > 0.5)).sum()]
        case "multi_label":
            right = (outputs > 0) == (targets > 0.5)
            return [right.sum().double() / task.outputs, right.all(1).sum()]
        case "regression":
            errors, values = (outputs - targets).double(), targets.double()
            return [errors.abs().sum(), errors.square().sum(), *values.sum(0), *values.square().sum(0)]
        case _:
            assert_never(task.kind)


def empty_sums(task: Task, top_k: int | None, device: str) -> Tensor:
    of_task = {
        "multiclass": 1 + (top_k is not None),
        "binary": 1,
        "multi_label": 2,
        "regression": 2 + 2 * task.outputs,
    }
    return torch.zeros(FIRST + of_task[task.kind], dtype=torch.float64, device=device)


def metrics_of(task: Task, sums: Tensor) -> dict[str, float]:
    """Loss and accuracies, or loss, mae, rmse and r2."""
    values = sums.tolist()
    metrics = {"loss": ratio(values[LOSS], values[LOSS_SHARE])}
    match task.kind:
        case "multiclass" | "binary" | "multi_label":
            metrics["accuracy"] = ratio(values[FIRST], values[EXAMPLES])
            if len(values) > FIRST + 1:
                second = "exact_match" if task.kind == "multi_label" else "top_k_accuracy"
                metrics[second] = ratio(values[FIRST + 1], values[EXAMPLES])
        case "regression":
            metrics |= regression_metrics(task.outputs, values[EXAMPLES], values[FIRST:])
        case _:
            assert_never(task.kind)
    return {f"train/{name}": value for name, value in metrics.items()}


ROUNDING = 1e-12
"""Of the targets' squares: a variation that is smaller is what is left of rounding."""


def regression_metrics(outputs: int, examples: float, sums: list[float]) -> dict[str, float]:
    """r2 is 1 − Σ(y − ŷ)² / Σ(y − ȳ)² with both sums over all outputs; NaN where the targets do not vary."""
    absolute, squared, *rest = sums
    totals, squares = rest[:outputs], rest[outputs:]
    variation = sum(square - ratio(total**2, examples) for total, square in zip(totals, squares, strict=True))
    variation = variation if variation > ROUNDING * sum(squares) else 0.0
    return {
        "mae": ratio(absolute, examples * outputs),
        "rmse": ratio(squared, examples * outputs) ** 0.5,
        "r2": 1.0 - ratio(squared, variation),
    }


def ratio(total: float, count: float) -> float:
    """NaN where nothing was counted: no example, or none whose step was not skipped."""
    return total / count if count else nan
