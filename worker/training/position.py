"""Where a run is."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from worker.training.events import Reason
from worker.training.watching import PlateauMemory, StoppingMemory


@dataclass
class Position:
    """Where the run is and what it remembers of its evaluations: JSON in a checkpoint."""

    step: int = 0
    epoch: int = 0
    """Epochs that are trained and evaluated."""
    seconds: float = 0.0
    """Of all attempts so far, without the present one."""
    failures: int = 0
    """Skipped steps in a row, up to the last flush."""
    plateau: PlateauMemory = field(default_factory=PlateauMemory)
    stopping: StoppingMemory = field(default_factory=StoppingMemory)
    best: dict[str, float] = field(default_factory=dict)
    """Metrics of the best evaluation by `checkpoints.keep_best`, with its `epoch`."""
    restorable: dict[str, float] = field(default_factory=dict)
    """Metrics of the weights that early stopping would restore, with their `epoch`."""
    report: dict[str, Any] | None = None
    """Of the best evaluation: what needs more than a number. None before the first, and where nothing is held back."""
    last: dict[str, float] = field(default_factory=dict)
    """Metrics of the last evaluation, with its `epoch`."""
    starts: list[dict[str, Any]] = field(default_factory=list)
    """How the weights of every layer started, as `applied` tells it."""
    rates: dict[str, float] = field(default_factory=dict)
    """The learning rates of the steps so far: the `first`, the `lowest`, the `peak` and the `last`."""
    ended: Reason | None = None
    normalization: dict[str, Any] = field(default_factory=dict)
    """By which the inputs are scaled, where an earlier job found it."""
    warm_start: dict[str, Any] = field(default_factory=dict)
    """What became of the checkpoint that the run started from."""


def position_of(progress: Mapping[str, Any]) -> Position:
    plateau, stopping = PlateauMemory(**progress["plateau"]), StoppingMemory(**progress["stopping"])
    return Position(**{**progress, "plateau": plateau, "stopping": stopping})
