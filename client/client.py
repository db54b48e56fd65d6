"""The client for ordinary code."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

import httpx

from . import calls, waiting
from .calls import (
    EXPORT_LOOK_SECONDS,
    Call,
    CheckpointRef,
    DatasetRef,
    Exported,
    Interval,
    JobFilter,
    JobRef,
    KeyRef,
    Scope,
    Spec,
    Status,
)
from .connection import Connection
from .download import Part, Progress, file_sha256, whole_file
from .errors import ConflictError
from .resources import (
    ApiKey,
    AuditEntry,
    AugmentationPreview,
    Catalog,
    CatalogFamily,
    Checkpoint,
    Comparison,
    Dataset,
    Event,
    InitializationPreview,
    Item,
    Job,
    JobProgress,
    LogLine,
    Metrics,
    Page,
    Project,
    SampleList,
    SchedulePreview,
    Usage,
    Validation,
    Version,
    Worker,
)
from .retries import pause_before_retry
from .sending import Sending, advance, by_parts, is_large
from .streaming import EventStream
from .waiting import Thing, Waiting

__all__ = ["Client"]


class Client:
    """A way to one service, as a context manager or until `close`.

    Args:
        base_url: where the service is. Unless said: `TRAINWRIGHT_URL`, the profile that `trainwright login` kept, or
            the service that `make up` runs on this machine.
        api_key: `tw_…`; unless said: `TRAINWRIGHT_API_KEY`, or the key that is kept for this address.
        transport: for tests: what to send requests through.
    """

    def __init__(
        self, base_url: str | None = None, api_key: str | None = None, *, transport: httpx.BaseTransport | None = None
    ) -> None:
        self._connection = Connection(base_url, api_key, transport)
        self.datasets = Datasets(self._connection)
        self.jobs = Jobs(self._connection)
        self.checkpoints = Checkpoints(self._connection)
        self.previews = Previews(self._connection)
        self.projects = Projects(self._connection)
        self.keys = Keys(self._connection)

    def catalog(self) -> Catalog:
        """Every technique that the service can train with."""
        return self._connection.send(calls.get_catalog())

    def catalog_family(self, family: str) -> CatalogFamily:
        return self._connection.send(calls.get_catalog_family(family))

    def workers(self) -> list[Worker]:
        return self._connection.send(calls.list_workers()).data

    def version(self) -> Version:
        return self._connection.send(calls.get_version())

    def close(self) -> None:
        self._connection.close()

    def __enter__(self) -> "Client":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


class Datasets:
    """Data to train on."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def create(self, name: str) -> Dataset:
        """A data set that waits for its upload."""
        return self._connection.send(calls.create_dataset(name))

    def upload(
        self,
        file: Path | str,
        name: str | None = None,
        *,
        dataset: DatasetRef | None = None,
        progress: Progress | None = None,
    ) -> Dataset:
        """Send a zip, npz, csv or parquet, as a new data set unless one is given; `wait` tells when it is ready.

        A file of more than 64 MiB is sent by parts. Called again after a cut it goes on with what is there: with the
        data set of this name that waits for the rest of this very file.

        Args:
            progress: called with the bytes that were sent and the bytes that there are.
        """
        file = Path(file)
        if is_large(file):
            return _follow(self._connection, by_parts(file, name or file.stem, dataset, progress))
        dataset = dataset or self.create(name or file.stem)
        sha256 = file_sha256(file)
        try:
            return self._connection.send(calls.upload(dataset, file, sha256, progress))
        except ConflictError:
            seen = self.get(dataset)
            if seen.upload_sha256 == sha256.hex():  # it had arrived, and only the reply was lost
                return seen
            raise

    def wait(
        self, dataset: DatasetRef, timeout: float | None = None, *, watch: Callable[[Dataset], None] | None = None
    ) -> Dataset:
        """The data set once it is ready; raises `DatasetFailed` if it cannot be, `WaitTimedOut` after `timeout`
        seconds.

        Args:
            watch: called with the data set whenever it has changed: `progress` says how far it is.
        """
        return _wait(self._connection, waiting.for_dataset(dataset, timeout, watch))

    def get(self, dataset: DatasetRef) -> Dataset:
        return self._connection.send(calls.get_dataset(dataset))

    def list(self) -> Iterator[Dataset]:
        """All data sets, the newest first."""
        return _all(self._connection, lambda after: calls.list_datasets(after=after))

    def samples(
        self,
        dataset: DatasetRef,
        *,
        split: str = "train",
        seed: int | None = None,
        offset: int = 0,
        limit: int = 20,
        index: Sequence[int] = (),
    ) -> SampleList:
        """Examples to look at, images as PNG: in their own order, in the random one of a seed, or just those at the
        places in `index`."""
        call = calls.list_samples(dataset, split=split, seed=seed, offset=offset, limit=limit, index=index)
        return self._connection.send(call)

    def delete(self, dataset: DatasetRef) -> None:
        """Delete one that no job names; raises `ConflictError` if one does."""
        self._connection.send(calls.delete_dataset(dataset))


