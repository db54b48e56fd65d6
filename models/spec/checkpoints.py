"""Which states of the network are kept for download."""

from typing import Annotated

from pydantic import Field

from .duration import Duration, PositiveDuration
from .technique import Metric, Mode, Technique


class KeepBest(Technique):
    """Keeps the weights of the epoch whose metric was best; of equals the earlier."""

    metric: Metric = "validation/loss"
    mode: Mode = "auto"


class Checkpoints(Technique):
    """A checkpoint is taken each `every`, and at the end; the newest `keep_last` are kept, and the best."""

    every: PositiveDuration = Duration.parse(1)
    keep_last: Annotated[int, Field(ge=1, le=1000)] = 3
    keep_best: KeepBest | None = None
    """By validation accuracy (classes) or loss, by the training loss where nothing is held back, unless said."""
