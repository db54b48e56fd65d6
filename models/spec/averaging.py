"""Averages of the weights over the run: what is evaluated and saved are the averaged weights, while training goes on
from the raw ones, which stay in the checkpoint's state.
"""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from .duration import Duration, PositiveDuration
from .optimizer import LearningRate
from .technique import Technique

DECAY = 0.999
"""Of an `ema` that says neither a decay nor a half-life."""


class Ema(Technique):
    """Exponential moving average of the weights: a ← d · a + (1 − d) · w after each step, with d = min(decay,
    (1 + t) / (10 + t)) at the t-th step.

    Either `decay` or `half_life`, which is the same as decay = ½^(1 / half_life in steps). `warmup: false` takes the
    decay as it is from the first step on. Running means and variances of norms are taken as they are.

    Reference: Polyak & Juditsky 1992; Tarvainen & Valpola 2017, "Mean teachers", arXiv:1703.01780; the warm-up is that
    of TensorFlow's ExponentialMovingAverage.
    """

    type: Literal["ema"] = "ema"
    decay: Annotated[float, Field(gt=0.0, lt=1.0)] | None = None
    """0.999 unless a half-life is given."""
    half_life: PositiveDuration | None = None
    """After so long, weights of the past count half."""
    warmup: bool = True

    @model_validator(mode="after")
    def _one_decay(self) -> Self:
        if self.decay is not None and self.half_life is not None:
            raise PydanticCustomError("decay_twice", "Say either `decay` or `half_life`: each gives the other")
        return self

    def decay_in(self, steps_per_epoch: int, steps: int) -> float:
        """What a step keeps of the average in a run of so many steps, once it is warm."""
        if self.half_life is not None:
            decay: float = 0.5 ** (1.0 / self.half_life.in_steps(steps_per_epoch, steps))
            return decay
        return DECAY if self.decay is None else self.decay


class Swa(Technique):
    """Stochastic weight averaging: the plain mean of the weights at `start` and after each `every` from there on.

    Until `start` the weights are the raw ones. Running means and variances of batch norms are taken anew from the whole
    training part, without augmentation, before the average is evaluated.

    Formula: a ← a + (w − a) / (n + 1) after n averaged weights.

    Reference: Izmailov et al. 2018, "Averaging weights leads to wider optima and better generalization",
    arXiv:1803.05407.
    """

    type: Literal["swa"] = "swa"
    start: PositiveDuration = Duration.parse("75%")
    every: PositiveDuration = Duration.parse(1)
    learning_rate: LearningRate | None = None
    """Constant from `start` on; the schedule's unless said."""


class Lookahead(Technique):
    """Lookahead: every k steps the slow weights move to the fast ones, s ← s + alpha · (w − s), and the fast ones go on
    from there, w ← s.

    The slow weights are evaluated and saved.

    Reference: Zhang et al. 2019, "Lookahead optimizer: k steps forward, 1 step back", arXiv:1907.08610.
    """

    type: Literal["lookahead"] = "lookahead"
    k: Annotated[int, Field(ge=1, le=100_000)] = 5
    """Steps."""
    alpha: Annotated[float, Field(gt=0.0, le=1.0)] = 0.5


Averaging = Annotated[Ema | Swa | Lookahead, Field(discriminator="type")]
