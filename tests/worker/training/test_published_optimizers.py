"""Optimizers that PyTorch has not, or not for every parameter, against the formulas of their papers in float64, and
against PyTorch's on the matrices that it takes.
"""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from models.spec import catalog, parse_spec
from models.spec.estimate import averages_of
from models.spec.layers import layers_of
from tests.worker.training.little import SMALL_RUN
from tests.worker.training.test_optimizer import DEEPER, TASK, give_gradients, network_and_stepper
from worker.training.muon import orthogonalized

STEPS = 4
RATE = 0.05
Gradients = list[Tensor]


def gradients_of(name: str, network: nn.Module) -> Gradients:
    """Those of a parameter at each step, in float64."""
    found = []
    for step in range(STEPS):
        give_gradients(network, step)
        gradient = network.get_parameter(name).grad
        assert gradient is not None
        found.append(gradient.double())
    return found


def stepped(optimizer: dict[str, Any]) -> tuple[dict[str, Tensor], nn.Module]:
    """The weights before, and the network after some steps."""
    network, stepper = network_and_stepper(optimizer, DEEPER)
    before = {name: value.detach().double() for name, value in network.named_parameters()}
    for step in range(STEPS):
        give_gradients(network, step)
        stepper.step(RATE, torch.zeros(()))
    return before, network


def lion(w: Tensor, gradients: Gradients, _: bool) -> Tensor:
    """Chen et al. 2023, program 1."""
    m = torch.zeros_like(w)
    for g in gradients:
        w = w - RATE * torch.sign(0.8 * m + 0.2 * g)
        m = 0.95 * m + 0.05 * g
    return w


def lamb(w: Tensor, gradients: Gradients, is_kernel: bool) -> Tensor:
    """You et al. 2020, algorithm 2, with φ the identity."""
    m, v = torch.zeros_like(w), torch.zeros_like(w)
    for t, g in enumerate(gradients, start=1):
        m = 0.9 * m + 0.1 * g
        v = 0.99 * v + 0.01 * g**2
        r = (m / (1 - 0.9**t)) / ((v / (1 - 0.99**t)).sqrt() + 1e-6)
        u = r + 0.1 * w if is_kernel else r
        w = w - RATE * (w.norm() / u.norm() if is_kernel else 1.0) * u
    return w


def adafactor(w: Tensor, gradients: Gradients, _: bool) -> Tensor:
    """Shazeer & Stern 2018, algorithms 4 and 5, with sums as there."""
    shape, w = w.shape, w.flatten(1) if w.dim() > 1 else w
    r = c = v = torch.zeros(())
    for t, g in enumerate(gradients, start=1):
        old = 1 - t**-0.8
        alpha = max(1e-3, float(w.square().mean().sqrt())) * min(RATE, 1 / math.sqrt(t))
        squares = g.reshape(w.shape) ** 2 + 1e-30
        if w.dim() > 1:
            r = old * r + (1 - old) * squares.sum(1)
            c = old * c + (1 - old) * squares.sum(0)
            v = torch.outer(r, c) / r.sum()
        else:
            v = old * v + (1 - old) * squares
        u = g.reshape(w.shape) / v.sqrt()
        w = w - alpha * u / max(1.0, float(u.square().mean().sqrt()))
    return w.view(shape)


FORMULAS: list[tuple[dict[str, Any], Callable[[Tensor, Gradients, bool], Tensor]]] = [
    ({"type": "lion", "betas": [0.8, 0.95]}, lion),
    ({"type": "lamb", "betas": [0.9, 0.99], "weight_decay": 0.1}, lamb),
    ({"type": "adafactor"}, adafactor),
]


@pytest.mark.parametrize(("words", "formula"), FORMULAS, ids=[str(words["type"]) for words, _ in FORMULAS])
def test_steps_are_those_of_the_paper(words: dict[str, Any], formula: Callable[..., Tensor]) -> None:
    before, network = stepped(words)
    after = {name: value.detach().double() for name, value in network.named_parameters()}
    for name, start in before.items():
        expected = formula(start, gradients_of(name, network), start.dim() > 1)
        torch.testing.assert_close(after[name], expected, rtol=1e-4, atol=1e-6, check_stride=False)


def matrices(network: nn.Module) -> dict[str, nn.Parameter]:
    """Copies of its parameters, kernels as matrices."""
    named = network.named_parameters()
    return {
        name: nn.Parameter(value.detach().flatten(1) if value.dim() > 1 else value.clone()) for name, value in named
    }


def give_matrices(copies: dict[str, nn.Parameter], network: nn.Module) -> None:
    for name, value in network.named_parameters():
        assert value.grad is not None
        copies[name].grad = value.grad.reshape(copies[name].shape)


