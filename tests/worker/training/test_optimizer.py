"""Steps against PyTorch's own optimizers with the numbers of the spec."""

import inspect
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import torch
from torch import nn

from models.spec import Task, parse_spec
from tests.worker.training.little import SMALL_RUN, bars, last_of, load, pack_images
from worker.training import train
from worker.training.network import build_network
from worker.training.optimizer import Stepper, factors_of
from worker.training.undo import begin_at_zero

TASK = Task("multiclass", ("a", "b", "c"), 3, (3, 8, 8), 10, 0)
Make = Callable[[Any], torch.optim.Optimizer]
"""Takes parameters or groups of them."""

FAMILY: list[tuple[dict[str, Any], Make]] = [
    ({"type": "sgd"}, lambda p: torch.optim.SGD(p, 0.1)),
    ({"type": "sgd", "momentum": 0.9}, lambda p: torch.optim.SGD(p, 0.1, 0.9)),
    ({"type": "sgd", "momentum": 0.9, "nesterov": True}, lambda p: torch.optim.SGD(p, 0.1, 0.9, nesterov=True)),
    ({"type": "adam", "betas": [0.8, 0.99]}, lambda p: torch.optim.Adam(p, 0.1, (0.8, 0.99))),
    ({"type": "adamw", "weight_decay": 0.0}, lambda p: torch.optim.AdamW(p, 0.1, weight_decay=0.0)),
    ({"type": "nadam"}, lambda p: torch.optim.NAdam(p, 0.1)),
    ({"type": "radam", "betas": [0.8, 0.9]}, lambda p: torch.optim.RAdam(p, 0.1, (0.8, 0.9))),
    ({"type": "adamax"}, lambda p: torch.optim.Adamax(p, 0.1)),
    ({"type": "adagrad", "initial_accumulator": 0.5}, lambda p: torch.optim.Adagrad(p, 0.1, 0.0, 0.0, 0.5)),
    ({"type": "adadelta", "rho": 0.8}, lambda p: torch.optim.Adadelta(p, 0.1, 0.8)),
    ({"type": "rmsprop", "alpha": 0.95}, lambda p: torch.optim.RMSprop(p, 0.1, 0.95, 1e-7)),
]


SMALL: dict[str, Any] = {"type": "cnn", "widths": [4], "head": [], "pooling": "each"}
DEEPER: dict[str, Any] = {
    "type": "cnn",
    "widths": [4, 6],
    "head": [5],
    "norm": "batch",
    "pooling": "each",
    "padding": "same",
}


def network_and_stepper(optimizer: dict[str, Any], network: dict[str, Any] = SMALL) -> tuple[nn.Module, Stepper]:
    words = {"network": network, "optimizer": optimizer}
    spec = parse_spec({**SMALL_RUN, **words, "initialization": {"type": "kaiming_normal"}})
    built = build_network(spec, TASK)
    return built, Stepper(spec, built)


def give_gradients(network: nn.Module, step: int) -> None:
    generator = torch.Generator().manual_seed(step)
    for parameter in network.parameters():
        parameter.grad = torch.empty_like(parameter).copy_(torch.randn(parameter.shape, generator=generator))


@pytest.mark.usefixtures("asked")
@pytest.mark.parametrize(("words", "make"), FAMILY, ids=[str(words) for words, _ in FAMILY])
def test_steps_are_pytorchs(words: dict[str, Any], make: Make) -> None:
    ours, stepper = network_and_stepper(words)
    theirs, _ = network_and_stepper(words)
    other = make(theirs.parameters())
    for step in range(4):
        give_gradients(ours, step)
        give_gradients(theirs, step)
        stepper.step(0.1, torch.zeros(()))
        other.step()
    torch.testing.assert_close(list(ours.parameters()), list(theirs.parameters()))


