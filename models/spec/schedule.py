"""How the learning rate moves during the run. `lr` is the optimizer's learning_rate.

Time t is counted in optimizer steps, and with `interval: "epoch"` in steps at the start of the current epoch, so that
the rate stands still within an epoch. Any schedule may begin with `warmup`; its own time then starts when the warm-up
ends.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from .duration import Duration, PositiveDuration
from .technique import Metric, Mode, Technique

Floor = Annotated[float, Field(ge=0.0, le=1e9)]
"""A learning rate, not a factor."""

Interval = Annotated[
    Literal["step", "epoch"],
    Field(description="Whether the rate changes at every step or only at the start of an epoch."),
]

NOT_ONLY_TUPLES = Field(strict=False)
"""Behind a validator that looks at it first, a JSON array is a list, which a strict tuple does not take."""


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
    """A rise before it; none unless said."""

    @model_validator(mode="before")
    @classmethod
    def _holds_no_other(cls, value: Any) -> Any:
        for key, inner in value.items() if isinstance(value, Mapping) else ():
            if key not in cls.model_fields and isinstance(inner, Mapping) and "type" in inner:
                raise PydanticCustomError(
                    "schedule_in_schedule",
                    'A schedule holds no other one. For one after another: {"type": "sequence", "phases": [...]}',
                )
        return value


class Constant(Warmed):
    """The same rate throughout: lr.

    Formula: lr(t) = lr.

    Reference: PyTorch's `ConstantLR` with a factor of 1.
    """

    type: Literal["constant"] = "constant"


class Step(Warmed):
    """A drop at regular times: lr · gamma^floor((t + offset) / step_size).

    `offset: 1` with `step_size: 30` drops at epochs 29, 59, 89 counted from 0: 0.1 · 0.1^floor((1 + epoch) / 30).

    Reference: PyTorch's `StepLR`.
    """

    type: Literal["step"] = "step"
    step_size: PositiveDuration = Duration.parse(30)
    gamma: Annotated[float, Field(gt=0.0, le=1.0)] = 0.1
    offset: Duration = Duration.parse(0)
    interval: Interval = "step"


class Exponential(Warmed):
    """A steady decay: lr · gamma^(t / every); with `staircase` the exponent is rounded down.

    Reference: PyTorch's `ExponentialLR`; Keras's `ExponentialDecay` for `staircase`.
    """

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
    """Which way the metric is better; `auto` knows."""
    factor: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.1
    patience: Annotated[int, Field(ge=0, le=100_000)] = 10
    cooldown: Annotated[int, Field(ge=0, le=100_000)] = 0
    threshold: Annotated[float, Field(ge=0.0, le=1.0)] = 1e-4
    minimum: Floor = 0.0
    """The rate does not fall below this."""


class MultiStep(Warmed):
    """A drop at each milestone: lr · gamma^(number of milestones that t has reached).

    Reference: PyTorch's MultiStepLR.
    """

    type: Literal["multistep"] = "multistep"
    milestones: Annotated[tuple[PositiveDuration, ...], NOT_ONLY_TUPLES, Field(min_length=1, max_length=1000)]
    """One after the other, counted from where the warm-up ends."""
    gamma: Annotated[float, Field(gt=0.0, le=1.0)] = 0.1
    interval: Interval = "step"


class InverseTime(Warmed):
    """Decay with the inverse of time: lr / (1 + gamma · t / every); with `staircase` t / every is rounded down.

    Reference: Robbins & Monro 1951, "A stochastic approximation method"; Keras's InverseTimeDecay.
    """

    type: Literal["inverse_time"] = "inverse_time"
    gamma: Annotated[float, Field(gt=0.0, le=1e6)] = 0.1
    every: PositiveDuration = Duration.parse(1)
    """The unit of time."""
    staircase: bool = False
    interval: Interval = "step"


class Polynomial(Warmed):
    """From lr to `minimum` at the end of the run: minimum + (lr − minimum) · (1 − t / T)^power.

    Reference: Liu et al. 2015, "ParseNet", arXiv:1506.04579, with power 0.9; PyTorch's PolynomialLR.
    """

    type: Literal["polynomial"] = "polynomial"
    power: Annotated[float, Field(gt=0.0, le=100.0)] = 1.0
    minimum: Floor = 0.0
    """The learning rate at the end."""
    interval: Interval = "step"


class Linear(Warmed):
    """A straight line over the run: lr · (start_factor + (end_factor − start_factor) · t / T).

    Reference: PyTorch's LinearLR.
    """

    type: Literal["linear"] = "linear"
    start_factor: Annotated[float, Field(ge=0.0, le=1.0)] = 1.0
    end_factor: Annotated[float, Field(ge=0.0, le=1.0)] = 0.0
    interval: Interval = "step"


class OneCycle(Warmed):
    """One rise from lr / div_factor to lr in the first `pct_start` of the run, then one fall to lr / div_factor /
    final_div_factor at its last step. Per step, and the momentum stays as it is.

    The peak is at step pct_start · T − 1 and the end at step T − 1, as in PyTorch's OneCycleLR.

    Reference: Smith & Topin 2018, "Super-convergence", arXiv:1708.07120.
    """

    type: Literal["one_cycle"] = "one_cycle"
    pct_start: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.3
    """A share of the run, from 0 to 1."""
    div_factor: Annotated[float, Field(ge=1.0, le=1e9)] = 25.0
    final_div_factor: Annotated[float, Field(ge=1.0, le=1e12)] = 1e4
    anneal: Literal["cosine", "linear"] = "cosine"
    """The shape of the rise and of the fall."""


class Cyclic(Warmed):
    """Up from `minimum` to lr in a line and down again, over and over: minimum + (lr − minimum) · height · scale.

    `triangular` keeps the scale at 1, `triangular2` halves it with every cycle, `exp_range` multiplies it by gamma at
    every step: gamma^t with t in steps.

    Reference: Smith 2017, "Cyclical learning rates for training neural networks", arXiv:1506.01186.
    """

    type: Literal["cyclic"] = "cyclic"
    minimum: Floor = 0.0
    """The learning rate at the foot of every cycle; a third or a quarter of lr in the paper."""
    step_up: PositiveDuration = Duration.parse("2000 steps")
    step_down: PositiveDuration | None = None
    """As long as `step_up` unless said."""
    mode: Literal["triangular", "triangular2", "exp_range"] = "triangular"
    """How the peaks fall from cycle to cycle: not, by half, or by `gamma` at every step."""
    gamma: Annotated[float, Field(gt=0.0, le=1.0)] = 1.0
    """Of exp_range; the others do not look at it."""
    interval: Interval = "step"


class InverseSqrt(Warmed):
    """Decay with the root of time: lr · √(s / (s + t)) with s the timescale.

    With a warm-up and no timescale, s is the warm-up's length and the rate is lr · √(s / step), as for the first
    transformer.

    Reference: Vaswani et al. 2017, "Attention is all you need", arXiv:1706.03762.
    """

    type: Literal["inverse_sqrt"] = "inverse_sqrt"
    timescale: PositiveDuration | None = None
    """The warm-up's duration unless said, and one epoch where there is no warm-up."""
    interval: Interval = "step"


