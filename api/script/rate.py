"""The part of a script that says the learning rate of each step."""

from api.script.refusals import Refusals
from models.spec.job import JobSpec
from models.spec.schedule import (
    Constant,
    Cosine,
    Exponential,
    Linear,
    MultiStep,
    Polynomial,
    Schedule,
    Sequence,
    Step,
)


def rate_code(spec: JobSpec, steps: int, per_epoch: int, refusals: Refusals) -> str:
    schedule, warmup = spec.schedule, spec.schedule.warmup
    warm = 0 if warmup is None else warmup.duration.in_steps(per_epoch, steps)
    formula = _formula(schedule, per_epoch, steps)
    if formula is None:
        refusals.refuse("/schedule/type", f"a schedule of type {schedule.type} is not written")
    lines = ["", "", "def learning_rate(step):", f"    peak = {spec.optimizer.learning_rate}"]
    if warmup is not None and warm:
        factor = warmup.start_factor
        lines += [f"    if step < {warm}:", f"        return peak * ({factor} + (1.0 - {factor}) * step / {warm})"]
    if not isinstance(schedule, Constant | Sequence) and getattr(schedule, "interval", "step") == "epoch":
        lines.append(f"    step -= step % {per_epoch}")
    lines += [
        f"    time = max(0, step - {warm})  # of {steps - warm}",
        f"    progress = time / {max(1, steps - warm)}",
        f"    return {formula}",
    ]
    return "\n".join(
        lines if formula and any(word in formula for word in ("time", "progress")) else [*lines[:-3], lines[-1]]
    )


def _formula(schedule: Schedule, per_epoch: int, steps: int) -> str | None:
    match schedule:
        case Constant():
            return "peak"
        case Step():
            offset, size = (one.in_steps(per_epoch, steps) for one in (schedule.offset, schedule.step_size))
            return f"peak * {schedule.gamma} ** ((time + {offset}) // {size})"
        case MultiStep():
            milestones = [one.in_steps(per_epoch, steps) for one in schedule.milestones]
            return f"peak * {schedule.gamma} ** sum(time >= one for one in {milestones})"
        case Exponential():
            every = schedule.every.in_steps(per_epoch, steps)
            exponent = f"math.floor(time / {every})" if schedule.staircase else f"(time / {every})"
            return f"peak * {schedule.gamma} ** {exponent}"
        case Polynomial():
            floor = schedule.minimum
            return f"{floor} + (peak - {floor}) * math.pow(1.0 - progress, {schedule.power})"
        case Linear():
            start, end = schedule.start_factor, schedule.end_factor
            return f"peak * ({start} + ({end} - {start}) * progress)"
        case Cosine():
            floor = schedule.minimum
            return f"{floor} + (peak - {floor}) * (1.0 + math.cos(math.pi * progress)) / 2.0"
        case _:
            return None