class Jobs:
    """Training runs."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def create(self, spec: Spec, **labels: Any) -> Job:
        """Start a run; raises `ValidationError` with every mistake of the spec.

        Args:
            labels: `tags`, `notes` and `metadata` of the job; nothing of it changes the run.
        """
        return self._connection.send(calls.create_job(spec, labels))

    def validate(self, spec: Spec) -> Validation:
        """What would become of a spec: mistakes, warnings, what it means in full, what it would take."""
        return self._connection.send(calls.validate_job(spec))

    def get(self, job: JobRef) -> Job:
        return self._connection.send(calls.get_job(job))

    def list(
        self,
        *,
        status: Status | None = None,
        dataset: DatasetRef | None = None,
        name: str | None = None,
        tags: Sequence[str] = (),
        metadata: Mapping[str, str] | None = None,
        created_after: datetime | None = None,
        oldest_first: bool = False,
    ) -> Iterator[Job]:
        """The jobs that fit, the newest first; more are asked for as they are needed."""
        which = JobFilter(status, dataset, name, tags, metadata or {}, created_after, oldest_first)
        return _all(self._connection, lambda after: calls.list_jobs(which, after=after))

    def edit(self, job: JobRef, **changes: Any) -> Job:
        """Change `name`, `tags`, `notes`, `metadata`: what is not given stays, None takes away."""
        return self._connection.send(calls.edit_job(job, changes))

    def fork(self, job: JobRef, changes: Mapping[str, Any], *, checkpoint: CheckpointRef | None = None) -> Job:
        """Start a run with this one's spec and some changes.

        Args:
            changes: a JSON Merge Patch (RFC 7396) of the spec: `{"optimizer": {"learning_rate": 0.05}}`.
            checkpoint: whose weights it starts from: `best` or `last` of the job, or any of the project.
        """
        return self._connection.send(calls.fork_job(job, changes, checkpoint))

    def compare(self, *jobs: JobRef) -> Comparison:
        """Where the specs of some jobs differ, and what each has come to."""
        return self._connection.send(calls.compare_jobs(jobs))

    def logs(self, job: JobRef, *, source: Literal["worker", "trainer"] | None = None) -> Iterator[LogLine]:
        """What its worker and its trainer wrote, the oldest first."""
        return _all(self._connection, lambda after: calls.list_logs(job, source=source, after=after))

    def delete(self, job: JobRef) -> None:
        """Delete one that has ended, with its curves and checkpoints; raises `ConflictError` if it has not."""
        self._connection.send(calls.delete_job(job))

    def cancel(self, job: JobRef) -> Job:
        """Ask for its end; asking twice is the same as once."""
        return self._connection.send(calls.cancel_job(job))

    def pause(self, job: JobRef) -> Job:
        """Let a job rest: a running one is saved at its next step and leaves its worker."""
        return self._connection.send(calls.pause_job(job))

    def resume(self, job: JobRef) -> Job:
        """Let a paused job go on from where it was."""
        return self._connection.send(calls.resume_job(job))

    def retry(self, job: JobRef) -> Job:
        """Queue a job again that failed or was cancelled; it goes on from its newest checkpoint."""
        return self._connection.send(calls.retry_job(job))

    def verify(self, job: JobRef) -> Job:
        """Train the last stretch of one that has succeeded once more: `verification` in the new job's summary says
        whether the bits are the same."""
        return self._connection.send(calls.verify_job(job))

    def wait(self, job: JobRef, timeout: float | None = None) -> Job:
        """The job once it has succeeded; raises `JobFailed` if it ends otherwise, `WaitTimedOut` after `timeout`
        seconds."""
        return _wait(self._connection, waiting.for_job(job, timeout))

    def events(self, job: JobRef) -> Iterator[Event]:
        """What has happened to it so far."""
        return _all(self._connection, lambda after: calls.list_events(job, after=after))

    def stream(self, job: JobRef, *, after: str | None = None) -> Iterator[Event | JobProgress]:
        """What happens to it and how far it is, as it happens, until it has ended; broken connections are gone on with.

        Args:
            after: the id of the last event that is known already.
        """
        stream = EventStream(after)
        while True:
            error = None
            try:
                with self._connection.open(calls.stream_path(job), stream.headers) as response:
                    if not stream.begins(response):
                        return
                    for data in response.iter_bytes():
                        yield from stream.read(data)
            except httpx.TransportError as failure:
                error = failure
            _sleep(self._connection, stream.pause(error), error)

    def metrics(
        self,
        job: JobRef,
        *,
        interval: Interval = "step",
        keys: Sequence[str] | None = None,
        since_step: int = 0,
        max_points: int | None = None,
    ) -> Metrics:
        """Its curves: those named `keys`, or all; after `since_step`; thinned out to about `max_points` rows."""

        def after(step: int) -> Call[Metrics]:
            return calls.get_metrics(job, interval=interval, keys=keys, since_step=step, max_points=max_points)

        metrics = self._connection.send(after(since_step))
        while metrics.has_more:
            metrics = metrics.followed_by(self._connection.send(after(metrics.last_step or 0)))
        return metrics

    def save_metrics(
        self,
        job: JobRef,
        path: Path | str,
        *,
        format: Literal["csv", "parquet"] = "csv",  # noqa: A002
        interval: Interval = "step",
        keys: Sequence[str] | None = None,
    ) -> Path:
        """Write its curves into a file, whole or not at all.

        Raises:
            ConnectionFailed: the service was lost on the way.
        """
        what = calls.metrics_path(job, format, interval=interval, keys=keys)
        _save(self._connection, what, Path(path))
        return Path(path)

    def save_bundle(self, job: JobRef, path: Path | str, *, script: bool = True, data: bool = False) -> Path:
        """Write a zip of all that its run needs to be done again.

        Args:
            script: whether `train.py` is in it, which does the same without the service; raises `ConflictError` with a
                pointer to each technique that it cannot do to the letter.
            data: whether the packed data are in it.
        """
        _save(self._connection, calls.bundle_path(job, script=script, data=data), Path(path))
        return Path(path)

    def checkpoints(self, job: JobRef) -> Iterator[Checkpoint]:
        return _all(self._connection, lambda after: calls.list_checkpoints(job, after=after))


class Checkpoints:
    """Saved networks."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def get(self, checkpoint: CheckpointRef) -> Checkpoint:
        return self._connection.send(calls.get_checkpoint(checkpoint))

    def best(self, job: JobRef) -> Checkpoint:
        return self._connection.send(calls.get_named_checkpoint(job, "best"))

    def last(self, job: JobRef) -> Checkpoint:
        return self._connection.send(calls.get_named_checkpoint(job, "last"))

    def export(
        self,
        checkpoint: CheckpointRef,
        path: Path | str,
        *,
        format: Exported,  # noqa: A002
        timeout: float | None = None,
    ) -> Path:
        """Bring the network itself to `path`, verified; it takes stored pixels, numbers or tokens. A worker makes it.

        Raises:
            ConflictError: it has no such form; the message says why.
            WaitTimedOut: it was not made within `timeout` seconds.
        """
        deadline = waiting.Deadline(timeout)
        while not _save(self._connection, calls.export_path(checkpoint, format), Path(path)):
            deadline.refuse_late(f"the {format} of {checkpoint if isinstance(checkpoint, str) else checkpoint.id}")
            time.sleep(EXPORT_LOOK_SECONDS)
        return Path(path)

    def download(self, checkpoint: CheckpointRef, path: Path | str, progress: Progress | None = None) -> Path:
        """Bring the file to `path` (or into that folder), whole and verified or not at all. What an interrupted
        download left is gone on with."""
        checkpoint = checkpoint if isinstance(checkpoint, Checkpoint) else self.get(checkpoint)
        with Part(checkpoint, Path(path), progress) as part:
            failures = 0
            while not part.is_whole:
                had = part.size
                try:
                    with self._connection.open(calls.content_path(checkpoint), part.headers) as response:
                        part.begin(response)
                        for data in response.iter_raw():
                            part.take(data)
                    break
                except httpx.TransportError as error:
                    failures = 0 if part.size > had else failures
                    _sleep(self._connection, pause_before_retry(error, failures), error)
                    failures += 1
            return part.finish()


