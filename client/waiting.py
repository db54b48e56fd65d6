"""Waiting for what takes its time, said once for both clients: generators that yield the next request, are sent its
answer, and return what was waited for."""

import time
from collections.abc import Callable, Generator
from typing import TypeVar

from pydantic import BaseModel

from . import calls
from .calls import Call, DatasetRef, JobRef, Previewed, Spec
from .errors import DatasetFailed, JobFailed, PreviewFailed, WaitTimedOut
from .resources import Dataset, Job

__all__ = ["Deadline", "Waiting", "for_dataset", "for_job", "for_preview"]

Thing = TypeVar("Thing", bound=BaseModel)
Waiting = Generator[Call[Thing], Thing, Thing]


def for_dataset(
    dataset: DatasetRef, timeout: float | None, watch: Callable[[Dataset], None] | None = None
) -> Waiting[Dataset]:
    """Until it is ready; `watch` is shown it whenever it has changed.

    Raises:
        DatasetFailed: it could not be taken in.
        WaitTimedOut: not within `timeout` seconds.
    """
    deadline = Deadline(timeout)
    while True:
        seen = yield calls.get_dataset(dataset, wait=deadline.poll_seconds())
        if watch is not None:
            watch(seen)
        if seen.status == "ready":
            return seen
        if seen.is_finished:
            raise DatasetFailed(seen)
        deadline.refuse_late(f"data set {seen.id}")


def for_job(job: JobRef, timeout: float | None) -> Waiting[Job]:
    """Until it has succeeded.

    Raises:
        JobFailed: it ended otherwise.
        WaitTimedOut: not within `timeout` seconds.
    """
    deadline = Deadline(timeout)
    while True:
        seen = yield calls.get_job(job, wait=deadline.poll_seconds())
        if seen.status == "succeeded":
            return seen
        if seen.is_finished:
            raise JobFailed(seen)
        deadline.refuse_late(f"job {seen.id}")


def for_preview(reply: type[Previewed], kind: str, spec: Spec, timeout: float | None) -> Waiting[Previewed]:
    """Until it is ready; asking for it again is how one waits.

    Raises:
        PreviewFailed: it could not be made.
        WaitTimedOut: not within `timeout` seconds.
    """
    deadline = Deadline(timeout)
    while True:
        seen = yield calls.preview(reply, kind, spec, wait=deadline.poll_seconds())
        if seen.status == "ready":
            return seen
        if seen.is_finished:
            raise PreviewFailed(seen)
        deadline.refuse_late(f"the preview ({seen.status_reason})")


class Deadline:
    """When a wait has lasted long enough."""

    def __init__(self, timeout: float | None) -> None:
        self._timeout = timeout
        self._ends = None if timeout is None else time.monotonic() + timeout

    def poll_seconds(self) -> float:
        if self._ends is None:
            return calls.POLL_SECONDS
        return round(min(max(self._ends - time.monotonic(), 0.0), calls.POLL_SECONDS), 3)

    def refuse_late(self, what: str) -> None:
        if self._timeout is not None and self._ends is not None and time.monotonic() >= self._ends:
            raise WaitTimedOut(what, self._timeout)
