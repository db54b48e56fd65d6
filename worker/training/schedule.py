"""The learning rate of a step, in closed form: a function of the spec and the step, with nothing to save but a
plateau's memory.
"""

import math
from bisect import bisect_right
from dataclasses import dataclass
from typing import assert_never

from models.spec.duration import Duration
from models.spec.schedule import (
    Constant,
    Cosine,
    CosineWarmRestarts,
    Cyclic,
    Exponential,
    InverseSqrt,
    InverseTime,
    Linear,
    MultiStep,
    OneCycle,
    Piecewise,
    Plateau,
    Polynomial,
    Schedule,
    Sequence,
    SingleSchedule,
    Step,
    WarmupStableDecay,
    step_down_of,
    timescale_of,
)


@dataclass(frozen=True)
class Clock:
    """Turns durations into steps."""

    steps_per_epoch: int
    steps: int

    def count(self, duration: Duration) -> int:
        """The duration in steps."""
        return duration.in_steps(self.steps_per_epoch, self.steps)


def learning_rate(schedule: Schedule, peak: float, step: int, clock: Clock, plateau_scale: float = 1.0) -> float:
    """The rate of a step, counted from 0; `peak` is the optimizer's own rate."""
    return rate_between(schedule, peak, step, 0, clock.steps, clock, plateau_scale)


def rate_between(
    schedule: Schedule, peak: float, step: int, begin: int, end: int, clock: Clock, plateau_scale: float
) -> float:
    """The rate of a step under a schedule that lasts from the step `begin` to the step `end`."""
    warmup = schedule.warmup
    warm = 0 if warmup is None else clock.count(warmup.duration)
    if warmup is not None and step - begin < warm:
        return peak * (warmup.start_factor + (1.0 - warmup.start_factor) * (step - begin) / warm)
    if isinstance(schedule, Sequence):
        return rate_in_phase(schedule, peak, step, begin + warm, end, clock)
    if not isinstance(schedule, Constant | Plateau | OneCycle) and schedule.interval == "epoch":
        step -= step % clock.steps_per_epoch
    time, length = max(0, step - begin - warm), end - begin - warm
    return after_warmup(schedule, peak, time, clock, length, plateau_scale)


def rate_in_phase(sequence: Sequence, peak: float, step: int, begin: int, end: int, clock: Clock) -> float:
    """The rate of a step of a sequence whose first phase begins at `begin`; the last one lasts until `end`."""
    *others, last = sequence.phases
    for phase in others:
        assert phase.duration is not None
        over = begin + clock.count(phase.duration)
        if step < over:
            return rate_between(phase.schedule, peak * phase.factor, step, begin, over, clock, 1.0)
        begin = over
    return rate_between(last.schedule, peak * last.factor, step, begin, end, clock, 1.0)


def after_warmup(
    schedule: SingleSchedule, peak: float, time: int, clock: Clock, length: int, plateau_scale: float
) -> float:
    """`time` and `length` in steps since the warm-up ended."""
    progress = time / max(1, length)
    match schedule:
        case Constant():
            return peak
        case Step():
            return peak * schedule.gamma ** ((time + clock.count(schedule.offset)) // clock.count(schedule.step_size))
        case MultiStep():
            return peak * schedule.gamma ** sum(time >= clock.count(one) for one in schedule.milestones)
        case Exponential():
            exponent = time / clock.count(schedule.every)
            return peak * schedule.gamma ** (math.floor(exponent) if schedule.staircase else exponent)
        case InverseTime():
            units = time / clock.count(schedule.every)
            return peak / (1.0 + schedule.gamma * (math.floor(units) if schedule.staircase else units))
        case Polynomial():
            return schedule.minimum + (peak - schedule.minimum) * math.pow(1.0 - progress, schedule.power)
        case Linear():
            return peak * between(schedule.start_factor, schedule.end_factor, progress)
        case Cosine():
            return half_cosine(peak, schedule.minimum, progress)
        case CosineWarmRestarts():
            cycle, share = place_in_cycles(time, clock.count(schedule.t_0), schedule.t_mult)
            return half_cosine(peak * schedule.decay**cycle, schedule.minimum, share)
        case OneCycle():
            return one_cycle(schedule, peak, time, length)
        case Cyclic():
            up, down = clock.count(schedule.step_up), clock.count(step_down_of(schedule))
            return cyclic(schedule, peak, time, up, down)
        case InverseSqrt():
            scale = clock.count(timescale_of(schedule))
            return peak * math.sqrt(scale / (scale + time))
        case WarmupStableDecay():
            decay = clock.count(schedule.decay)
            return peak - (peak - schedule.minimum) * fallen(schedule, max(0, time - length + decay) / decay)
        case Piecewise():
            return peak * factor_at(schedule, time, clock)
        case Plateau():
            return max(peak * plateau_scale, schedule.minimum)
        case _:
            assert_never(schedule)


def between(start: float, end: float, progress: float) -> float:
    """From `start` at 0 to `end` at 1 in a line."""
    return start + (end - start) * progress


def one_cycle(schedule: OneCycle, peak: float, time: int, length: int) -> float:
    start = peak / schedule.div_factor
    top, last = schedule.pct_start * length - 1.0, length - 1.0
    curve = half_cosine if schedule.anneal == "cosine" else between
    if time < top:
        return curve(start, peak, time / top)
    return curve(peak, start / schedule.final_div_factor, (time - top) / (last - top))


def cyclic(schedule: Cyclic, peak: float, time: int, up: int, down: int) -> float:
    cycle, place = divmod(time, up + down)
    height = place / up if place <= up else (up + down - place) / down
    match schedule.mode:
        case "triangular":
            scale = 1.0
        case "triangular2":
            scale = 0.5**cycle
        case "exp_range":
            scale = schedule.gamma**time
        case _:
            assert_never(schedule.mode)
    return schedule.minimum + (peak - schedule.minimum) * height * scale


def fallen(schedule: WarmupStableDecay, progress: float) -> float:
    """How much of the fall is over, from 0 to 1."""
    match schedule.shape:
        case "linear":
            return progress
        case "sqrt":
            return math.sqrt(progress)
        case "cosine":
            return half_cosine(0.0, 1.0, progress)
        case _:
            assert_never(schedule.shape)


def factor_at(schedule: Piecewise, time: int, clock: Clock) -> float:
    moments = [clock.count(point.at) for point in schedule.points]
    index = bisect_right(moments, time)
    if index == 0:
        return schedule.points[0].factor
    here = schedule.points[index - 1].factor
    if index == len(moments) or schedule.interpolation == "constant":
        return here
    progress = (time - moments[index - 1]) / (moments[index] - moments[index - 1])
    return between(here, schedule.points[index].factor, progress)


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