class WarmupStableDecay(Warmed):
    """The rate rises, stays at lr, and falls to `minimum` in the last part of the run, `decay` long.

    The fall is minimum + (lr − minimum) · f(p) with p its progress from 0 to 1 and f: 1 − p (`linear`), 1 − √p
    (`sqrt`), (1 + cos(π · p)) / 2 (`cosine`).

    Reference: Hägele et al. 2024, "Scaling laws and compute-optimal training beyond fixed training durations",
    arXiv:2405.18392.
    """

    type: Literal["warmup_stable_decay"] = "warmup_stable_decay"
    warmup: Warmup | None = Warmup(duration=Duration.parse("5%"))
    """The rise before it."""
    decay: PositiveDuration = Duration.parse("20%")
    shape: Literal["linear", "sqrt", "cosine"] = "linear"
    """The shape of the fall."""
    minimum: Floor = 0.0
    """The learning rate at the end."""
    interval: Interval = "step"


class Point(Technique):
    """The rate at a moment, as a factor of lr."""

    at: Duration
    factor: Annotated[float, Field(ge=0.0, le=1e6)]


class Piecewise(Warmed):
    """lr times a factor that is given at some moments: in straight lines from point to point, or with `constant` held
    from each point to the next. Before the first point and after the last the factor is theirs.

    Formula: lr(t) = lr · (f + (g − f) · (t − a) / (b − a)) between the points (a, f) and (b, g).

    Reference: Page 2019, "How to train your ResNet"; Keras's PiecewiseConstantDecay for `constant`.
    """

    type: Literal["piecewise"] = "piecewise"
    points: Annotated[tuple[Point, ...], NOT_ONLY_TUPLES, Field(min_length=1, max_length=1000)]
    """In the order of time, counted from where the warm-up ends; per cent are of the whole run."""
    interpolation: Literal["linear", "constant"] = "linear"
    """Between two points: a straight line, or the factor of the point before."""
    interval: Interval = "step"