def test_adamw_decays_kernels_and_spares_the_rest() -> None:
    network, stepper = network_and_stepper({"type": "adamw", "weight_decay": 0.5})
    before = [parameter.detach().clone() for parameter in network.parameters()]
    for parameter in network.parameters():
        parameter.grad = torch.zeros_like(parameter)
    stepper.step(0.1, torch.zeros(()))
    for parameter, old in zip(network.parameters(), before, strict=True):
        torch.testing.assert_close(parameter.detach(), old * (0.95 if parameter.dim() > 1 else 1.0))


@pytest.mark.parametrize(("words", "make"), FAMILY, ids=[str(words) for words, _ in FAMILY])
def test_averages_are_taken_up_where_they_were_left(words: dict[str, Any], make: Make) -> None:
    whole, stepper = network_and_stepper(words)
    resumed, second = network_and_stepper(words)
    for step in range(2):
        give_gradients(whole, step)
        stepper.step(0.1, torch.zeros(()))
    resumed.load_state_dict(whole.state_dict())
    second.load({name: value.clone(memory_format=torch.contiguous_format) for name, value in stepper.tensors().items()})
    for network, one in ((whole, stepper), (resumed, second)):
        give_gradients(network, 2)
        one.step(0.1, torch.zeros(()))
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), resumed.parameters(), strict=True))


@pytest.mark.parametrize(("words", "make"), FAMILY, ids=[str(words) for words, _ in FAMILY])
def test_multipliers_are_rates_of_pytorchs_parameter_groups(words: dict[str, Any], make: Make) -> None:
    ours, stepper = network_and_stepper({**words, "multipliers": {"output": 0.5, "biases": 4.0}})
    theirs, _ = network_and_stepper(words)
    rates = {"output.weight": 0.05, "output.bias": 0.2, "convolutions.0.weight": 0.1, "convolutions.0.bias": 0.4}
    other = make([{"params": [value], "lr": rates[name]} for name, value in theirs.named_parameters()])
    for step in range(3):
        give_gradients(ours, step)
        give_gradients(theirs, step)
        stepper.step(0.1, torch.zeros(()))
        other.step()
    torch.testing.assert_close(list(ours.parameters()), list(theirs.parameters()))


EVERYTHING_THAT_MOVES = [
    {"type": "l2", "weight": 0.1},
    {"type": "l1", "mode": "proximal"},
    {"type": "orthogonality"},
    {"type": "max_norm", "max": 0.01},
    {"type": "weight_decay", "weight": 0.1},
]


def test_at_a_factor_of_0_nothing_moves_and_no_gradient_is_measured(tmp_path: Path) -> None:
    packed = pack_images(tmp_path, train=bars(40))
    words = {"regularization": EVERYTHING_THAT_MOVES, "optimizer": {"type": "sgd", "momentum": 0.9}}
    words["optimizer"]["multipliers"] = {"hidden": 0.0}  # type: ignore[index]
    spec, data = load(packed, words)
    before = build_network(spec, data.task).state_dict()
    events = list(train(spec, data))
    after = last_of(events).weights
    assert {name for name in after if torch.equal(after[name], before[name])} == {"hidden.0.weight", "hidden.0.bias"}
    assert {name.split("/")[1] for name in last_of(events).state.tensors if name.startswith("optimizer/")} == {
        "output.weight",
        "output.bias",
    }


def test_decay_goes_with_the_factor_of_the_rate() -> None:
    words = {"network": {"type": "mlp"}, "optimizer": {"type": "sgd", "multipliers": {"output": 0.5}}}
    decay = [{"type": "weight_decay", "weight": 0.2}]
    spec = parse_spec({**SMALL_RUN, **words, "regularization": decay, "initialization": {"type": "ones"}})
    network = build_network(spec, TASK)
    for parameter in network.parameters():
        parameter.grad = torch.zeros_like(parameter)
    Stepper(spec, network).step(0.5, torch.zeros(()))
    assert network.get_parameter("hidden.0.weight").flatten().tolist() == pytest.approx([0.9] * 192 * 128)
    assert network.get_parameter("output.weight").flatten().tolist() == pytest.approx([0.95] * 128 * 3)


