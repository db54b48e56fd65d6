"""The sums of a training epoch."""

from math import isnan

import pytest
import torch

from models.spec import Task
from models.spec.loss import BinaryCrossEntropy, CrossEntropy, Loss, MeanSquaredError
from worker.training.loss import measure
from worker.training.metrics import empty_sums, metrics_of, regression_metrics, sums_of


def over_batches(
    task: Task, loss: Loss, outputs: torch.Tensor, targets: torch.Tensor, top_k: int | None = None
) -> dict[str, float]:
    """Measured in batches of unequal sizes."""
    sums = empty_sums(task, top_k, "cpu")
    for batch in (slice(0, 7), slice(7, 30), slice(30, None)):
        mean = measure(loss, outputs[batch], targets[batch])
        sums += sums_of(task, loss, top_k, outputs[batch], targets[batch], mean, None)
    return metrics_of(task, sums)


def test_accuracies_of_many_classes() -> None:
    generator = torch.Generator().manual_seed(0)
    outputs, targets = torch.randn(50, 9, generator=generator), torch.randint(0, 9, (50,), generator=generator)
    task = Task("multiclass", tuple("abcdefghi"), 9, (1,), 50, 0)
    metrics = over_batches(task, CrossEntropy(), outputs, targets, 3)
    ranks = outputs.argsort(1, descending=True)
    assert metrics["train/accuracy"] == pytest.approx((ranks[:, 0] == targets).double().mean().item())
    assert metrics["train/top_k_accuracy"] == pytest.approx((ranks[:, :3] == targets[:, None]).sum().item() / 50)
    assert metrics["train/loss"] == pytest.approx(torch.nn.functional.cross_entropy(outputs, targets).item())


def test_accuracy_of_one_logit() -> None:
    task = Task("binary", ("no", "yes"), 1, (1,), 40, 0)
    outputs, targets = torch.linspace(-1, 1, 40)[:, None], (torch.arange(40) >= 30).long()
    assert over_batches(task, BinaryCrossEntropy(), outputs, targets)["train/accuracy"] == pytest.approx(0.75)


def test_errors_of_a_regression_with_two_outputs() -> None:
    generator = torch.Generator().manual_seed(0)
    targets = torch.randn(60, 2, generator=generator) * torch.tensor([1.0, 5.0]) + 100
    outputs = targets + torch.randn(60, 2, generator=generator)
    metrics = over_batches(Task("regression", (), 2, (1,), 60, 0), MeanSquaredError(), outputs, targets)
    errors, spread = (outputs - targets).double(), (targets - targets.mean(0)).double()
    assert metrics["train/mae"] == pytest.approx(errors.abs().mean().item())
    assert metrics["train/rmse"] == pytest.approx(errors.square().mean().sqrt().item())
    assert metrics["train/r2"] == pytest.approx(1 - (errors.square().sum() / spread.square().sum()).item(), rel=1e-5)


def test_targets_that_do_not_vary_have_no_r2() -> None:
    """Sums of squares differ from squares of sums by rounding even then."""
    targets = [0.1] * 51
    sums = [1.0, 1.0, sum(targets), sum(target**2 for target in targets)]
    assert isnan(regression_metrics(1, 51.0, sums)["r2"])