_Lasting = (
    Constant
    | Step
    | MultiStep
    | Exponential
    | InverseTime
    | Polynomial
    | Linear
    | Cosine
    | CosineWarmRestarts
    | OneCycle
    | Cyclic
    | InverseSqrt
    | WarmupStableDecay
    | Piecewise
)


def _may_be_a_phase(value: Any) -> Any:
    kind = value.get("type") if isinstance(value, Mapping) else None
    if kind == "sequence":
        raise PydanticCustomError("nested_sequence", "A sequence in a sequence is one sequence: list its phases here")
    if kind == "plateau":
        raise PydanticCustomError(
            "plateau_in_sequence",
            "`plateau` waits for a metric and does not know when it ends, so nothing can follow it: use it alone, with "
            "a `warmup` if the run should begin slowly",
        )
    return value


PhaseSchedule = Annotated[Annotated[_Lasting, Field(discriminator="type")], BeforeValidator(_may_be_a_phase)]
"""What may follow one another: all but `plateau` and `sequence`."""


class Phase(Technique):
    """One part of a sequence. Its schedule takes the part for the whole run: time begins and T ends with it. Durations
    in per cent are still of the whole run.
    """

    schedule: PhaseSchedule
    duration: PositiveDuration | None = None
    """The last phase needs none: it lasts until the run ends."""
    factor: Annotated[float, Field(gt=0.0, le=1e6)] = 1.0
    """The lr of this phase is the optimizer's times this."""


class Sequence(Warmed):
    """One schedule after another.

    Formula: lr(t) = factor_i · lr_i(t − begin_i) in phase i.

    Reference: PyTorch's SequentialLR, with time that starts anew in each phase.
    """

    type: Literal["sequence"] = "sequence"
    phases: Annotated[tuple[Phase, ...], NOT_ONLY_TUPLES, Field(min_length=1, max_length=100)]
    """Schedules, each with how long it lasts, in the order of time."""


SingleSchedule = _Lasting | Plateau
Schedule = Annotated[SingleSchedule | Sequence, Field(discriminator="type")]


def step_down_of(schedule: Cyclic) -> Duration:
    """How long the rate falls."""
    return schedule.step_down or schedule.step_up


def timescale_of(schedule: InverseSqrt) -> Duration:
    """The time s after which the rate has fallen to lr / √2."""
    if schedule.timescale is not None:
        return schedule.timescale
    return Duration.parse(1) if schedule.warmup is None else schedule.warmup.duration