RESNET = {"type": "resnet", "depth": 8, "width": 4, "stem": "small"}
SEQUENTIAL = {
    "type": "sequential",
    "layers": [{"type": "flatten"}, {"type": "dense", "units": 4, "name": "a.b"}, {"type": "dense", "units": 3}],
}


@pytest.mark.parametrize(
    ("network", "target", "meant"),
    [
        (RESNET, "stem", "stem.weight stem.norm.weight stem.norm.bias"),
        (RESNET, "stages.1.0.shortcut.norm", "stages.1.0.shortcut.norm.weight stages.1.0.shortcut.norm.bias"),
        (SEQUENTIAL, "a.b", "layers.1.weight layers.1.bias"),
        (SEQUENTIAL, "a", "layers.1.weight layers.1.bias"),
        (SEQUENTIAL, "layers.2", "layers.2.weight layers.2.bias"),
        (SEQUENTIAL, "biases", "layers.1.bias layers.2.bias"),
        (SEQUENTIAL, "kernels", "layers.1.weight layers.2.weight"),
    ],
)
def test_a_target_is_a_layer_what_is_below_it_or_a_kind(network: dict[str, Any], target: str, meant: str) -> None:
    words = {"network": network, "optimizer": {"type": "sgd", "multipliers": {target: 0.5}}}
    spec = parse_spec({**SMALL_RUN, **words, "initialization": {"type": "zeros"}})
    factors = factors_of(spec, build_network(spec, TASK))
    assert [name for name, factor in factors.items() if factor != 1.0] == meant.split()


def test_factors_of_several_targets_are_multiplied() -> None:
    words = {
        "network": RESNET,
        "optimizer": {"type": "sgd", "multipliers": {"stages": 0.5, "norms": 0.5, "stages.1": 4}},
    }
    spec = parse_spec({**SMALL_RUN, **words, "initialization": {"type": "zeros"}})
    factors = factors_of(spec, build_network(spec, TASK))
    names = ("stem.weight", "stem.norm.bias", "stages.0.0.conv1.weight", "stages.1.0.norm1.weight")
    assert [factors[name] for name in names] == [1.0, 0.5, 0.5, 1.0]


LAZY: list[Any] = [
    (partial(torch.optim.Adam, fused=True), ("exp_avg", "exp_avg_sq"), ("step",)),
    (partial(torch.optim.AdamW, fused=True), ("exp_avg", "exp_avg_sq"), ("step",)),
    *(
        (partial(kind, foreach=True, capturable=captured), averages, counts)
        for captured in (True, False)
        for kind, averages, counts in (
            (torch.optim.NAdam, ("exp_avg", "exp_avg_sq"), ("step", "mu_product")),
            (torch.optim.RAdam, ("exp_avg", "exp_avg_sq"), ("step",)),
            (torch.optim.Adamax, ("exp_avg", "exp_inf"), ("step",)),
            (torch.optim.Adadelta, ("square_avg", "acc_delta"), ("step",)),
        )
    ),
]


@pytest.mark.parametrize(("make", "averages", "counts"), LAZY)
def test_averages_begin_where_pytorch_would_make_them(make: Any, averages: Any, counts: Any) -> None:
    """On a device that is not the processor: a fused or captured step wants its count beside the weights."""
    mine, theirs = (nn.Parameter(torch.empty(2, 3, 4, 5, device="meta")) for _ in range(2))
    ours = begin_at_zero(make([mine]), *averages, counts=counts)
    lazy = make([theirs])
    theirs.grad = torch.zeros_like(theirs)
    arguments = inspect.signature(lazy._init_group).parameters
    with patch("torch.optim.adam._device_dtype_check_for_fused"):
        lazy._init_group(lazy.param_groups[0], *([] for _ in range(len(arguments) - 1)))
    assert ours.state[mine].keys() == lazy.state[theirs].keys()
    for key, value in lazy.state[theirs].items():
        begun = ours.state[mine][key]
        assert (begun.device, begun.dtype, begun.shape) == (value.device, value.dtype, value.shape)
