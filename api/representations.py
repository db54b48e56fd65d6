"""Rows as resources."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar, assert_never

from api import resources
from api.resources import Item, Page
from models import tables, turns, usage
from models.database import Session
from models.jobs import Slots
from models.states import OWNED, DatasetState, ExportState, State, Wish

Shown = TypeVar("Shown", bound=resources.Preview)


@dataclass(frozen=True)
class Queue:
    """What waiting jobs wait for."""

    positions: dict[str, int]
    """Job → how many are ahead of it; those that are far behind are not there."""
    slots: Slots

    def reason(self, job: tables.Job) -> str:
        ahead = self.positions.get(job.id)
        if self.slots.all == 0:
            return "waiting for a worker: none is online"
        if ahead is None:
            return f"waiting for a worker: at least {turns.TURNS_COUNTED} jobs are ahead of it"
        if ahead:
            return f"waiting for a worker: {ahead} {'job is' if ahead == 1 else 'jobs are'} ahead of it"
        if self.slots.busy >= self.slots.all:
            return "next in line: waiting for a worker to get free"
        return "next in line: about to be taken up by a worker"


@dataclass(frozen=True)
class Context:
    """What is shown of jobs beside their own rows."""

    queue: Queue | None = None
    device_seconds: Mapping[str, float] = field(default_factory=dict)


def context_of(session: Session, rows: Sequence[tables.Job], *, seen_within: float) -> Context:
    seconds = usage.of_jobs(session, [row.id for row in rows if row.attempt > 0])
    return Context(_queue_of(session, rows, seen_within), seconds)


def _queue_of(session: Session, rows: Sequence[tables.Job], seen_within: float) -> Queue | None:
    """The queue as these jobs see it; None when none of them is in it."""
    waiting = [row.id for row in rows if row.state == State.QUEUED]
    if not waiting:
        return None
    return Queue(*turns.queue(session, waiting, seen_within))


JOB_PARTS = (
    *("cancel", "pause", "resume", "retry", "fork", "verify"),
    *("events", "stream", "logs", "metrics", "checkpoints", "bundle"),
)


def job_urls(job_id: str, dataset_id: str) -> dict[str, str]:
    path = f"/v1/jobs/{job_id}"
    return {"self": path, "dataset": f"/v1/datasets/{dataset_id}", **{part: f"{path}/{part}" for part in JOB_PARTS}}


def job(row: tables.Job, context: Context) -> resources.Job:
    queue = context.queue
    return resources.Job(
        id=row.id,
        name=row.name,
        tags=row.tags,
        notes=row.notes,
        metadata=row.labels,
        forked_from=row.forked_from,
        verifies=row.verifies["job"] if row.verifies else None,
        status=row.state,
        desired_state=row.desired_state,
        status_reason=_job_reason(row, queue),
        queue_position=queue.positions.get(row.id) if queue else None,
        progress=row.progress,
        dataset_id=row.dataset_id,
        spec=row.spec,
        resolved_spec=row.resolved_spec,
        spec_sha256=row.spec_sha256,
        warnings=[resources.SpecIssue(**warning) for warning in (row.warnings or {}).get("data", [])],
        attempt=row.attempt,
        environment=row.environment,
        determinism=row.determinism,
        applied=row.applied,
        summary=row.summary,
        failure=resources.JobFailure(**row.failure) if row.failure else None,
        usage=resources.JobUsage(device_seconds=context.device_seconds.get(row.id, 0.0)),
        created_at=row.created_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
        urls=job_urls(row.id, row.dataset_id),
    )


def listed_job(row: tables.Job, context: Context) -> resources.Job:
    """As one of many: its summary without the report, which may be long."""
    whole = job(row, context)
    summary = whole.summary and {name: value for name, value in whole.summary.items() if name != "report"}
    return whole.model_copy(update={"summary": summary})


def _job_reason(row: tables.Job, queue: Queue | None) -> str:
    if row.desired_state == Wish.CANCEL and not row.state.is_terminal:
        return "stopping: a cancel was asked for"
    if row.desired_state == Wish.PAUSE and row.state in OWNED:
        return "a pause was asked for: it is saving where it is"
    match row.state:
        case State.QUEUED if row.not_before is not None:
            return f"it was given back and is left in peace until {row.not_before:%H:%M:%S} UTC: its events say why"
        case State.QUEUED:
            return queue.reason(row) if queue else "waiting for a worker"
        case State.STARTING:
            return "a worker has taken it up and gets data and network ready"
        case State.RUNNING:
            return "training"
        case State.PAUSED:
            return "paused: it goes on from its newest checkpoint when it is resumed"
        case State.SUCCEEDED:
            return "trained to the end"
        case State.FAILED:
            return str((row.failure or {}).get("message", "failed"))
        case State.CANCELLED:
            return "cancelled"
        case _:
            assert_never(row.state)


def dataset(row: tables.Dataset) -> resources.Dataset:
    path = f"/v1/datasets/{row.id}"
    return resources.Dataset(
        id=row.id,
        name=row.name,
        status=row.state,
        status_reason=_dataset_reason(row),
        filename=row.filename,
        upload_bytes=row.upload_bytes,
        upload_sha256=row.upload_sha256,
        content_sha256=row.content_sha256,
        manifest=row.manifest,  # pydantic makes the model of it
        progress=row.progress,
        failure=resources.DatasetFailure(**row.failure) if row.failure else None,
        created_at=row.created_at,
        ready_at=row.ready_at,
        urls={"self": path, **{part: f"{path}/{part}" for part in ("content", "parts", "complete", "samples")}},
    )


def upload_part(row: tables.UploadPart) -> resources.UploadPart:
    return resources.UploadPart(number=row.number, bytes=row.bytes, sha256=row.sha256)


def _dataset_reason(row: tables.Dataset) -> str:
    match row.state:
        case DatasetState.UPLOADING:
            return "waiting for its upload"
        case DatasetState.QUEUED:
            return "uploaded: waiting for a worker to take it in"
        case DatasetState.PROCESSING:
            return "a worker is reading and checking it"
        case DatasetState.READY:
            return "ready to train on"
        case DatasetState.FAILED:
            return str((row.failure or {}).get("detail", "it could not be taken in"))
        case _:
            assert_never(row.state)


def event(row: tables.Event) -> resources.Event:
    return resources.Event(
        id=row.id,
        job_id=row.job_id,
        sequence=row.sequence,
        type=row.type,
        actor=row.actor,  # the row's CHECK has it
        attempt=row.attempt,
        data=row.data,
        created_at=row.created_at,
    )


def log_line(row: tables.LogLine) -> resources.LogLine:
    names = ("id", "job_id", "attempt", "source", "level", "message", "logged_at")
    return resources.LogLine.model_validate({name: getattr(row, name) for name in names})


def checkpoint(row: tables.Checkpoint) -> resources.Checkpoint:
    path = f"/v1/checkpoints/{row.id}"
    return resources.Checkpoint(
        id=row.id,
        job_id=row.job_id,
        attempt=row.attempt,
        kind=row.kind,
        step=row.step,
        epoch=row.epoch,
        is_best=row.is_best,
        metrics=row.metrics,
        bytes=row.weights_bytes,
        sha256=row.weights_sha256,
        created_at=row.created_at,
        urls={"self": path, "content": f"{path}/content", "job": f"/v1/jobs/{row.job_id}"},
    )


def export(row: tables.Export) -> resources.Export:
    return resources.Export.model_validate(
        {
            "id": row.id,
            "checkpoint_id": row.checkpoint_id,
            "format": row.format,
            "status": row.state,
            "created_at": row.created_at,
        }
    )


def preview(shown_as: type[Shown], row: tables.Preview, online: Slots) -> Shown:
    urls = {"picture": f"/v1/previews/{row.id}/picture"} if row.picture is not None else {}
    return shown_as.model_validate(
        {
            "id": row.id,
            "status": row.state,
            "status_reason": _preview_reason(row, online),
            "dataset_id": row.dataset_id,
            "created_at": row.created_at,
            "result": row.result,
            "urls": urls,
        }
    )


def _preview_reason(row: tables.Preview, online: Slots) -> str:
    match row.state:
        case ExportState.QUEUED if not online.all:
            return "waiting for a worker: none is online"
        case ExportState.QUEUED:
            return "waiting for a worker to get to it"
        case ExportState.PROCESSING:
            return "a worker is making it"
        case ExportState.READY:
            return "ready"
        case ExportState.FAILED:
            return str((row.failure or {}).get("reason", "it could not be made"))
        case _:
            assert_never(row.state)


def api_key(row: tables.ApiKey) -> resources.ApiKey:
    return resources.ApiKey(**_api_key(row))


def created_api_key(row: tables.ApiKey, text: str | None) -> resources.CreatedApiKey:
    return resources.CreatedApiKey(**_api_key(row), key=text)


def _api_key(row: tables.ApiKey) -> resources.Json:
    names = ("id", "project_id", "name", "scope", "created_at", "revoked_at")
    return {name: getattr(row, name) for name in names}


def project(row: tables.Project) -> resources.Project:
    return resources.Project(
        id=row.id, name=row.name, founder_id=row.founder_id, limits=limits(row), created_at=row.created_at
    )


def limits(row: tables.Project) -> resources.Limits:
    return resources.Limits.model_construct(**{name: getattr(row, name) for name in resources.Limits.model_fields})


def audit_entry(row: tables.Audit) -> resources.AuditEntry:
    names = ("id", "project_id", "key_id", "action", "target", "data", "created_at")
    return resources.AuditEntry(**{name: getattr(row, name) for name in names})


def worker(row: tables.Worker) -> resources.Worker:
    return resources.Worker(
        id=row.id,
        status=row.state,
        device=row.device,
        slots=row.slots,
        busy=row.busy,
        started_at=row.started_at,
        seen_at=row.seen_at,
    )


def page(items: list[Item], *, has_more: bool = False) -> Page[Item]:
    return Page[Item](
        data=items,
        has_more=has_more,
        first_id=items[0].id if items else None,
        last_id=items[-1].id if items else None,
    )
