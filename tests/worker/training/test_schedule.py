"""Rates against PyTorch's own schedulers and closed forms."""

import json
import math
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter, ValidationError
from torch.optim import lr_scheduler

from models.spec.schedule import Schedule
from worker.training.schedule import Clock, learning_rate

SCHEDULE: TypeAdapter[Any] = TypeAdapter(Schedule)
PEAK = 0.1


def rates(words: dict[str, Any], steps: int, steps_per_epoch: int = 1) -> list[float]:
    schedule = SCHEDULE.validate_json(json.dumps(words))
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
        lambda optimizer: lr_scheduler.CosineAnnealingLR(optimizer, 100, eta_min=0.01),
    ),
    (
        {"type": "cosine_warm_restarts", "t_0": 10, "minimum": 0.01},
        lambda optimizer: lr_scheduler.CosineAnnealingWarmRestarts(optimizer, 10, eta_min=0.01),
    ),
    (
        {"type": "cosine_warm_restarts", "t_0": 5, "t_mult": 2.0},
        lambda optimizer: lr_scheduler.CosineAnnealingWarmRestarts(optimizer, 5, 2),
    ),
    (
        {"type": "multistep", "milestones": [29, "59 steps", "89%"]},
        lambda optimizer: lr_scheduler.MultiStepLR(optimizer, [29, 59, 89]),
    ),
    (
        {"type": "polynomial", "power": 0.9},
        lambda optimizer: lr_scheduler.PolynomialLR(optimizer, 100, 0.9),
    ),
    (
        {"type": "linear", "start_factor": 0.25, "end_factor": 1.0},
        lambda optimizer: lr_scheduler.LinearLR(optimizer, 0.25, 1.0, 100),
    ),
    ({"type": "one_cycle"}, lambda optimizer: lr_scheduler.OneCycleLR(optimizer, PEAK, 100)),
    (
        {"type": "one_cycle", "pct_start": 0.25, "div_factor": 10, "final_div_factor": 100, "anneal": "linear"},
        lambda optimizer: lr_scheduler.OneCycleLR(
            optimizer, PEAK, 100, None, None, 0.25, "linear", True, 0.85, 0.95, 10.0, 100.0
        ),
    ),
    *(
        (
            {"type": "cyclic", "minimum": 0.02, "step_up": 7, "step_down": 12, "mode": mode, "gamma": 0.97},
            lambda optimizer, mode=mode: lr_scheduler.CyclicLR(
                optimizer, 0.02, PEAK, 7, 12, mode, gamma=0.97, cycle_momentum=False
            ),
        )
        for mode in ("triangular", "triangular2", "exp_range")
    ),
    (
        {
            "type": "sequence",
            "phases": [
                {"schedule": {"type": "constant"}, "factor": 0.5, "duration": 20},
                {"schedule": {"type": "exponential", "gamma": 0.9}},
            ],
        },
        lambda optimizer: lr_scheduler.SequentialLR(
            optimizer,
            [lr_scheduler.ConstantLR(optimizer, 0.5, 1000), lr_scheduler.ExponentialLR(optimizer, 0.9)],
            [20],
        ),
    ),
]

