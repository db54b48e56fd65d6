"""Averages against PyTorch's own and against the papers' recurrences."""

from typing import Any

import pytest
import torch
from pydantic import TypeAdapter
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn, update_bn

from models.spec.averaging import Averaging
from worker.training.averaging import Average, refresh_norms
from worker.training.layers import BatchNorm
from worker.training.schedule import Clock

AVERAGING: TypeAdapter[Any] = TypeAdapter(Averaging)
CLOCK = Clock(steps_per_epoch=4, steps=20)
WALK = [torch.randn(5, generator=torch.Generator().manual_seed(step)) for step in range(20)]


def walked(words: dict[str, Any]) -> Tensor:
    """The average of a network whose weights take the steps of WALK."""
    network = nn.Linear(5, 1, bias=False)
    nn.init.zeros_(network.weight)
    average = Average(AVERAGING.validate_python(words), network, CLOCK)
    for step, weights in enumerate(WALK, 1):
        network.weight.data.add_(weights)
        average.update(step)
    with average.shown(20):
        return network.weight.detach()[0].clone()


def positions() -> Tensor:
    return torch.stack(WALK).cumsum(0)


@pytest.mark.parametrize("words", [{"decay": 0.9}, {"half_life": "6.57881 epochs", "steps": 26.31524}])
def test_ema_without_warmup_is_pytorchs(words: dict[str, Any]) -> None:
    decay = 0.9 if "decay" in words else 0.5 ** (1 / round(words.pop("steps")))
    averaged = [torch.zeros(5)]
    for position in positions():
        get_ema_multi_avg_fn(decay)(averaged, [position], 1)  # type: ignore[no-untyped-call]
    torch.testing.assert_close(walked({"type": "ema", "warmup": False, **words}), averaged[0])


def test_the_decay_of_ema_warms_up() -> None:
    averaged = torch.zeros(5)
    for step, position in enumerate(positions(), 1):
        decay = min(0.6, (1 + step) / (10 + step))
        averaged = decay * averaged + (1 - decay) * position
    torch.testing.assert_close(walked({"type": "ema", "decay": 0.6}), averaged)


def test_swa_is_the_mean_of_the_weights_at_its_moments() -> None:
    expected = positions()[[9, 13, 17]].mean(0)
    torch.testing.assert_close(walked({"type": "swa", "start": "50%"}), expected)


def test_lookahead_goes_on_from_the_slow_weights() -> None:
    slow = fast = torch.zeros(5)
    for step, weights in enumerate(WALK, 1):
        fast = fast + weights
        if step % 5 == 0:
            slow = fast = slow + 0.5 * (fast - slow)
    torch.testing.assert_close(walked({"type": "lookahead"}), slow)


def test_refreshed_norms_are_those_of_pytorchs_update_bn() -> None:
    ours, theirs = nn.Sequential(BatchNorm(3)), AveragedModel(nn.Sequential(nn.BatchNorm1d(3)))
    nn.init.ones_(ours[0].weight)  # type: ignore[arg-type]
    nn.init.zeros_(ours[0].bias)  # type: ignore[arg-type]
    batches = list(torch.randn(3, 8, 3))
    refresh_norms(ours, batches)
    update_bn(batches, theirs)
    for name in ("running_mean", "running_var"):
        torch.testing.assert_close(ours.state_dict()[f"0.{name}"], theirs.state_dict()[f"module.0.{name}"])


def test_until_there_are_statistics_of_the_average_the_raw_ones_are_shown() -> None:
    network = nn.Sequential(BatchNorm(2))
    for tensor in network.state_dict().values():
        tensor.fill_(1.0)  # what a network is begun with is not the layer's own affair
    technique = AVERAGING.validate_python({"type": "swa", "start": "1 steps", "every": "1 steps"})
    average = Average(technique, network, CLOCK)
    network.train()
    network(torch.randn(16, 2) * 3)
    average.update(1)
    raw = network.state_dict()["0.running_var"].clone()
    with average.shown(1):
        torch.testing.assert_close(network.state_dict()["0.running_var"], raw)
        refresh_norms(network, [torch.ones(4, 2)])
        average.take_buffers()
    torch.testing.assert_close(network.state_dict()["0.running_var"], raw)
    with average.shown(1):
        assert not network.state_dict()["0.running_var"].any()
