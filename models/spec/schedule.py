"""How the learning rate moves during the run. `lr` is the optimizer's learning_rate.

Time t is counted in optimizer steps, and with `interval: "epoch"` in steps at the start of the current epoch, so that
the rate stands still within an epoch. Any schedule may begin with `warmup`; its own time then starts when the warm-up
ends.
"""

from typing import Annotated, Literal

from pydantic import Field

from .duration import Duration, PositiveDuration
from .technique import Metric, Mode, Technique

Floor = Annotated[float, Field(ge=0.0, le=1e9)]
"""A learning rate, not a factor."""

Interval = Literal["step", "epoch"]


class Warmup(Technique):
    """The rate grows linearly from start_factor · lr to lr: lr · (start_factor + (1 − start_factor) · t / duration) for
    t < duration.

    Reference: Goyal et al. 2017, "Accurate, large minibatch SGD", arXiv:1706.02677.
    """

    duration: PositiveDuration
    start_factor: Annotated[float, Field(ge=0.0, le=1.0)] = 0.0


class Warmed(Technique):
    """What every schedule has."""

    warmup: Warmup | None = None


class Constant(Warmed):
    """The same rate throughout: lr."""

    type: Literal["constant"] = "constant"


class Step(Warmed):
    """A drop at regular times: lr · gamma^floor((t + offset) / step_size).

    `offset: 1` with `step_size: 30` drops at epochs 29, 59, 89 counted from 0: 0.1 · 0.1^floor((1 + epoch) / 30).
    """

    type: Literal["step"] = "step"
    step_size: PositiveDuration = Duration.parse(30)
    gamma: Annotated[float, Field(gt=0.0, le=1.0)] = 0.1
    offset: Duration = Duration.parse(0)
    interval: Interval = "step"


class Exponential(Warmed):
    """A steady decay: lr · gamma^(t / every); with `staircase` the exponent is rounded down."""

    type: Literal["exponential"] = "exponential"
    gamma: Annotated[float, Field(gt=0.0, le=1.0)] = 0.95
    every: PositiveDuration = Duration.parse(1)
    """How long until the rate has been multiplied by gamma once."""
    staircase: bool = False
    interval: Interval = "step"


class Cosine(Warmed):
    """Half a cosine from lr to `minimum` at the end of the run: minimum + (lr − minimum) · (1 + cos(π · t / T)) / 2.

    Reference: Loshchilov & Hutter 2017, "SGDR", arXiv:1608.03983, without restarts.
    """

    type: Literal["cosine"] = "cosine"
    minimum: Floor = 0.0
    """The learning rate at the end."""
    interval: Interval = "step"


class CosineWarmRestarts(Warmed):
    """SGDR: cosines from a peak to `minimum`, one after another; the i-th lasts t_0 · t_mult^i and its peak is lr ·
    decay^i.

    Reference: Loshchilov & Hutter 2017, "SGDR: stochastic gradient descent with warm restarts", arXiv:1608.03983.
    """

    type: Literal["cosine_warm_restarts"] = "cosine_warm_restarts"
    t_0: PositiveDuration = Duration.parse(10)
    """How long the first cosine lasts."""
    t_mult: Annotated[float, Field(ge=1.0, le=100.0)] = 1.0
    decay: Annotated[float, Field(gt=0.0, le=1.0)] = 1.0
    minimum: Floor = 0.0
    """The learning rate at the foot of every cosine."""
    interval: Interval = "step"


class Plateau(Warmed):
    """The rate is multiplied by `factor` when the metric has not become better for more than `patience` evaluations
    (there is one at each epoch's end).

    Better means by more than `threshold`, relative to the best so far: below best · (1 − threshold), or above best · (1
    + threshold). After a drop, `cooldown` evaluations are not counted.

    Reference: PyTorch's ReduceLROnPlateau.
    """

    type: Literal["plateau"] = "plateau"
    metric: Metric = "validation/loss"
    mode: Mode = "auto"
    factor: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.1
    patience: Annotated[int, Field(ge=0, le=100_000)] = 10
    cooldown: Annotated[int, Field(ge=0, le=100_000)] = 0
    threshold: Annotated[float, Field(ge=0.0, le=1.0)] = 1e-4
    minimum: Floor = 0.0
    """The rate does not fall below this."""


Schedule = Annotated[Constant | Step | Exponential | Cosine | CosineWarmRestarts | Plateau, Field(discriminator="type")]
