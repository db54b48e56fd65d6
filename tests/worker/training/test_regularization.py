"""Closed-form penalties against autograd of the sum, and weight decay against its formula."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from models.spec import JobSpec, Task, parse_spec
from models.spec.loss import BinaryCrossEntropy, CrossEntropy
from tests.worker.training.little import SMALL_RUN, bars, last_of, pack_images, run
from tests.worker.training.test_loop import interrupted, same_bits
from worker.training import Finished, StepsDone
from worker.training import run as run_module
from worker.training.inputs import smooth
from worker.training.loss import measure
from worker.training.network import build_network
from worker.training.optimizer import Stepper
from worker.training.regularization import decays_of, penalties_of

TASK = Task("multiclass", ("a", "b"), 2, (6,), 10, 0)
LAYERS = [
    {"type": "dense", "units": 5, "name": "first", "regularization": [{"type": "l1", "weight": 0.3}]},
    {"type": "batch_norm"},
    {"type": "dense", "units": 2, "regularization": [{"type": "l2", "weight": 0.2}]},
]
MLP = {"type": "mlp", "hidden": [16]}
CNN = {"type": "cnn", "widths": [4, 6], "head": [8]}
RESNET = {"type": "resnet", "depth": 8, "width": 4}


def smaller_product(kernel: torch.Tensor) -> torch.Tensor:
    return kernel @ kernel.T if len(kernel) <= kernel.shape[1] else kernel.T @ kernel


FAMILY: list[tuple[list[dict[str, Any]], Any]] = [
    ([{"type": "l1", "weight": 0.1}], lambda w: 0.1 * sum(k.abs().sum() for k in w.values())),
    ([{"type": "l2", "weight": 0.1}], lambda w: 0.1 * sum(k.square().sum() for k in w.values())),
    (
        [{"type": "l1_l2", "l1": 0.1, "l2": 0.7}, {"type": "l2", "weight": 0.1}],
        lambda w: sum(0.1 * k.abs().sum() + 0.8 * k.square().sum() for k in w.values()),
    ),
    (
        [{"type": "orthogonality", "weight": 0.1}],
        lambda w: 0.1 * sum((smaller_product(k) - torch.eye(min(k.shape))).square().sum() for k in w.values()),
    ),
    ([{"type": "l1", "weight": 5.0, "mode": "proximal"}], lambda w: 0.0),
    ([{"type": "l2", "weight": 2.0, "target": ["first"]}], lambda w: 2.0 * w["layers.0.weight"].square().sum()),
]


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pack_images(tmp_path_factory.mktemp("bars"), train=bars(90))


@pytest.fixture
def every_step_is_flushed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_module, "FLUSH_STEPS", 1)


def spec_of(*regularization: dict[str, Any], **words: Any) -> JobSpec:
    words = {"initialization": {"type": "kaiming_normal"}, "loss": {"type": "cross_entropy"}, **words}
    network = words.pop("network", {"type": "sequential", "layers": LAYERS})
    return parse_spec({**SMALL_RUN, "network": network, "regularization": list(regularization), **words})


@pytest.mark.parametrize(("regularization", "formula"), FAMILY, ids=[str(words) for words, _ in FAMILY])
def test_penalties_and_their_gradients_are_those_of_the_sum_in_the_loss(regularization: Any, formula: Any) -> None:
    spec = spec_of(*regularization)
    network = build_network(spec, TASK)
    kernels = {name: value for name, value in network.named_parameters() if value.dim() > 1}
    own = 0.3 * kernels["layers.0.weight"].abs().sum() + 0.2 * kernels["layers.2.weight"].square().sum()
    expected = formula(kernels) + own
    gradients = torch.autograd.grad(expected, list(kernels.values()))
    for parameter in network.parameters():
        parameter.grad = torch.zeros_like(parameter)
    penalties = penalties_of(spec, network)
    with torch.no_grad():
        for penalty in penalties:
            penalty.add_gradients()
        torch.testing.assert_close(sum(penalty.value() for penalty in penalties), expected)
    for kernel, gradient in zip(kernels.values(), gradients, strict=True):
        torch.testing.assert_close(kernel.grad, gradient)
    assert all((value.grad == 0).all() for value in network.parameters() if value.dim() == 1)  # type: ignore[union-attr]


@pytest.mark.parametrize("same", [True, False], ids=["sgd", "adamw"])
def test_l2_is_to_the_last_bit_a_decay_of_twice_its_weight_in_the_gradient_and_not_adamws(same: bool) -> None:
    """Σw² without ½ has the gradient 2w."""
    spec = spec_of({"type": "l2", "weight": 0.1}, network={"type": "mlp", "hidden": [3]})
    network = build_network(spec, TASK)
    kernels = [value for value in network.parameters() if value.dim() > 1]
    theirs = [nn.Parameter(value.detach().clone()) for value in kernels]
    for kernel, their in zip(kernels, theirs, strict=True):
        kernel.grad = torch.randn_like(kernel)
        their.grad = kernel.grad.clone()
    with torch.no_grad():
        penalties_of(spec, network)[0].add_gradients()
    (torch.optim.SGD(kernels, 0.5) if same else torch.optim.Adam(kernels, 0.5)).step()
    (torch.optim.SGD if same else torch.optim.AdamW)(theirs, 0.5, weight_decay=0.2).step()
    assert all(torch.equal(kernel, their) is same for kernel, their in zip(kernels, theirs, strict=True))


@pytest.mark.parametrize(("exempt", "decayed"), [(["bias", "norm"], 2), (["bias"], 4), ([], 6)])
def test_decay_exempts_what_it_says(exempt: list[str], decayed: int) -> None:
    spec = spec_of({"type": "weight_decay", "weight": 0.1, "exempt": exempt})
    decays = decays_of(spec, build_network(spec, TASK))
    assert sum(value == 0.1 for value in decays.values()) == decayed


def test_decoupled_decay_under_sgd_multiplies_the_weights_beside_the_step() -> None:
    spec = spec_of({"type": "weight_decay", "weight": 0.1}, optimizer={"type": "sgd", "learning_rate": 9.0})
    network = build_network(spec, TASK)
    before = {name: value.detach().clone() for name, value in network.named_parameters()}
    for parameter in network.parameters():
        parameter.grad = torch.ones_like(parameter)
    Stepper(spec, network).step(0.5, torch.zeros(()))
    for name, value in network.named_parameters():
        decay = 0.1 if value.dim() > 1 else 0.0
        torch.testing.assert_close(value, before[name] * (1 - 0.5 * decay) - 0.5)


EFFECTS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    (CNN, {"type": "spatial_dropout"}),
    (MLP, {"type": "alpha_dropout"}),
    (RESNET, {"type": "drop_path", "mode": "uniform"}),
    (CNN, {"type": "drop_block", "block_size": 3}),
    (RESNET, {"type": "activity", "l1": 0.01}),
    (CNN, {"type": "orthogonality"}),
    (MLP, {"type": "label_smoothing"}),
    (CNN, {"type": "max_norm", "max": 0.5}),
    (CNN, {"type": "l1", "mode": "proximal"}),
]


@pytest.mark.usefixtures("every_step_is_flushed")
@pytest.mark.parametrize(("network", "technique"), EFFECTS)
def test_a_technique_changes_the_run_and_an_interruption_does_not(
    packed: Path, tmp_path: Path, network: dict[str, Any], technique: dict[str, Any]
) -> None:
    words = {"network": network, "regularization": [technique], "training": {"steps": 3, "batch_size": 16}}
    whole, without = last_of(run(packed, words)), last_of(run(packed, {**words, "regularization": []}))
    assert not same_bits(whole, without)
    assert same_bits(whole, interrupted(packed, words, tmp_path, 2))


def test_the_activity_penalty_is_reported_apart_from_the_loss(packed: Path) -> None:
    words = {"regularization": [{"type": "activity", "l2": 0.5}], "training": {"steps": 1, "batch_size": 16}}
    with_it, without = first_step(packed, words), first_step(packed, {**words, "regularization": []})
    assert with_it["train/loss"] == without["train/loss"]
    assert with_it["train/penalty"][0] > without["train/penalty"][0] == 0


def first_step(packed: Path, words: dict[str, Any]) -> Any:
    return next(event for event in run(packed, words) if isinstance(event, StepsDone)).columns


def test_smoothed_labels_give_pytorchs_loss() -> None:
    logits, targets = torch.randn(9, 2, generator=torch.Generator().manual_seed(0)), torch.arange(9) % 2
    expected = F.cross_entropy(logits, targets, label_smoothing=0.3)
    torch.testing.assert_close(measure(CrossEntropy(), logits, smooth(targets, 0.3, TASK)), expected)
    two = Task("binary", ("a", "b"), 1, (6,), 10, 0)
    by_hand = F.binary_cross_entropy_with_logits(logits[:, 0], targets * 0.7 + 0.15)
    torch.testing.assert_close(measure(BinaryCrossEntropy(), logits[:, :1], smooth(targets, 0.3, two)), by_hand)


def test_smoothing_raises_the_training_loss_and_leaves_accuracy_what_it_is(packed: Path) -> None:
    words = {
        "regularization": [{"type": "label_smoothing", "epsilon": 0.2}],
        "training": {"steps": 1, "batch_size": 16},
    }
    smoothed, plain = first_step(packed, words), first_step(packed, {**words, "regularization": []})
    assert smoothed["train/loss"] != plain["train/loss"]
    last, other = (run(packed, {**words, "regularization": one})[-1] for one in (words["regularization"], []))
    assert isinstance(last, Finished)
    assert isinstance(other, Finished)
    assert last.last["train/accuracy"] == other.last["train/accuracy"]


def test_a_job_without_penalties_has_none() -> None:
    spec = spec_of({"type": "dropout"}, network={"type": "mlp"})
    assert penalties_of(spec, build_network(spec, TASK)) == []
