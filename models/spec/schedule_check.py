"""Whether a schedule fits its run: all that needs the number of steps or the optimizer's rate."""

from collections.abc import Iterator
from itertools import pairwise

from .errors import SpecError, SpecWarning
from .job import JobSpec
from .schedule import (
    Cosine,
    CosineWarmRestarts,
    Cyclic,
    MultiStep,
    OneCycle,
    Piecewise,
    Plateau,
    Polynomial,
    Schedule,
    Sequence,
    WarmupStableDecay,
)

_TO_A_MINIMUM = (Cosine, CosineWarmRestarts, Cyclic, Plateau, Polynomial, WarmupStableDecay)


def schedule_errors(spec: JobSpec, per_epoch: int, steps: int) -> Iterator[SpecError]:
    """Conflicts of the schedule with itself, the run's length and the optimizer's rate."""
    yield from _errors("/schedule", spec.schedule, spec.optimizer.learning_rate, per_epoch, steps, steps)


def _errors(
    pointer: str, schedule: Schedule, rate: float, per_epoch: int, steps: int, length: int
) -> Iterator[SpecError]:
    """Of a schedule that lasts `length` of the run's `steps`."""
    if isinstance(schedule, _TO_A_MINIMUM) and schedule.minimum > rate:
        detail = "Above the optimizer's learning rate: the rate would rise. It is a rate, not a factor"
        yield SpecError(f"{pointer}/minimum", "minimum_above_rate", detail)
    warm = 0 if schedule.warmup is None else schedule.warmup.duration.in_steps(per_epoch, steps)
    if warm >= length:
        detail = "The warm-up lasts the whole run: nothing is left for the schedule"
        yield SpecError(f"{pointer}/warmup/duration", "warmup_too_long", detail)
    match schedule:
        case MultiStep():
            moments = [one.in_steps(per_epoch, steps) for one in schedule.milestones]
            yield from _order(moments, f"{pointer}/milestones/{{}}", "milestones")
        case Piecewise():
            moments = [point.at.in_steps(per_epoch, steps) for point in schedule.points]
            yield from _order(moments, f"{pointer}/points/{{}}/at", "points")
        case WarmupStableDecay() if schedule.decay.in_steps(per_epoch, steps) > length - warm:
            detail = "The fall is longer than what the warm-up leaves of the run"
            yield SpecError(f"{pointer}/decay", "decay_too_long", detail)
        case Sequence():
            yield from _phases(pointer, schedule, rate, per_epoch, steps, length - warm)
        case _:
            pass


def _order(moments: list[int], pointer: str, what: str) -> Iterator[SpecError]:
    for index, (before, moment) in enumerate(pairwise(moments), start=1):
        if moment <= before:
            detail = f"Step {moment:,}, and the one before it is step {before:,}: {what} come in the order of time"
            yield SpecError(pointer.format(index), f"{what}_out_of_order", detail)


def _phases(
    pointer: str, sequence: Sequence, rate: float, per_epoch: int, steps: int, length: int
) -> Iterator[SpecError]:
    left, last = length, len(sequence.phases) - 1
    for index, phase in enumerate(sequence.phases):
        place = f"{pointer}/phases/{index}"
        if left <= 0:
            yield SpecError(place, "never_acts", "It begins at the run's end or later")
            return
        if index == last:
            yield from _last_phase(f"{place}/duration", sequence, per_epoch, steps, left)
            duration = left
        elif phase.duration is None:
            detail = "Only the last phase may leave it out: something follows this one"
            yield SpecError(f"{place}/duration", "missing", detail)
            return
        else:
            duration = phase.duration.in_steps(per_epoch, steps)
        yield from _errors(f"{place}/schedule", phase.schedule, rate * phase.factor, per_epoch, steps, duration)
        left -= duration


def _last_phase(pointer: str, sequence: Sequence, per_epoch: int, steps: int, left: int) -> Iterator[SpecError]:
    """Its end is the run's, give or take a step that rounding costs each phase."""
    last = sequence.phases[-1].duration
    if last is not None and abs(last.in_steps(per_epoch, steps) - left) > len(sequence.phases):
        detail = f"The phases before it leave {left:,} of {steps:,} steps: say so much, or leave the duration out"
        yield SpecError(pointer, "phases_do_not_fill", detail)


def schedule_warnings(spec: JobSpec, per_epoch: int, steps: int) -> Iterator[SpecWarning]:
    """What is legal and usually not meant."""
    schedule = spec.schedule
    if isinstance(schedule, OneCycle) and schedule.warmup is not None:
        detail = "one_cycle begins with a rise of its own: with a warm-up before it the rate rises twice"
        yield SpecWarning("/schedule/warmup", "rises_twice", detail)
    if isinstance(schedule, MultiStep):
        for index, milestone in enumerate(schedule.milestones):
            if milestone.in_steps(per_epoch, steps) >= steps:
                detail = "The run ends before this milestone"
                yield SpecWarning(f"/schedule/milestones/{index}", "never_reached", detail)
