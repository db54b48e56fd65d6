"""The job spec: one JSON object that says everything about a run."""

from typing import Annotated, Literal

from pydantic import Field

from .augmentation import Augmentation
from .checkpoints import Checkpoints
from .clipping import Clipping
from .dataset import Dataset
from .evaluation import Evaluation
from .initialization import Initialization
from .loss import Loss
from .network import Network
from .optimizer import Adam, Optimizer
from .regularization import Regularization
from .schedule import Constant, Schedule
from .technique import Technique
from .training import Training
from .warm_start import WarmStart


class JobSpec(Technique):
    """A training job. `dataset`, `network` and `training` are needed; everything else has a default, which the resolved
    spec shows.
    """

    spec_version: Literal[1] = 1
    name: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    seed: Annotated[int, Field(ge=0, le=2**63 - 1)] = 0
    """Everything random in the run follows from it."""
    dataset: Dataset
    network: Network
    initialization: Initialization | None = None
    """`kaiming_normal` unless said; `xavier_normal` where every activation is tanh or sigmoid."""
    warm_start: WarmStart | None = None
    """Weights of an earlier job to start from."""
    regularization: Annotated[tuple[Regularization, ...], Field(max_length=32)] = ()
    augmentation: Annotated[tuple[Augmentation, ...], Field(max_length=32)] = ()
    loss: Loss | None = None
    """`cross_entropy` for classes and `mse` for regression unless said."""
    optimizer: Optimizer = Adam()
    schedule: Schedule = Constant()
    clipping: Clipping | None = None
    training: Training
    evaluation: Evaluation = Evaluation()
    checkpoints: Checkpoints = Checkpoints()