class Previews:
    """What a spec would do, shown before it runs. A worker makes them; a spec that could not run is refused as a job of
    it would be, with `ValidationError`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def schedule(self, spec: Spec, timeout: float | None = None) -> SchedulePreview:
        """The learning rate of every step; raises `PreviewFailed`, or `WaitTimedOut` after `timeout` seconds. So do the
        others."""
        return _wait(self._connection, waiting.for_preview(SchedulePreview, "schedule", spec, timeout))

    def augmentation(self, spec: Spec, timeout: float | None = None) -> AugmentationPreview:
        """The first examples as they are stored, and as the first step sees them; `save_picture` brings the picture."""
        return _wait(self._connection, waiting.for_preview(AugmentationPreview, "augmentation", spec, timeout))

    def initialization(self, spec: Spec, timeout: float | None = None) -> InitializationPreview:
        """How signals and gradients spread through the network at its start, and the verdict."""
        return _wait(self._connection, waiting.for_preview(InitializationPreview, "initialization", spec, timeout))

    def save_picture(self, preview: AugmentationPreview, path: Path | str) -> Path:
        """Write the PNG of an augmentation preview; data that are no images have none (`NotFoundError`)."""
        _save(self._connection, calls.picture_path(preview), Path(path))
        return Path(path)


class Projects:
    """Tenants: an admin key manages its own project and those that it has founded."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def list(self) -> Iterator[Project]:
        return _all(self._connection, lambda after: calls.list_projects(after=after))

    def get(self, project: str) -> Project:
        return self._connection.send(calls.get_project(project))

    def create(self, name: str, **limits: int | None) -> Project:
        """A new project and its first key, whose text is told here only."""
        return self._connection.send(calls.create_project(name, limits))

    def edit(self, project: str, *, name: str | None = None, **limits: int | None) -> Project:
        """Another name, other limits: what is not given stays, a limit of None is what the service's settings say."""
        return self._connection.send(calls.edit_project(project, name, limits))

    def usage(self, month: str | None = None, project: str | None = None) -> Sequence[Usage]:
        """What was used in a calendar month, this one unless said: `2026-11`."""
        return (self._connection.send(calls.get_usage(month, project))).data

    def audit(self) -> Iterator[AuditEntry]:
        """Who changed what, the newest first."""
        return _all(self._connection, lambda after: calls.list_audit(after=after))


