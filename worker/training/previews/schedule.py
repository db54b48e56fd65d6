"""The learning rate of every step of a run that has not begun."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.spec.averaging import Swa
from models.spec.estimate import estimate
from models.spec.job import JobSpec
from models.spec.manifest import Manifest
from models.spec.schedule import Plateau
from worker.training.run import learning_rate_of
from worker.training.schedule import Clock

POINTS = 1000
"""That are shown at most."""
EVALUATED = 50_000
"""Steps whose rate is worked out at most: of a longer run every so many."""
BUCKETS = 240


def preview_schedule(spec: JobSpec, manifest: Manifest) -> dict[str, Any]:
    """Columns `steps` (counted from 1) and `learning_rate`, what they come to, and notes on what only the run knows."""
    sizes = estimate(spec, manifest)
    clock = Clock(sizes.steps_per_epoch, sizes.steps)
    stride = math.ceil(clock.steps / EVALUATED)
    steps = np.unique(np.append(np.arange(0, clock.steps, stride), clock.steps - 1))
    rates = np.array([learning_rate_of(spec, int(step), clock) for step in steps])
    kept = telling(rates)
    return {
        "steps": (steps[kept] + 1).tolist(),
        "learning_rate": rates[kept].tolist(),
        "total_steps": clock.steps,
        "steps_per_epoch": clock.steps_per_epoch,
        "first": float(rates[0]),
        "lowest": float(rates.min()),
        "peak": float(rates.max()),
        "last": float(rates[-1]),
        "downsampled": len(kept) < clock.steps,
        "notes": list(notes(spec, stride)),
    }


def telling(rates: NDArray[np.float64]) -> NDArray[np.int64]:
    """Places of a curve, in order and at most `POINTS`, that draw it: its ends, the sharpest turns with both their
    sides, and of every part the first, the lowest and the highest.
    """
    if len(rates) <= POINTS:
        return np.arange(len(rates))
    parts = np.array_split(np.arange(len(rates)), BUCKETS)
    of_parts = [place for part in parts for place in (part[0], part[rates[part].argmin()], part[rates[part].argmax()])]
    turning = np.abs(np.diff(rates, 2))
    sharpest = np.argsort(turning, kind="stable")[::-1][: POINTS - 3 * BUCKETS - 1] + 1
    return np.unique([*of_parts, *sharpest, len(rates) - 1])


def notes(spec: JobSpec, stride: int) -> Iterator[str]:
    """What the curve cannot know."""
    schedule, training = spec.schedule, spec.training
    if isinstance(schedule, Plateau):
        yield (
            f"The run decides: whenever {schedule.metric} has not improved for more than {schedule.patience} epochs in "
            f"a row, the rate is multiplied by {schedule.factor:g}, down to {schedule.minimum:g}. Shown is a run in "
            "which it always improves."
        )
    if isinstance(training.averaging, Swa):
        rate = training.averaging.learning_rate
        yield f"Once averaging begins (swa), the rate is {rate:g} in place of the schedule's."
    if training.early_stopping is not None or training.time_limit is not None:
        yield "The run may end before the curve does: early stopping or its time limit decide."
    if stride > 1:
        yield f"Of this long run every {stride}th step was worked out."
