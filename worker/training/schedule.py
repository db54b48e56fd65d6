"""The learning rate of a step, in closed form: a function of the spec and the step, with nothing to save but a
plateau's memory.
"""

import math
from dataclasses import dataclass
from typing import assert_never

from models.spec.schedule import (
    Constant,
    Cosine,
    CosineWarmRestarts,
    Exponential,
    Plateau,
    Schedule,
    Step,
)


@dataclass(frozen=True)
class Clock:
    """Turns durations into steps."""

    steps_per_epoch: int
    steps: int


def learning_rate(schedule: Schedule, peak: float, step: int, clock: Clock, plateau_scale: float = 1.0) -> float:
    """The rate of a step, counted from 0; `peak` is the optimizer's own rate."""
    warmup = schedule.warmup
    warm = 0 if warmup is None else warmup.duration.in_steps(clock.steps_per_epoch, clock.steps)
    if warmup is not None and step < warm:
        return peak * (warmup.start_factor + (1.0 - warmup.start_factor) * step / warm)
    if not isinstance(schedule, Constant | Plateau) and schedule.interval == "epoch":
        step -= step % clock.steps_per_epoch
    return after_warmup(schedule, peak, max(0, step - warm), clock, clock.steps - warm, plateau_scale)


def after_warmup(schedule: Schedule, peak: float, time: int, clock: Clock, length: int, plateau_scale: float) -> float:
    """`time` and `length` in steps since the warm-up ended."""
    match schedule:
        case Constant():
            return peak
        case Step():
            offset = schedule.offset.in_steps(clock.steps_per_epoch, clock.steps)
            step_size = schedule.step_size.in_steps(clock.steps_per_epoch, clock.steps)
            return peak * schedule.gamma ** ((time + offset) // step_size)
        case Exponential():
            exponent = time / schedule.every.in_steps(clock.steps_per_epoch, clock.steps)
            return peak * schedule.gamma ** (math.floor(exponent) if schedule.staircase else exponent)
        case Cosine():
            return half_cosine(peak, schedule.minimum, time / max(1, length))
        case CosineWarmRestarts():
            first = schedule.t_0.in_steps(clock.steps_per_epoch, clock.steps)
            cycle, progress = place_in_cycles(time, first, schedule.t_mult)
            return half_cosine(peak * schedule.decay**cycle, schedule.minimum, progress)
        case Plateau():
            return max(peak * plateau_scale, schedule.minimum)
        case _:
            assert_never(schedule)


def half_cosine(top: float, bottom: float, progress: float) -> float:
    """From `top` at 0 to `bottom` at 1."""
    return bottom + (top - bottom) * (1.0 + math.cos(math.pi * progress)) / 2.0


def place_in_cycles(time: int, first: int, growth: float) -> tuple[int, float]:
    """The cycle, counted from 0, and the share of it that is over; the i-th is first · growth^i long."""
    if growth == 1.0:
        return time // first, time % first / first
    cycle, rest, length = 0, float(time), float(first)
    while rest >= length:
        cycle, rest, length = cycle + 1, rest - length, length * growth
    return cycle, rest / length
