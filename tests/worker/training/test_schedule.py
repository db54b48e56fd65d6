"""Rates against PyTorch's own schedulers and closed forms."""

import math
from typing import Any

import pytest
import torch
from pydantic import TypeAdapter
from torch.optim import lr_scheduler

from models.spec.schedule import Schedule
from worker.training.schedule import Clock, learning_rate

SCHEDULE: TypeAdapter[Any] = TypeAdapter(Schedule)
PEAK = 0.1


def rates(words: dict[str, Any], steps: int, steps_per_epoch: int = 1) -> list[float]:
    schedule = SCHEDULE.validate_python(words)
    return [learning_rate(schedule, PEAK, step, Clock(steps_per_epoch, steps)) for step in range(steps)]


def pytorch_rates(make: Any, steps: int) -> list[float]:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=PEAK)
    scheduler = make(optimizer)
    seen = []
    for _ in range(steps):
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return seen


FAMILY = [
    ({"type": "constant"}, lambda optimizer: lr_scheduler.ConstantLR(optimizer, 1.0)),
    ({"type": "step", "step_size": 7, "gamma": 0.5}, lambda optimizer: lr_scheduler.StepLR(optimizer, 7, 0.5)),
    ({"type": "exponential", "gamma": 0.9}, lambda optimizer: lr_scheduler.ExponentialLR(optimizer, 0.9)),
    (
        {"type": "exponential", "gamma": 0.5, "every": 4, "staircase": True},
        lambda optimizer: lr_scheduler.StepLR(optimizer, 4, 0.5),
    ),
    (
        {"type": "cosine", "minimum": 0.01},
        lambda optimizer: lr_scheduler.CosineAnnealingLR(optimizer, 60, eta_min=0.01),
    ),
    (
        {"type": "cosine_warm_restarts", "t_0": 10, "minimum": 0.01},
        lambda optimizer: lr_scheduler.CosineAnnealingWarmRestarts(optimizer, 10, eta_min=0.01),
    ),
    (
        {"type": "cosine_warm_restarts", "t_0": 5, "t_mult": 2.0},
        lambda optimizer: lr_scheduler.CosineAnnealingWarmRestarts(optimizer, 5, 2),
    ),
]


@pytest.mark.parametrize(
    ("words", "make"), FAMILY, ids=lambda value: value.get("type") if isinstance(value, dict) else ""
)
def test_rates_are_those_of_pytorch(words: dict[str, Any], make: Any) -> None:
    torch.testing.assert_close(rates(words, 60), pytorch_rates(make, 60), rtol=1e-9, atol=1e-12)


def test_step_with_an_offset_is_the_decay_that_drops_at_29_59_and_89() -> None:
    ours = rates({"type": "step", "step_size": 30, "gamma": 0.1, "offset": 1}, 100)
    theirs = [0.1 * 0.1 ** math.floor((1 + epoch) / 30) for epoch in range(100)]
    assert max(abs(one - other) for one, other in zip(ours, theirs, strict=True)) < 1e-12
    assert [epoch for epoch in range(1, 100) if ours[epoch] < ours[epoch - 1]] == [29, 59, 89]


def test_an_epoch_interval_holds_the_rate_within_an_epoch() -> None:
    seen = rates({"type": "cosine", "interval": "epoch"}, 40, steps_per_epoch=10)
    expected = [PEAK * (1 + math.cos(math.pi * (step // 10) / 4)) / 2 for step in range(40)]
    torch.testing.assert_close(seen, expected)


def test_warmup_rises_in_a_line_and_the_schedule_begins_behind_it() -> None:
    seen = rates({"type": "cosine", "warmup": {"duration": "10 steps", "start_factor": 0.2}}, 50)
    torch.testing.assert_close(seen[:10], [PEAK * (0.2 + 0.8 * step / 10) for step in range(10)])
    torch.testing.assert_close(seen[10:], [PEAK * (1 + math.cos(math.pi * step / 40)) / 2 for step in range(40)])


def test_restarts_decay_their_peaks() -> None:
    seen = rates({"type": "cosine_warm_restarts", "t_0": 10, "decay": 0.5}, 30)
    torch.testing.assert_close(seen[::10], [PEAK, PEAK / 2, PEAK / 4])


def test_cosine_ends_near_its_floor() -> None:
    assert rates({"type": "cosine", "minimum": 0.02}, 1000)[-1] == pytest.approx(0.02, abs=1e-6)


def test_a_plateau_scales_the_rate_down_to_its_minimum() -> None:
    schedule = SCHEDULE.validate_python({"type": "plateau", "minimum": 0.01})
    clock = Clock(1, 10)
    assert learning_rate(schedule, PEAK, 3, clock, 0.5) == pytest.approx(0.05)
    assert learning_rate(schedule, PEAK, 3, clock, 1e-3) == 0.01
