"""Who watches a metric: the plateau schedule, early stopping, and the choice of the best checkpoint.

Each is a small record that is replaced at every evaluation and stored in a checkpoint as JSON.
"""

from dataclasses import dataclass, replace
from math import isfinite

from models.spec.schedule import Plateau
from models.spec.technique import Mode
from models.spec.training import EarlyStopping


def is_better(mode: Mode, value: float, best: float | None) -> bool:
    assert mode != "auto"
    if not isfinite(value):
        return False
    return best is None or (value < best if mode == "min" else value > best)


@dataclass(frozen=True)
class PlateauMemory:
    """PyTorch's ReduceLROnPlateau with a relative threshold."""

    scale: float = 1.0
    """By what the rate is multiplied now."""
    best: float | None = None
    bad: int = 0
    cooldown: int = 0

    def after(self, value: float, schedule: Plateau) -> "PlateauMemory":
        """The memory after an evaluation."""
        bar = None if self.best is None else beyond(schedule, self.best)
        if is_better(schedule.mode, value, bar):
            memory = replace(self, best=value, bad=0)
        else:
            memory = replace(self, bad=self.bad + 1)
        if memory.cooldown > 0:
            memory = replace(memory, bad=0, cooldown=memory.cooldown - 1)
        if memory.bad > schedule.patience:
            memory = replace(memory, scale=memory.scale * schedule.factor, bad=0, cooldown=schedule.cooldown)
        return memory


def beyond(schedule: Plateau, best: float) -> float:
    return best * (1.0 - schedule.threshold if schedule.mode == "min" else 1.0 + schedule.threshold)


@dataclass(frozen=True)
class StoppingMemory:
    """Early stopping's best evaluation and how long ago it was."""

    best: float | None = None
    waited: int = 0

    def after(self, value: float, rule: EarlyStopping) -> "StoppingMemory":
        margin = -rule.min_delta if rule.mode == "min" else rule.min_delta
        if is_better(rule.mode, value, None if self.best is None else self.best + margin):
            return StoppingMemory(value, 0)
        return StoppingMemory(self.best, self.waited + 1)
