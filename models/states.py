"""The life of a job as one table. The enum, the compare-and-set in `jobs.py`, the API's text and the tests all come
from it."""

from enum import StrEnum
from typing import Literal, NamedTuple

Actor = Literal["user", "worker", "reconciler"]


class State(StrEnum):
    QUEUED = "queued"
    STARTING = "starting"
    RUNNING = "running"
    PAUSED = "paused"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_terminal(self) -> bool:
        return self in TERMINAL


class Wish(StrEnum):
    """What somebody wants of a job (`desired_state`), apart from where it is: so no half-way state can get stuck."""

    RUN = "run"
    PAUSE = "pause"
    CANCEL = "cancel"


class DatasetState(StrEnum):
    UPLOADING = "uploading"
    QUEUED = "queued"
    PROCESSING = "processing"
    READY = "ready"
    FAILED = "failed"


class ExportState(StrEnum):
    QUEUED = "queued"
    PROCESSING = "processing"
    READY = "ready"
    FAILED = "failed"


class FailureCode(StrEnum):
    DIVERGED = "diverged"
    OUT_OF_MEMORY = "out_of_memory"
    DATASET_ERROR = "dataset_error"
    CHECKPOINT_ERROR = "checkpoint_error"
    INVALID_SPEC = "invalid_spec"
    STALLED = "stalled"
    POISON = "poison"
    DEVICE_ERROR = "device_error"
    STORAGE_FULL = "storage_full"
    INTERNAL = "internal"


class Transition(NamedTuple):
    sources: frozenset[State]
    target: State
    actors: frozenset[Actor]


OWNED = frozenset({State.STARTING, State.RUNNING})
"""States in which a worker holds a lease."""
TERMINAL = frozenset({State.SUCCEEDED, State.FAILED, State.CANCELLED})

TRANSITIONS: dict[str, Transition] = {
    "job.claimed": Transition(frozenset({State.QUEUED}), State.STARTING, frozenset({"worker"})),
    "job.started": Transition(frozenset({State.STARTING}), State.RUNNING, frozenset({"worker"})),
    "job.released": Transition(OWNED, State.QUEUED, frozenset({"worker"})),
    "job.lost": Transition(OWNED, State.QUEUED, frozenset({"reconciler"})),
    "job.succeeded": Transition(OWNED, State.SUCCEEDED, frozenset({"worker"})),
    "job.failed": Transition(OWNED, State.FAILED, frozenset({"worker", "reconciler"})),
    "job.paused": Transition(OWNED | {State.QUEUED}, State.PAUSED, frozenset({"user", "worker", "reconciler"})),
    "job.resumed": Transition(frozenset({State.PAUSED}), State.QUEUED, frozenset({"user"})),
    "job.cancelled": Transition(
        OWNED | {State.QUEUED, State.PAUSED}, State.CANCELLED, frozenset({"user", "worker", "reconciler"})
    ),
    "job.retried": Transition(frozenset({State.FAILED, State.CANCELLED}), State.QUEUED, frozenset({"user"})),
}
"""Event type → which states it may leave, where it leads, who may cause it. An end is an end, unless the user takes it
back."""
