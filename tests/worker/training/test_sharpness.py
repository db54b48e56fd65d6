"""Sharpness-aware minimization against a loop by hand, and what the second pass must leave alone."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.models.spec.manifests import images
from tests.models.spec.specs import conflicts
from tests.worker.training.little import bars, last_of, load, pack_images, run
from tests.worker.training.test_loop import EVERYTHING, interrupted, poison, same_bits
from worker.training import State, StepsDone
from worker.training import precision as precision_module
from worker.training import run as run_module
from worker.training.run import Run

KINDS: list[dict[str, Any]] = [
    {"type": "sam", "rho": 0.3},
    {"type": "sam", "adaptive": True, "rho": 1.5},
    {"type": "sam"},
    {"type": "sam", "adaptive": True},
]
SHORT = {"steps": 3, "batch_size": 16}


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pack_images(tmp_path_factory.mktemp("bars"), train=bars(90), test=bars(30, seed=1))


def gradients(network: nn.Module, x: Tensor, y: Tensor) -> dict[str, Tensor]:
    named = dict(network.named_parameters())
    values = torch.autograd.grad(F.cross_entropy(network(x), y), list(named.values()))
    return dict(zip(named, values, strict=True))


def by_hand(packed: Path, words: dict[str, Any], adaptive: bool, rho: float) -> dict[str, Tensor]:
    """Foret et al. 2021, algorithm 1, and Kwon et al. 2021, algorithm 1, with L2 of weight 0.01 and a step of 0.1."""
    spec, data = load(packed, words)
    begun = Run(spec, data, "cpu")
    network, order = begun.network, begun.order(0)
    optimizer = torch.optim.SGD(network.parameters(), 0.1, 0.9)
    for step in range(3):
        x, y = begun.feed.training_batch(data.training, order[step * 16 : step * 16 + 16], 0, step)
        held = {name: value.detach().clone() for name, value in network.named_parameters()}
        g = gradients(network, x, y)
        t = {name: w.abs() + 0.01 if adaptive and w.dim() > 1 else torch.ones_like(w) for name, w in held.items()}
        norm = sum((t[name] * g[name]).square().sum() for name in g) ** 0.5
        for name, value in network.named_parameters():
            value.data += rho * t[name] ** 2 * g[name] / norm
        uphill = gradients(network, x, y)
        for name, value in network.named_parameters():
            value.data.copy_(held[name])
            value.grad = uphill[name] + (2 * 0.01 * held[name] if value.dim() > 1 else 0)
        optimizer.step()
    return {name: value.detach() for name, value in network.named_parameters()}


@pytest.mark.parametrize(("technique", "rho"), list(zip(KINDS, [0.3, 1.5, 0.05, 0.5], strict=True)))
def test_a_run_is_that_of_a_loop_by_hand(packed: Path, technique: dict[str, Any], rho: float) -> None:
    words: dict[str, Any] = {
        "network": {"type": "mlp", "hidden": [16], "activation": "tanh"},
        "regularization": [technique, {"type": "l2", "weight": 0.01}],
        "optimizer": {"type": "sgd", "learning_rate": 0.1, "momentum": 0.9},
        "training": SHORT,
    }
    ours, theirs = last_of(run(packed, words)).weights, by_hand(packed, words, technique.get("adaptive", False), rho)
    for name, value in theirs.items():
        torch.testing.assert_close(ours[name], value, rtol=1e-4, atol=1e-6)
    without = last_of(run(packed, {**words, "regularization": words["regularization"][1:]})).weights
    assert any((ours[name] - without[name]).abs().max() > 1e-4 for name in theirs)


WAYS: list[dict[str, Any]] = [
    SHORT,
    {**SHORT, "accumulate": 2},
    {**SHORT, "precision": "float16"},
    {"epochs": 2, "batch_size": 16, "averaging": {"type": "ema", "decay": 0.9}},
]
DROPPING = [*EVERYTHING["regularization"], {"type": "drop_block", "block_size": 2}, {"type": "activity"}]


@pytest.mark.parametrize("way", WAYS)
def test_at_no_distance_a_run_has_the_bits_of_one_without_it(packed: Path, way: dict[str, Any]) -> None:
    """The second pass repeats the first: the same examples, augmented alike, the same units dropped; penalties count
    once, and norms, losses, metrics and counts are the first pass's.
    """
    words = {**EVERYTHING, "training": way, "optimizer": {"type": "sgd", "momentum": 0.9}}
    without = last_of(run(packed, {**words, "regularization": DROPPING}))
    with_it = last_of(run(packed, {**words, "regularization": [*DROPPING, {"type": "sam", "rho": 1e-30}]}))
    tensors = dict(with_it.state.tensors)
    assert tensors.pop("tally/sam/ascents") == with_it.step
    assert same_bits(without, replace(with_it, state=State(tensors, with_it.state.progress)))
    assert without.metrics == with_it.metrics


def test_running_means_of_norms_are_of_the_first_pass(packed: Path) -> None:
    one_step = {**EVERYTHING, "training": {"steps": 1, "batch_size": 16}}
    far = [*EVERYTHING["regularization"], {"type": "sam", "rho": 5.0}]
    without, with_it = last_of(run(packed, one_step)), last_of(run(packed, {**one_step, "regularization": far}))
    names = [name for name in without.weights if "running" in name]
    assert names
    assert all(torch.equal(without.weights[name], with_it.weights[name]) for name in names)
    assert not torch.equal(without.weights["output.weight"], with_it.weights["output.weight"])


@pytest.mark.parametrize("way", [{}, {"accumulate": 2, "precision": "float16"}])
@pytest.mark.parametrize("technique", KINDS[2:])
def test_an_interrupted_run_ends_with_the_same_bits(
    packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: dict[str, Any], technique: dict[str, Any]
) -> None:
    monkeypatch.setattr(run_module, "FLUSH_STEPS", 1)
    words = {**EVERYTHING, "regularization": [*DROPPING, technique], "training": {**SHORT, **way}}
    assert same_bits(last_of(run(packed, words)), interrupted(packed, words, tmp_path, 2))


def test_a_step_that_is_not_finite_changes_nothing(packed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = {**EVERYTHING, "regularization": [{"type": "sam"}], "training": SHORT}
    poison(monkeypatch, {0, 1})
    events = run(packed, {**words, "training": {"steps": 2, "batch_size": 16}})
    skipped = [value for event in events if isinstance(event, StepsDone) for value in event.columns["skipped"]]
    assert skipped == [1.0, 1.0]
    spec, data = load(packed, words)
    start = Run(spec, data, "cpu").network.state_dict()
    assert all(torch.equal(last_of(events).weights[name], value) for name, value in start.items())


def test_what_is_frozen_stays_where_it_is_uphill_too(packed: Path) -> None:
    frozen = {"type": "sgd", "multipliers": {"convolutions": 0}}
    words = {**EVERYTHING, "regularization": [{"type": "sam"}], "optimizer": frozen, "training": SHORT}
    spec, data = load(packed, words)
    start, last = Run(spec, data, "cpu").network.state_dict(), last_of(run(packed, words)).weights
    assert torch.equal(start["convolutions.0.weight"], last["convolutions.0.weight"])
    assert not torch.equal(start["output.weight"], last["output.weight"])


def test_sam_stands_once() -> None:
    assert conflicts(images(), regularization=[{"type": "sam"}, {"type": "sam"}])["/regularization/1"].code == "twice"


def test_an_overflow_uphill_leaves_the_spectral_norms_alone(packed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each halves the scale of float16 until it fits; what the power method finds there is not kept."""
    monkeypatch.setattr(precision_module, "FIRST_SCALE", 2.0**22)
    words = {
        "network": {"type": "mlp", "hidden": [16]},
        "regularization": [{"type": "sam"}, {"type": "spectral_norm"}],
        "training": {"steps": 14, "batch_size": 16, "precision": "float16"},
    }
    events = run(packed, words)
    skipped = sum(sum(event.columns["skipped"]) for event in events if isinstance(event, StepsDone))
    assert 0 < skipped < 14
    assert all(tensor.isfinite().all() for tensor in last_of(events).weights.values())
