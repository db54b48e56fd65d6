"""The engine: trains a network from a job spec on a packed data set, and needs nothing of the service to do it."""

from .checkpoint import read_checkpoint, save_checkpoint
from .control import Control
from .data import Dataset, load_dataset
from .events import Applied, CheckpointReady, Diverged, EpochDone, Event, Finished, Started, StepsDone, Warned
from .loop import train
from .state import Resume, State

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
    "Warned",
    "load_dataset",
    "read_checkpoint",
    "save_checkpoint",
    "train",
]
