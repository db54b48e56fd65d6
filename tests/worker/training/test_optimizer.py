"""Steps against PyTorch's own optimizers with the numbers of the spec."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import nn

from models.spec import Task, parse_spec
from tests.worker.training.little import SMALL_RUN
from worker.training.network import build_network
from worker.training.optimizer import Stepper

TASK = Task("multiclass", ("a", "b", "c"), 3, (3, 8, 8), 10, 0)
Make = Callable[[Iterator[nn.Parameter]], torch.optim.Optimizer]

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


def network_and_stepper(optimizer: dict[str, Any]) -> tuple[nn.Module, Stepper]:
    words = {"network": {"type": "cnn", "widths": [4], "head": [], "pooling": "each"}, "optimizer": optimizer}
    spec = parse_spec({**SMALL_RUN, **words, "initialization": {"type": "kaiming_normal"}})
    network = build_network(spec, TASK)
    return network, Stepper(spec, network)


def give_gradients(network: nn.Module, step: int) -> None:
    generator = torch.Generator().manual_seed(step)
    for parameter in network.parameters():
        parameter.grad = torch.empty_like(parameter).copy_(torch.randn(parameter.shape, generator=generator))


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