def test_adafactor_is_pytorchs_on_matrices() -> None:
    network, stepper = network_and_stepper({"type": "adafactor"}, DEEPER)
    theirs = matrices(network)
    other: Any = torch.optim.Adafactor(theirs.values(), RATE, eps=(1e-30, 1e-3))
    for step in range(STEPS):
        give_gradients(network, step)
        give_matrices(theirs, network)
        stepper.step(RATE, torch.zeros(()))
        other.step()
    for name, value in network.named_parameters():
        torch.testing.assert_close(value.detach().reshape(theirs[name].shape), theirs[name].detach())


@pytest.mark.parametrize("adjust", ["original", "match_rms_adamw"])
@pytest.mark.parametrize("nesterov", [True, False])
def test_muon_is_pytorchs_on_hidden_matrices_and_adamw_elsewhere(adjust: str, nesterov: bool) -> None:
    other_words = {"type": "adamw", "learning_rate": 0.01, "weight_decay": 0.1}
    words = {"type": "muon", "learning_rate": 0.1, "adjust": adjust, "nesterov": nesterov, "other": other_words}
    network, stepper = network_and_stepper(words, DEEPER)
    theirs = matrices(network)
    hidden = ["convolutions.1.weight", "head.0.weight"]
    kernels = [value for name, value in theirs.items() if value.dim() > 1 and name not in hidden]
    rest = [value for value in theirs.values() if value.dim() == 1]
    muon: Any = torch.optim.Muon(
        [theirs[name] for name in hidden], RATE, weight_decay=0.0, nesterov=nesterov, adjust_lr_fn=adjust
    )
    # At half of muon's own rate the other one is at half of its own, too.
    groups: list[dict[str, Any]] = [{"params": kernels}, {"params": rest, "weight_decay": 0.0}]
    adamw = torch.optim.AdamW(groups, 0.005, weight_decay=0.1)
    for step in range(STEPS):
        give_gradients(network, step)
        give_matrices(theirs, network)
        stepper.step(RATE, torch.zeros(()))
        muon.step()
        adamw.step()
    for name, value in network.named_parameters():
        torch.testing.assert_close(value.detach().reshape(theirs[name].shape), theirs[name].detach())


def test_kernels_of_several_gates_are_as_many_matrices() -> None:
    gates = torch.randn(3, 7, 5, generator=torch.Generator().manual_seed(0))
    for gate, alone in zip(orthogonalized(gates, 5), gates, strict=True):
        left, _, right = torch.linalg.svd(alone, full_matrices=False)
        assert torch.linalg.svdvals(gate.float()).sub(1.0).abs().max() < 0.4
        assert (left.T @ gate.float() @ right.T).diagonal().min() > 0.6
    network, stepper = network_and_stepper({"type": "muon"}, {"type": "lstm", "width": 5, "sequence_length": 8})
    give_gradients(network, 0)
    before = network.get_parameter("layers.0.recurrent.weight").detach().clone()
    stepper.step(RATE, torch.zeros(()))
    moved = (before - network.get_parameter("layers.0.recurrent.weight").detach()) / RATE
    for gate in moved.chunk(4):
        assert torch.linalg.svdvals(gate).sub(1.0).abs().max() < 0.5


@pytest.mark.usefixtures("asked")
def test_the_other_optimizer_is_skipped_with_muon() -> None:
    network, stepper = network_and_stepper({"type": "muon"}, DEEPER)
    before = {name: value.detach().clone() for name, value in network.named_parameters()}
    averages = {name: value.clone() for name, value in stepper.tensors().items()}
    for parameter in network.parameters():
        parameter.grad = torch.full_like(parameter, torch.nan)
    stepper.step(RATE, torch.ones(()))
    assert all(torch.equal(value, before[name]) for name, value in network.named_parameters())
    assert all(torch.equal(value, averages[name]) for name, value in stepper.tensors().items())


VIT = {"type": "vit", "patch": 4, "width": 8, "depth": 1, "heads": 2}
SHARED = {"type": "convnext", "depths": [1, 1], "widths": [4, 8], "stem": "small"}


@pytest.mark.parametrize("kind", sorted(catalog()["optimizer"]))
@pytest.mark.parametrize("network", [DEEPER, VIT, SHARED], ids=lambda network: str(network["type"]))
def test_the_estimate_knows_how_many_numbers_are_kept(kind: str, network: dict[str, Any]) -> None:
    _, stepper = network_and_stepper({"type": kind}, network)
    spec = parse_spec({**SMALL_RUN, "network": network, "optimizer": {"type": kind}})
    kept = sum(value.numel() for value in stepper.tensors().values() if value.dim())
    assert kept == averages_of(spec.optimizer, layers_of(spec.network, TASK.input_shape, TASK.outputs))