class Keys:
    """Credentials of projects."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def create(self, name: str, scope: Scope = "submit", *, project: str | None = None) -> ApiKey:
        """A new key; its text is told here only."""
        return self._connection.send(calls.create_key(name, scope, project))

    def list(self, project: str | None = None) -> Sequence[ApiKey]:
        return (self._connection.send(calls.list_keys(project))).data

    def rotate(self, key: KeyRef, *, overlap_seconds: int = 0) -> ApiKey:
        """A new key in the place of another, which goes on opening what it opens for so many seconds."""
        return self._connection.send(calls.rotate_key(key, overlap_seconds))

    def revoke(self, key: KeyRef) -> ApiKey:
        return self._connection.send(calls.revoke_key(key))


def _save(connection: Connection, what: str, path: Path) -> bool:
    """Whether there was something to save yet."""
    try:
        with connection.open(what, {"Accept-Encoding": "identity"}) as response:
            if response.status_code == httpx.codes.ACCEPTED:
                return False
            with whole_file(path, response.headers.get("repr-digest")) as file:
                for data in response.iter_bytes():
                    file.write(data)
    except httpx.TransportError as error:
        raise connection.unreachable(error) from error
    return True


def _wait(connection: Connection, waits: Waiting[Thing]) -> Thing:
    call = next(waits)
    while True:
        try:
            call = waits.send(connection.send(call))
        except StopIteration as end:
            found: Thing = end.value
            return found


def _follow(connection: Connection, sending: Sending) -> Dataset:
    step = advance(sending)
    while isinstance(step, Call):
        try:
            outcome: object = connection.send(step)
        except ConflictError as error:
            outcome = error
        step = advance(sending, outcome)
    return step


def _all(connection: Connection, page_after: Callable[[str | None], Call[Page[Item]]]) -> Iterator[Item]:
    page = connection.send(page_after(None))
    yield from page.data
    while page.has_more:
        page = connection.send(page_after(page.last_id))
        yield from page.data


def _sleep(connection: Connection, seconds: float | None, error: httpx.TransportError | None) -> None:
    if seconds is None:
        assert error is not None
        raise connection.unreachable(error) from error
    time.sleep(seconds)
