"""Soft thresholds and limits against closed forms, and zeros that a penalty does not give."""

import math
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from models.spec import Task, parse_spec
from tests.worker.training.little import SMALL_RUN, pack_vectors, run
from worker.training import Finished
from worker.training.network import build_network
from worker.training.optimizer import Stepper
from worker.training.projection import limit, step_size

TASK = Task("multiclass", ("a", "b"), 2, (6,), 10, 0)
PROXIMAL = {"type": "l1", "weight": 0.02, "mode": "proximal"}
SIZES: list[tuple[dict[str, Any], Any]] = [
    ({"type": "sgd", "momentum": 0.9}, lambda g: 10.0 * torch.ones_like(g)),
    ({"type": "sgd"}, torch.ones_like),
    ({"type": "adam", "epsilon": 0.1}, lambda g: 1 / (g.abs() + 0.1)),
    ({"type": "adamw", "epsilon": 0.1, "weight_decay": 0.0}, lambda g: 1 / (g.abs() + 0.1)),
    ({"type": "nadam", "epsilon": 0.1}, lambda g: 1 / (g.abs() + 0.1)),
    ({"type": "radam", "epsilon": 0.1}, torch.ones_like),
    ({"type": "adamax", "epsilon": 0.1}, lambda g: 1 / (g.abs() + 0.1)),
    ({"type": "adagrad", "epsilon": 0.1}, lambda g: 1 / (g.abs() + 0.1)),
    ({"type": "rmsprop", "alpha": 0.75, "epsilon": 0.1, "momentum": 0.5}, lambda g: 2 / (0.5 * g.abs() + 0.1)),
]


def stepped(optimizer: dict[str, Any], technique: list[dict[str, Any]], skipped: float = 0.0) -> nn.Module:
    """A network after one step at rate 0.3 on gradients that are known."""
    words = {"optimizer": optimizer, "regularization": technique, "initialization": {"type": "normal", "std": 0.3}}
    spec = parse_spec({**SMALL_RUN, **words})
    network = build_network(spec, TASK)
    for parameter in network.parameters():
        parameter.grad = gradient_of(parameter)
    Stepper(spec, network).step(0.3, torch.tensor(skipped))
    return network


def gradient_of(parameter: Tensor) -> Tensor:
    return torch.linspace(-2.0, 2.0, parameter.numel()).view_as(parameter)


@pytest.mark.parametrize(("optimizer", "size"), SIZES)
def test_the_soft_threshold_follows_the_optimizers_own_step(optimizer: dict[str, Any], size: Any) -> None:
    plain, proximal = stepped(optimizer, []), stepped(optimizer, [PROXIMAL])
    for before, after in zip(plain.parameters(), proximal.parameters(), strict=True):
        threshold = 0.3 * 0.02 * size(gradient_of(before)) if before.dim() > 1 else torch.zeros_like(before)
        shrunk = torch.sign(before) * torch.relu(before.abs() - threshold)
        torch.testing.assert_close(after, shrunk.detach(), check_stride=False)


@pytest.mark.parametrize("kind", ["nadam", "radam", "adamax", "adagrad"])
def test_the_soft_threshold_is_what_a_constant_gradient_comes_to_move(kind: str) -> None:
    """A gradient that stays what it is moves a weight by the step size times itself."""
    optimizer = {"type": kind, "betas": [0.5, 0.8]} if kind != "adagrad" else {"type": kind}
    words = {"optimizer": optimizer, "initialization": {"type": "normal", "std": 0.3}}
    spec = parse_spec({**SMALL_RUN, **words})
    network = build_network(spec, TASK)
    stepper, kernel = Stepper(spec, network), network.get_parameter("output.weight")
    for _ in range(40):
        before = kernel.detach().clone()
        for parameter in network.parameters():
            parameter.grad = gradient_of(parameter)
        stepper.step(0.3, torch.tensor(0.0))
    size = step_size(spec.optimizer, stepper.optimizer, kernel)
    moved = 0.3 * size * gradient_of(kernel)
    torch.testing.assert_close(before - kernel.detach(), moved, rtol=2e-2, atol=1e-4, check_stride=False)


def test_a_unit_longer_than_the_maximum_is_scaled_to_it_as_by_renorm() -> None:
    kernel = torch.randn(7, 4, 3, 3, generator=torch.Generator().manual_seed(0))
    expected = torch.renorm(kernel, 2, 0, 6.0)
    limit(kernel, 6.0, torch.zeros(()))
    torch.testing.assert_close(kernel, expected)


@pytest.mark.usefixtures("asked")
@pytest.mark.parametrize("technique", [PROXIMAL, {"type": "max_norm", "max": 0.01}])
@pytest.mark.parametrize("optimizer", [words for words, _ in SIZES])
def test_a_skipped_step_projects_nothing(optimizer: dict[str, Any], technique: dict[str, Any]) -> None:
    plain, projected = stepped(optimizer, [], 1.0), stepped(optimizer, [technique], 1.0)
    for one, other in zip(plain.parameters(), projected.parameters(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize(
    "optimizer",
    [{"type": "sgd", "learning_rate": 0.03, "momentum": 0.9}, {"type": "adam", "learning_rate": 0.01}],
    ids=lambda optimizer: optimizer["type"],
)
def test_the_proximal_step_makes_zeros_at_the_accuracy_of_the_penalty(tmp_path: Path, optimizer: Any) -> None:
    """Digits of 8 × 8 pixels, the mean of three seeds: half of the weights are exactly 0, and nothing is lost."""
    penalty, proximal = (
        digits(tmp_path, optimizer, {"type": "l1", "weight": 0.001, "mode": mode}) for mode in ("penalty", "proximal")
    )
    assert penalty["train/sparsity"] < 0.01 < 0.5 < proximal["train/sparsity"]
    assert penalty["validation/accuracy"] > 0.94
    assert proximal["validation/accuracy"] > penalty["validation/accuracy"] - 0.01
    assert math.isfinite(proximal["validation/loss"])


def digits(folder: Path, optimizer: dict[str, Any], technique: dict[str, Any]) -> dict[str, float]:
    with np.load(Path(__file__).parents[3] / "local" / "digits.npz") as arrays:
        x, y = arrays["train_images"], arrays["train_labels"]
    inputs = x.reshape(len(x), -1).astype(np.float32) / 16
    packed = pack_vectors(folder, inputs, y.astype(np.int64), tuple("0123456789"))
    words = {
        "network": {"type": "mlp", "hidden": [64]},
        "optimizer": optimizer,
        "regularization": [technique],
        "training": {"epochs": 25, "batch_size": 32},
    }
    ends = [run(packed, {**words, "seed": seed})[-1] for seed in range(3)]
    results = [end.last for end in ends if isinstance(end, Finished)]
    assert len(results) == len(ends)
    return {name: fmean(result[name] for result in results) for name in results[0]}