CLOSED_FORMS = [
    ({"type": "inverse_time", "gamma": 0.5, "every": 3}, lambda t: PEAK / (1 + 0.5 * t / 3)),
    ({"type": "inverse_time", "gamma": 0.5, "every": 3, "staircase": True}, lambda t: PEAK / (1 + 0.5 * (t // 3))),
    ({"type": "inverse_sqrt", "timescale": 9}, lambda t: PEAK * math.sqrt(9 / (9 + t))),
    (
        {"type": "inverse_sqrt", "warmup": {"duration": "16 steps"}},
        lambda t: PEAK * min(t / 16, math.sqrt(16 / max(t, 1))),
    ),
    (
        {"type": "warmup_stable_decay", "warmup": {"duration": "10%"}, "decay": "20%", "minimum": 0.01},
        lambda t: min(PEAK * t / 10, PEAK, 0.01 + 0.09 * (100 - t) / 20),
    ),
    (
        {"type": "warmup_stable_decay", "warmup": None, "decay": 25, "shape": "sqrt"},
        lambda t: PEAK * (1 - math.sqrt(max(0, t - 75) / 25)),
    ),
    (
        {"type": "warmup_stable_decay", "warmup": None, "decay": 40, "shape": "cosine"},
        lambda t: PEAK * (1 + math.cos(math.pi * max(0, t - 60) / 40)) / 2,
    ),
    (
        {
            "type": "piecewise",
            "points": [{"at": 0, "factor": 0.2}, {"at": "23%", "factor": 1.0}, {"at": "90 steps", "factor": 0.07}],
        },
        lambda t: PEAK * float(np.interp(t, [0, 23, 90], [0.2, 1.0, 0.07])),
    ),
    (
        {
            "type": "piecewise",
            "points": [{"at": 10, "factor": 1.0}, {"at": 50, "factor": 0.1}],
            "interpolation": "constant",
        },
        lambda t: PEAK if t < 50 else PEAK * 0.1,
    ),
]


@pytest.mark.parametrize(
    ("words", "make"), FAMILY, ids=lambda value: value.get("type") if isinstance(value, dict) else ""
)
def test_rates_are_those_of_pytorch(words: dict[str, Any], make: Any) -> None:
    assert furthest(rates(words, 100), pytorch_rates(make, 100)) < 1e-12


@pytest.mark.parametrize(("words", "formula"), CLOSED_FORMS, ids=[str(words) for words, _ in CLOSED_FORMS])
def test_rates_are_those_of_the_formula(words: dict[str, Any], formula: Any) -> None:
    assert furthest(rates(words, 100), [formula(epoch) for epoch in range(100)]) < 1e-12


def furthest(ours: list[float], theirs: list[float]) -> float:
    return max(abs(one - other) for one, other in zip(ours, theirs, strict=True))


def test_step_with_an_offset_is_the_decay_that_drops_at_29_59_and_89() -> None:
    ours = rates({"type": "step", "step_size": 30, "gamma": 0.1, "offset": 1}, 100)
    theirs = [0.1 * 0.1 ** math.floor((1 + epoch) / 30) for epoch in range(100)]
    assert furthest(ours, theirs) < 1e-12
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
    schedule = SCHEDULE.validate_json(json.dumps({"type": "plateau", "minimum": 0.01}))
    clock = Clock(1, 10)
    assert learning_rate(schedule, PEAK, 3, clock, 0.5) == pytest.approx(0.05)
    assert learning_rate(schedule, PEAK, 3, clock, 1e-3) == 0.01


def test_a_phase_is_a_run_of_its_own() -> None:
    cosine = {"type": "cosine", "warmup": {"duration": "10 steps"}}
    phases = [{"schedule": cosine, "duration": "40 steps"}, {"schedule": cosine, "factor": 0.5}]
    seen = rates({"type": "sequence", "phases": phases}, 100)
    assert furthest(seen[:40], rates(cosine, 40)) < 1e-12
    assert furthest(seen[40:], [rate / 2 for rate in rates(cosine, 60)]) < 1e-12


INNER = {"type": "one_cycle"}
NESTED = [
    ({"type": "cosine_warm_restarts", "schedule": INNER}, "schedule_in_schedule"),
    ({"type": "sequence", "phases": [{"schedule": {"type": "plateau"}}]}, "plateau_in_sequence"),
    ({"type": "sequence", "phases": [{"schedule": {"type": "sequence", "phases": []}}]}, "nested_sequence"),
]


@pytest.mark.parametrize(("words", "code"), NESTED, ids=[code for _, code in NESTED])
def test_a_schedule_inside_another_is_refused_with_the_way_out(words: dict[str, Any], code: str) -> None:
    with pytest.raises(ValidationError) as error:
        SCHEDULE.validate_json(json.dumps(words))
    assert error.value.errors()[0]["type"] == code
