"""What two runs that differ in one thing show: numbers, and the sentence that they support."""

import statistics
from dataclasses import dataclass

from client import Job, Metrics

STILL = 0.05
"""A loss that changed by less than this share has stood still."""
CLOSE = 0.02
"""Accuracies that are no further apart than this are the same."""
FAINT = 3.0
"""Gradients this many times smaller are worth a word."""


@dataclass(frozen=True)
class Run:
    """One run in numbers."""

    name: str
    technique: str
    accuracies: tuple[float, ...]
    """On the validation part, after each epoch."""
    losses: tuple[float, ...]
    """On the training part, the mean of each epoch."""
    gradient_norm: float
    """The median over the steps of the first epoch."""
    images_per_second: float
    seconds: float
    """From the first step to the last."""

    @property
    def best(self) -> float:
        return max(self.accuracies)

    @property
    def stood_still(self) -> bool:
        return abs(self.losses[-1] - self.losses[0]) < STILL * self.losses[0]


def run_of(job: Job, technique: str, epochs: Metrics, steps: Metrics) -> Run:
    """Read a run's numbers off its curves."""
    first_epoch_ends = _numbers(epochs, "step")[0]
    norms = zip(_numbers(steps, "step"), _numbers(steps, "gradient_norm"), strict=True)
    assert job.started_at is not None
    assert job.finished_at is not None
    return Run(
        name=job.name or job.id,
        technique=technique,
        accuracies=_numbers(epochs, "validation/accuracy"),
        losses=_numbers(epochs, "train/loss"),
        gradient_norm=statistics.median(norm for step, norm in norms if step <= first_epoch_ends),
        images_per_second=float((job.progress or {}).get("samples_per_second") or 0.0),
        seconds=(job.finished_at - job.started_at).total_seconds(),
    )


def better_of(one: Run, other: Run) -> tuple[Run, Run]:
    """The better run, and the other."""
    return (one, other) if one.best >= other.best else (other, one)


def explain(one: Run, other: Run) -> str:
    """One sentence on what made the difference, as far as the numbers say it."""
    better, worse = better_of(one, other)
    if better.best - worse.best <= CLOSE:
        return (
            f"This time it made no difference: {better.technique} got {better.best:.1%} right, "
            f"{worse.technique} {worse.best:.1%}."
        )
    return (
        f"Everything but the start was the same, and it decided: {_gradients(better, worse)}, "
        f"{worse.name}'s loss {_course(worse)} and it never got more than {worse.best:.1%} right, "
        f"while {better.name}'s {_course(better)} and it got {better.best:.1%}."
    )


def _gradients(better: Run, worse: Run) -> str:
    ratio = better.gradient_norm / worse.gradient_norm if worse.gradient_norm else float("inf")
    norms = f"({worse.gradient_norm:.2g} against {better.gradient_norm:.2g}, the median of the first epoch)"
    if ratio >= FAINT:
        return f"the gradients of {worse.technique} were {ratio:.0f} times smaller {norms}"
    if ratio <= 1 / FAINT:
        return f"the gradients of {worse.technique} were {1 / ratio:.0f} times larger {norms}"
    return f"the gradients were of like size {norms}"


def _course(run: Run) -> str:
    course = f"{run.losses[0]:.2f} → {run.losses[-1]:.2f}"
    return f"stood still ({course})" if run.stood_still else f"went {course}"


def _numbers(metrics: Metrics, column: str) -> tuple[float, ...]:
    return tuple(float("nan") if value is None else float(value) for value in metrics.columns[column])
