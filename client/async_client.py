"""The client for async code: the same shape as `Client`, with `await` and `async for`."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
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
from .connection import AsyncConnection
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

__all__ = ["AsyncClient"]


class AsyncClient:
    """A way to one service, as a context manager or until `close`.

    Args:
        base_url: where the service is. Unless said: `TRAINWRIGHT_URL`, the profile that `trainwright login` kept, or
            the service that `make up` runs on this machine.
        api_key: `tw_…`; unless said: `TRAINWRIGHT_API_KEY`, or the key that is kept for this address.
        transport: for tests: what to send requests through.
    """

    def __init__(
        self,
        base_url: str | None = None,
        api_key: str | None = None,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._connection = AsyncConnection(base_url, api_key, transport)
        self.datasets = AsyncDatasets(self._connection)
        self.jobs = AsyncJobs(self._connection)
        self.checkpoints = AsyncCheckpoints(self._connection)
        self.previews = AsyncPreviews(self._connection)
        self.projects = AsyncProjects(self._connection)
        self.keys = AsyncKeys(self._connection)

    async def catalog(self) -> Catalog:
        """Every technique that the service can train with."""
        return await self._connection.send(calls.get_catalog())

    async def catalog_family(self, family: str) -> CatalogFamily:
        return await self._connection.send(calls.get_catalog_family(family))

    async def workers(self) -> list[Worker]:
        return (await self._connection.send(calls.list_workers())).data

    async def version(self) -> Version:
        return await self._connection.send(calls.get_version())

    async def close(self) -> None:
        await self._connection.close()

    async def __aenter__(self) -> "AsyncClient":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()


class AsyncDatasets:
    """Data to train on."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def create(self, name: str) -> Dataset:
        """A data set that waits for its upload."""
        return await self._connection.send(calls.create_dataset(name))

    async def upload(
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
            return await _follow(self._connection, by_parts(file, name or file.stem, dataset, progress))
        dataset = dataset or await self.create(name or file.stem)
        sha256 = await asyncio.to_thread(file_sha256, file)
        try:
            return await self._connection.send(calls.upload(dataset, file, sha256, progress))
        except ConflictError:
            seen = await self.get(dataset)
            if seen.upload_sha256 == sha256.hex():  # it had arrived, and only the reply was lost
                return seen
            raise

    async def wait(
        self, dataset: DatasetRef, timeout: float | None = None, *, watch: Callable[[Dataset], None] | None = None
    ) -> Dataset:
        """The data set once it is ready; raises `DatasetFailed` if it cannot be, `WaitTimedOut` after `timeout`
        seconds.

        Args:
            watch: called with the data set whenever it has changed: `progress` says how far it is.
        """
        return await _wait(self._connection, waiting.for_dataset(dataset, timeout, watch))

    async def get(self, dataset: DatasetRef) -> Dataset:
        return await self._connection.send(calls.get_dataset(dataset))

    def list(self) -> AsyncIterator[Dataset]:
        """All data sets, the newest first."""
        return _all(self._connection, lambda after: calls.list_datasets(after=after))

    async def samples(
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
        return await self._connection.send(call)

    async def delete(self, dataset: DatasetRef) -> None:
        """Delete one that no job names; raises `ConflictError` if one does."""
        await self._connection.send(calls.delete_dataset(dataset))


class AsyncJobs:
    """Training runs."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def create(self, spec: Spec, **labels: Any) -> Job:
        """Start a run; raises `ValidationError` with every mistake of the spec.

        Args:
            labels: `tags`, `notes` and `metadata` of the job; nothing of it changes the run.
        """
        return await self._connection.send(calls.create_job(spec, labels))

    async def validate(self, spec: Spec) -> Validation:
        """What would become of a spec: mistakes, warnings, what it means in full, what it would take."""
        return await self._connection.send(calls.validate_job(spec))

    async def get(self, job: JobRef) -> Job:
        return await self._connection.send(calls.get_job(job))

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
    ) -> AsyncIterator[Job]:
        """The jobs that fit, the newest first; more are asked for as they are needed."""
        which = JobFilter(status, dataset, name, tags, metadata or {}, created_after, oldest_first)
        return _all(self._connection, lambda after: calls.list_jobs(which, after=after))

    async def edit(self, job: JobRef, **changes: Any) -> Job:
        """Change `name`, `tags`, `notes`, `metadata`: what is not given stays, None takes away."""
        return await self._connection.send(calls.edit_job(job, changes))

    async def fork(self, job: JobRef, changes: Mapping[str, Any], *, checkpoint: CheckpointRef | None = None) -> Job:
        """Start a run with this one's spec and some changes.

        Args:
            changes: a JSON Merge Patch (RFC 7396) of the spec: `{"optimizer": {"learning_rate": 0.05}}`.
            checkpoint: whose weights it starts from: `best` or `last` of the job, or any of the project.
        """
        return await self._connection.send(calls.fork_job(job, changes, checkpoint))

    async def compare(self, *jobs: JobRef) -> Comparison:
        """Where the specs of some jobs differ, and what each has come to."""
        return await self._connection.send(calls.compare_jobs(jobs))

    def logs(self, job: JobRef, *, source: Literal["worker", "trainer"] | None = None) -> AsyncIterator[LogLine]:
        """What its worker and its trainer wrote, the oldest first."""
        return _all(self._connection, lambda after: calls.list_logs(job, source=source, after=after))

    async def delete(self, job: JobRef) -> None:
        """Delete one that has ended, with its curves and checkpoints; raises `ConflictError` if it has not."""
        await self._connection.send(calls.delete_job(job))

    async def cancel(self, job: JobRef) -> Job:
        """Ask for its end; asking twice is the same as once."""
        return await self._connection.send(calls.cancel_job(job))

    async def pause(self, job: JobRef) -> Job:
        """Let a job rest: a running one is saved at its next step and leaves its worker."""
        return await self._connection.send(calls.pause_job(job))

    async def resume(self, job: JobRef) -> Job:
        """Let a paused job go on from where it was."""
        return await self._connection.send(calls.resume_job(job))

    async def retry(self, job: JobRef) -> Job:
        """Queue a job again that failed or was cancelled; it goes on from its newest checkpoint."""
        return await self._connection.send(calls.retry_job(job))

    async def verify(self, job: JobRef) -> Job:
        """Train the last stretch of one that has succeeded once more: `verification` in the new job's summary says
        whether the bits are the same."""
        return await self._connection.send(calls.verify_job(job))

    async def wait(self, job: JobRef, timeout: float | None = None) -> Job:
        """The job once it has succeeded; raises `JobFailed` if it ends otherwise, `WaitTimedOut` after `timeout`
        seconds."""
        return await _wait(self._connection, waiting.for_job(job, timeout))

    def events(self, job: JobRef) -> AsyncIterator[Event]:
        """What has happened to it so far."""
        return _all(self._connection, lambda after: calls.list_events(job, after=after))

    async def stream(self, job: JobRef, *, after: str | None = None) -> AsyncIterator[Event | JobProgress]:
        """What happens to it and how far it is, as it happens, until it has ended; broken connections are gone on with.

        Args:
            after: the id of the last event that is known already.
        """
        stream = EventStream(after)
        while True:
            error = None
            try:
                async with self._connection.open(calls.stream_path(job), stream.headers) as response:
                    if not stream.begins(response):
                        return
                    async for data in response.aiter_bytes():
                        for event in stream.read(data):
                            yield event
            except httpx.TransportError as failure:
                error = failure
            await _sleep(self._connection, stream.pause(error), error)

    async def metrics(
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

        metrics = await self._connection.send(after(since_step))
        while metrics.has_more:
            metrics = metrics.followed_by(await self._connection.send(after(metrics.last_step or 0)))
        return metrics

    async def save_metrics(
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
        await _save(self._connection, what, Path(path))
        return Path(path)

    async def save_bundle(self, job: JobRef, path: Path | str, *, script: bool = True, data: bool = False) -> Path:
        """Write a zip of all that its run needs to be done again.

        Args:
            script: whether `train.py` is in it, which does the same without the service; raises `ConflictError` with a
                pointer to each technique that it cannot do to the letter.
            data: whether the packed data are in it.
        """
        await _save(self._connection, calls.bundle_path(job, script=script, data=data), Path(path))
        return Path(path)

    def checkpoints(self, job: JobRef) -> AsyncIterator[Checkpoint]:
        return _all(self._connection, lambda after: calls.list_checkpoints(job, after=after))


class AsyncCheckpoints:
    """Saved networks."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def get(self, checkpoint: CheckpointRef) -> Checkpoint:
        return await self._connection.send(calls.get_checkpoint(checkpoint))

    async def best(self, job: JobRef) -> Checkpoint:
        return await self._connection.send(calls.get_named_checkpoint(job, "best"))

    async def last(self, job: JobRef) -> Checkpoint:
        return await self._connection.send(calls.get_named_checkpoint(job, "last"))

    async def export(
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
        while not await _save(self._connection, calls.export_path(checkpoint, format), Path(path)):
            deadline.refuse_late(f"the {format} of {checkpoint if isinstance(checkpoint, str) else checkpoint.id}")
            await asyncio.sleep(EXPORT_LOOK_SECONDS)
        return Path(path)

    async def download(self, checkpoint: CheckpointRef, path: Path | str, progress: Progress | None = None) -> Path:
        """Bring the file to `path` (or into that folder), whole and verified or not at all. What an interrupted
        download left is gone on with."""
        checkpoint = checkpoint if isinstance(checkpoint, Checkpoint) else await self.get(checkpoint)
        with Part(checkpoint, Path(path), progress) as part:
            failures = 0
            while not part.is_whole:
                had = part.size
                try:
                    async with self._connection.open(calls.content_path(checkpoint), part.headers) as response:
                        part.begin(response)
                        async for data in response.aiter_raw():
                            await asyncio.to_thread(part.take, data)
                    break
                except httpx.TransportError as error:
                    failures = 0 if part.size > had else failures
                    await _sleep(self._connection, pause_before_retry(error, failures), error)
                    failures += 1
            return await asyncio.to_thread(part.finish)


class AsyncPreviews:
    """What a spec would do, shown before it runs. A worker makes them; a spec that could not run is refused as a job of
    it would be, with `ValidationError`."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def schedule(self, spec: Spec, timeout: float | None = None) -> SchedulePreview:
        """The learning rate of every step; raises `PreviewFailed`, or `WaitTimedOut` after `timeout` seconds. So do the
        others."""
        return await _wait(self._connection, waiting.for_preview(SchedulePreview, "schedule", spec, timeout))

    async def augmentation(self, spec: Spec, timeout: float | None = None) -> AugmentationPreview:
        """The first examples as they are stored, and as the first step sees them; `save_picture` brings the picture."""
        return await _wait(self._connection, waiting.for_preview(AugmentationPreview, "augmentation", spec, timeout))

    async def initialization(self, spec: Spec, timeout: float | None = None) -> InitializationPreview:
        """How signals and gradients spread through the network at its start, and the verdict."""
        return await _wait(
            self._connection, waiting.for_preview(InitializationPreview, "initialization", spec, timeout)
        )

    async def save_picture(self, preview: AugmentationPreview, path: Path | str) -> Path:
        """Write the PNG of an augmentation preview; data that are no images have none (`NotFoundError`)."""
        await _save(self._connection, calls.picture_path(preview), Path(path))
        return Path(path)


class AsyncProjects:
    """Tenants: an admin key manages its own project and those that it has founded."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    def list(self) -> AsyncIterator[Project]:
        return _all(self._connection, lambda after: calls.list_projects(after=after))

    async def get(self, project: str) -> Project:
        return await self._connection.send(calls.get_project(project))

    async def create(self, name: str, **limits: int | None) -> Project:
        """A new project and its first key, whose text is told here only."""
        return await self._connection.send(calls.create_project(name, limits))

    async def edit(self, project: str, *, name: str | None = None, **limits: int | None) -> Project:
        """Another name, other limits: what is not given stays, a limit of None is what the service's settings say."""
        return await self._connection.send(calls.edit_project(project, name, limits))

    async def usage(self, month: str | None = None, project: str | None = None) -> Sequence[Usage]:
        """What was used in a calendar month, this one unless said: `2026-11`."""
        return (await self._connection.send(calls.get_usage(month, project))).data

    def audit(self) -> AsyncIterator[AuditEntry]:
        """Who changed what, the newest first."""
        return _all(self._connection, lambda after: calls.list_audit(after=after))


class AsyncKeys:
    """Credentials of projects."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def create(self, name: str, scope: Scope = "submit", *, project: str | None = None) -> ApiKey:
        """A new key; its text is told here only."""
        return await self._connection.send(calls.create_key(name, scope, project))

    async def list(self, project: str | None = None) -> Sequence[ApiKey]:
        return (await self._connection.send(calls.list_keys(project))).data

    async def rotate(self, key: KeyRef, *, overlap_seconds: int = 0) -> ApiKey:
        """A new key in the place of another, which goes on opening what it opens for so many seconds."""
        return await self._connection.send(calls.rotate_key(key, overlap_seconds))

    async def revoke(self, key: KeyRef) -> ApiKey:
        return await self._connection.send(calls.revoke_key(key))


async def _save(connection: AsyncConnection, what: str, path: Path) -> bool:
    """Whether there was something to save yet."""
    try:
        async with connection.open(what, {"Accept-Encoding": "identity"}) as response:
            if response.status_code == httpx.codes.ACCEPTED:
                return False
            with whole_file(path, response.headers.get("repr-digest")) as file:
                async for data in response.aiter_bytes():
                    file.write(data)
    except httpx.TransportError as error:
        raise connection.unreachable(error) from error
    return True


async def _wait(connection: AsyncConnection, waits: Waiting[Thing]) -> Thing:
    call = next(waits)
    while True:
        try:
            call = waits.send(await connection.send(call))
        except StopIteration as end:
            found: Thing = end.value
            return found


async def _follow(connection: AsyncConnection, sending: Sending) -> Dataset:
    step = await asyncio.to_thread(advance, sending)
    while isinstance(step, Call):
        try:
            outcome: object = await connection.send(step)
        except ConflictError as error:
            outcome = error
        step = await asyncio.to_thread(advance, sending, outcome)
    return step


async def _all(
    connection: AsyncConnection, page_after: Callable[[str | None], Call[Page[Item]]]
) -> AsyncIterator[Item]:
    page = await connection.send(page_after(None))
    for item in page.data:
        yield item
    while page.has_more:
        page = await connection.send(page_after(page.last_id))
        for item in page.data:
            yield item


async def _sleep(connection: AsyncConnection, seconds: float | None, error: httpx.TransportError | None) -> None:
    if seconds is None:
        assert error is not None
        raise connection.unreachable(error) from error
    await asyncio.sleep(seconds)
