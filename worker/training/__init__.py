"""The engine: trains a network from a job spec on a packed data set, and needs nothing of the service to do it."""

from .checkpoint import hand_over, read_checkpoint, read_weights, save_checkpoint
from .control import Control
from .data import Dataset, load_dataset
from .events import (
    Applied,
    CheckpointReady,
    Diverged,
    EpochDone,
    Event,
    Finished,
    Started,
    StepsDone,
    WarmStarted,
    Warned,
)
from .loop import train
from .state import Resume, State, Weights

__all__ = [
    "Applied",
    "CheckpointReady",
    "Control",
    "Dataset",
    "Diverged",
    "EpochDone",
    "Event",
    "Finished",
    "Resume",
    "Started",
    "State",
    "StepsDone",
    "WarmStarted",
    "Warned",
    "Weights",
    "hand_over",
    "load_dataset",
    "read_checkpoint",
    "read_weights",
    "save_checkpoint",
    "train",
]
