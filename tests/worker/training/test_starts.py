"""Starts of some layers, of residual branches, and those that look at data."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from models.spec import JobSpec, Task, parse_spec
from models.spec.initialization import Lsuv
from tests.worker.training.little import bars, last_of, load, pack_images, run
from tests.worker.training.test_loop import interrupted, same_bits
from worker.training import run as run_module
from worker.training.dropout import NamedDropout
from worker.training.layers import Convolution, Dense
from worker.training.lsuv import calibrate, scale_to_unit_variance
from worker.training.network import build_network
from worker.training.run import Run

TASK = Task("multiclass", ("a", "b"), 2, (3, 8, 8), 10, 0)
RESNET = {"type": "resnet", "depth": 8, "width": 4, "stem": "small"}
BLOCK = ("conv1", "conv2", "shortcut")
BRANCHED: list[dict[str, Any]] = [
    RESNET,
    {"type": "wide_resnet", "depth": 10, "widen_factor": 1},
    {"type": "convnext", "depths": [1, 1], "widths": [4, 8], "stem": "small"},
    {"type": "vit", "patch": 4, "width": 8, "depth": 2, "heads": 2},
]
LSUV = {"initialization": {"type": "lsuv"}}


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pack_images(tmp_path_factory.mktemp("bars"), train=bars(90))


def spec_of(network: dict[str, Any], initialization: dict[str, Any]) -> JobSpec:
    words = {"dataset": {"id": "d"}, "training": {"epochs": 1}, "loss": {"type": "cross_entropy"}}
    return parse_spec({**words, "network": network, "initialization": initialization})


def overridden(network: dict[str, Any], *overrides: dict[str, Any]) -> dict[str, Tensor]:
    """The weights of a network that starts with ones but where it is said otherwise."""
    spec = spec_of(network, {"type": "ones", "overrides": list(overrides)})
    return {name: value for name, value in build_network(spec, TASK).state_dict().items() if value.dim() > 1}


@pytest.mark.parametrize(
    ("target", "others"),
    [
        (["output"], {"output.weight"}),
        ("dense", {"output.weight"}),
        (
            ["stages.1", "stem"],
            {"stem.weight", *(f"stages.1.0.{one}.weight" for one in ("conv1", "conv2", "shortcut"))},
        ),
    ],
    ids=["a layer", "a kind", "all below a name"],
)
def test_an_override_is_for_the_layers_that_it_means(target: Any, others: set[str]) -> None:
    weights = overridden(RESNET, {"target": target, "initialization": {"type": "constant", "value": 2.0}})
    assert {name for name, value in weights.items() if (value == 2).all()} == others
    assert all((value == 1).all() for name, value in weights.items() if name not in others)


def test_the_later_override_counts_and_a_layers_own_word_most() -> None:
    layers = [
        {"type": "flatten"},
        {"type": "dense", "units": 3, "name": "first"},
        {"type": "dense", "units": 3, "initialization": {"type": "constant", "value": 4.0}},
        {"type": "dense", "units": 2},
    ]
    twos, threes = ({"type": "constant", "value": value} for value in (2.0, 3.0))
    weights = overridden(
        {"type": "sequential", "layers": layers},
        {"target": "dense", "initialization": twos},
        {"target": ["first"], "initialization": threes},
    )
    assert [(value.min().item(), value.max().item()) for value in weights.values()] == [(3, 3), (4, 4), (2, 2)]


def test_an_override_draws_what_the_layer_would_have_drawn_under_that_start() -> None:
    normal = {"type": "lecun_normal"}
    mixed = spec_of(RESNET, {"type": "zeros", "overrides": [{"target": "conv", "initialization": normal}]})
    ours, theirs = build_network(mixed, TASK), build_network(spec_of(RESNET, normal), TASK)
    assert torch.equal(ours.get_parameter("stem.weight"), theirs.get_parameter("stem.weight"))
    assert not ours.get_parameter("output.weight").any()


def branches(network: nn.Module, x: Tensor) -> list[Tensor]:
    """What each residual branch gives, as it comes past the place before the sum."""
    seen: list[Tensor] = []

    def look(_: nn.Module, arguments: tuple[Tensor, str], __: Tensor) -> None:
        if ".sum" in arguments[1]:
            seen.append(arguments[0])

    network.get_submodule("dropout").register_forward_hook(look)
    network(x)
    return seen


@pytest.mark.parametrize("network", BRANCHED, ids=lambda network: network["type"])
def test_residual_branches_start_at_0_and_learn_from_the_first_step(network: dict[str, Any]) -> None:
    started = build_network(spec_of(network, {"type": "kaiming_normal", "zero_residual": True}), TASK)
    x = torch.randn(5, *TASK.input_shape)
    assert all(not branch.any() for branch in branches(started, x))
    started(x).square().sum().backward()
    at_zero = [value for value in started.parameters() if not value.any()]
    emptied = [value for value in at_zero if value.grad is not None and value.grad.any()]
    assert len(emptied) >= len(branches(started, x))
    plain = build_network(spec_of(network, {"type": "kaiming_normal"}), TASK)
    assert all(branch.any() for branch in branches(plain, x))


def test_zero_residual_of_a_resnet_is_torchvisions() -> None:
    """The last norm of each branch has the scale 0, and nothing else changes."""
    zeroed = build_network(spec_of(RESNET, {"type": "kaiming_normal", "zero_residual": True}), TASK).state_dict()
    plain = build_network(spec_of(RESNET, {"type": "kaiming_normal"}), TASK).state_dict()
    changed = {name for name in plain if not torch.equal(plain[name], zeroed[name])}
    assert changed == {f"stages.{stage}.0.norm2.weight" for stage in range(3)}


def stack() -> tuple[nn.Module, list[nn.Linear | nn.Conv2d]]:
    """Convolution, norm, ReLU, dense layer with a bias, tanh, dense layer: all far from unit variance."""
    torch.manual_seed(0)
    network = nn.Sequential(
        Convolution(3, 6, 3, padding="valid", bias=True), nn.BatchNorm2d(6), nn.ReLU(), nn.Flatten(),
        Dense(216, 20, bias=True), nn.Tanh(), Dense(20, 4, bias=True),
    )  # fmt: skip
    network.add_module("dropout", nn.Identity())
    layers = [layer for layer in network if isinstance(layer, nn.Linear | nn.Conv2d)]
    for layer in layers:
        nn.init.orthogonal_(layer.weight, 3.0)
    return network, layers


def paper(network: nn.Module, layers: list[nn.Linear | nn.Conv2d], x: Tensor, tolerance: float, most: int) -> None:
    """Algorithm 1 as it is printed: a whole forward pass for every look at a layer."""
    for layer in layers:
        for _ in range(most):
            seen: list[Tensor] = []
            hook = layer.register_forward_hook(lambda _, __, output, seen=seen: seen.append(output))
            network(x)
            hook.remove()
            variance = np.var(seen[0].detach().numpy())
            if abs(variance - 1.0) < tolerance:
                break
            layer.weight.data /= np.sqrt(variance)


@pytest.mark.parametrize(("tolerance", "most"), [(0.1, 10), (1e-4, 10), (1e-4, 1)])
def test_lsuv_in_one_pass_is_the_papers_algorithm(tolerance: float, most: int) -> None:
    x = 5 * torch.randn(32, 3, 8, 8) + 1
    (ours, our_layers), (theirs, their_layers) = stack(), stack()
    start = Lsuv(tolerance=tolerance, max_iterations=most)
    names = {name: start for name, layer in ours.named_modules() if layer in our_layers}
    scale_to_unit_variance(ours, x, names)
    paper(theirs, their_layers, x, tolerance, most)
    for our, their in zip(our_layers, their_layers, strict=True):
        torch.testing.assert_close(our.weight, their.weight)
    assert (ours.get_buffer("1.running_mean") == 0).all()


def test_lsuv_gives_every_layer_of_a_run_unit_variance_on_its_first_batch(packed: Path) -> None:
    spec, data = load(packed, {**LSUV, "network": {"type": "cnn", "widths": [4, 6], "head": [8]}})
    begun = Run(spec, data, "cpu")
    calibrate(begun)
    inputs, _ = begun.feed.training_batch(data.training, begun.order(0)[:16], 0, 0)
    variances: list[float] = []
    for module in begun.network.modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            module.register_forward_hook(lambda _, __, output: variances.append(output.var(correction=0).item()))
    begun.network.eval()(inputs)
    assert len(variances) == 4
    assert variances == pytest.approx([1.0] * 4, abs=0.1)
    assert isinstance(begun.network.dropout, NamedDropout)


def test_lsuv_looks_at_the_data_once_and_an_interruption_changes_nothing(
    packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_module, "FLUSH_STEPS", 1)
    averaged = {"epochs": 1, "batch_size": 16, "averaging": {"type": "ema", "half_life": "3 steps"}}
    words = {**LSUV, "training": averaged}
    whole = last_of(run(packed, words))
    assert not same_bits(last_of(run(packed, {**words, "initialization": {"type": "orthogonal"}})), whole)
    assert same_bits(whole, interrupted(packed, words, tmp_path, 2))


def test_lsuv_for_some_layers_leaves_the_others_alone(packed: Path) -> None:
    words = {"initialization": {"type": "orthogonal", "overrides": [{"target": ["output"], **LSUV}]}}
    spec, data = load(packed, words)
    begun = Run(spec, data, "cpu")
    before = {name: value.clone() for name, value in begun.network.state_dict().items()}
    calibrate(begun)
    after = begun.network.state_dict()
    assert {name for name in after if not torch.equal(before[name], after[name])} == {"output.weight"}
