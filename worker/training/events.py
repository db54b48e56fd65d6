"""What a training run tells its caller, in the order it happens."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor

from worker.training.state import State

Metrics = Mapping[str, float]
"""By name, such as `validation/accuracy`. Any of them may be NaN or infinite."""


Kind = Literal["step", "epoch", "best", "last"]
"""Why a checkpoint was taken."""

Reason = Literal["completed", "early_stopping", "time_limit"]
"""Why a run came to its end."""


@dataclass(frozen=True)
class Progress:
    """How far the run is."""

    epoch: int
    """Epochs that are done."""
    epochs: int
    step: int
    """Optimizer steps that are done."""
    steps: int
    samples_per_second: float
    eta_seconds: float

    def as_json(self) -> dict[str, Any]:
        return dict(vars(self))


@dataclass(frozen=True)
class Started:
    """The first event: what is about to run, and where."""

    start_step: int
    """Steps that an earlier attempt has done."""
    steps: int
    steps_per_epoch: int
    epochs: int
    parameters: int
    training_examples: int
    validation_examples: int
    normalization: Mapping[str, Any]
    vocabularies: Mapping[str, int]
    """How many words each column of text is read by."""
    environment: Mapping[str, Any]
    progress: Progress

    def as_json(self) -> dict[str, Any]:
        return {**vars(self), "progress": self.progress.as_json()}


@dataclass(frozen=True)
class WarmStarted:
    """What became of the checkpoint that a run starts from. Layers are called as the spec calls them."""

    checkpoint: str
    sha256: str
    loaded: Sequence[str]
    """Layers of the network that start with the checkpoint's weights."""
    replaced: Sequence[str]
    """Layers of the network that start anew."""
    left: Sequence[str]
    """Layers of the checkpoint that are not taken."""
    parameters: int
    """Numbers that were loaded, running means and variances included."""
    frozen: Sequence[str]
    """Layers that do not learn at first."""
    frozen_until_step: int | None
    """The first step, counted from 0, at which they do; None for never."""
    normalization: Literal["inherit", "fit"]
    """Whether the inputs are scaled as in the earlier job."""

    def as_json(self) -> dict[str, Any]:
        return dict(vars(self))


@dataclass(frozen=True)
class Warned:
    """Something is legal and probably not meant."""

    code: str
    detail: str

    def as_json(self) -> dict[str, Any]:
        return dict(vars(self))


@dataclass(frozen=True)
class StepsDone:
    """Numbers of the steps since the last event of this kind; every step is in exactly one."""

    columns: Mapping[str, Sequence[float]]
    """Columns of equal length: `step` (counted from 1), `train/loss`, `train/penalty`, `learning_rate`, `gradient_norm`
    (before clipping), `clipped` and `skipped` (1 or 0).
    """
    progress: Progress

    def as_json(self) -> dict[str, Any]:
        columns = {name: list(values) for name, values in self.columns.items()}
        return {"columns": columns, "progress": self.progress.as_json()}


@dataclass(frozen=True)
class EpochDone:
    """An epoch, or what the run had left of one, has been trained and evaluated."""

    epoch: int
    """Counted from 1."""
    step: int
    metrics: Metrics
    seconds: float
    """Training time of the epoch, evaluation not counted; of an interrupted one, the part since its resume."""
    samples_per_second: float
    evaluation_seconds: float
    progress: Progress
    layers: Mapping[str, float]
    """Of the epoch's last step: `gradient_norm/NAME`, `weight_norm/NAME` and `update_ratio/NAME` of every kernel."""

    def as_json(self) -> dict[str, Any]:
        return {**vars(self), "metrics": dict(self.metrics), "progress": self.progress.as_json()}


@dataclass(frozen=True)
class Applied:
    """What the techniques of the run have done so far: told after its first, second, fourth, … epoch, and its last."""

    families: Mapping[str, Any]
    """Family → what was measured."""

    def as_json(self) -> dict[str, Any]:
        return dict(vars(self))


@dataclass(frozen=True)
class CheckpointReady:
    """A state of the run worth keeping. The tensors are copies on the CPU: training goes on while they are written."""

    kind: Kind
    step: int
    epoch: int
    """Epochs that are done."""
    weights: Mapping[str, Tensor]
    weights_metadata: Mapping[str, str]
    state: State
    metrics: Metrics
    """Of the last evaluation of these weights; none before the first."""
    is_best: bool
    """Whether `checkpoints.keep_best` prefers it to everything before it."""
    release: Callable[[], None] = lambda: None
    """Whoever needs the tensors no longer may say so, once: a later checkpoint is copied into their memory."""


@dataclass(frozen=True)
class Finished:
    """The last event of a run that came to its end."""

    step: int
    epoch: int
    reason: Reason
    best: Metrics
    """Metrics of the best evaluation, by `checkpoints.keep_best`, with its `epoch`."""
    last: Metrics
    """Metrics of the final weights, with their `epoch`."""
    report: Mapping[str, Any] | None
    """Of the best evaluation, as JSON: tables, confusions, calibration, with its `epoch`. None where nothing was held
    back.
    """
    warm_start: Mapping[str, Any] | None = None
    """What became of the checkpoint that the run started from, as `WarmStarted` tells it."""

    def as_json(self) -> dict[str, Any]:
        told = {**vars(self), "best": dict(self.best), "last": dict(self.last)}
        if self.warm_start is None:
            del told["warm_start"]
        return told


Event = Started | WarmStarted | Warned | StepsDone | EpochDone | Applied | CheckpointReady | Finished


class Diverged(Exception):
    """The numbers are not finite any more; the weights of the last checkpoint are."""

    code = "diverged"

    def __init__(self, step: int, what: str, learning_rate: float) -> None:
        self.step = step
        self.advice = f"Try a lower learning rate than {learning_rate:g}, a warm-up, or clipping by the global norm."
        super().__init__(f"{what} at step {step}")
