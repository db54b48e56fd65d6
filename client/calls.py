"""Every request of the API as a value: what is sent, and how its answer is read. Both clients send the same values."""

import json
import uuid
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar
from urllib.parse import quote

import httpx
from pydantic import BaseModel

from .download import Progress
from .resources import (
    ApiKey,
    AuditEntry,
    Catalog,
    CatalogFamily,
    Checkpoint,
    Comparison,
    Dataset,
    Event,
    Item,
    Job,
    LogLine,
    Metrics,
    Nothing,
    Page,
    Preview,
    Project,
    SampleList,
    SignedPart,
    UploadParts,
    UsageReport,
    Validation,
    Version,
    Worker,
)
from .retries import PATIENT_RETRIES, RETRIES

__all__ = ["Call", "JobFilter", "JobRef", "Spec"]

Reply = TypeVar("Reply", bound=BaseModel)
Previewed = TypeVar("Previewed", bound=Preview)
Spec = Mapping[str, Any] | BaseModel
"""A job spec: a dictionary, or `trainwright.spec.JobSpec`."""
Labels = Mapping[str, Any]
"""`tags`, `notes`, `metadata`."""
Limits = Mapping[str, int | None]
"""`active_jobs`, `running_jobs`, `storage_bytes`, `requests_per_minute`; None: what the service's settings say."""
Scope = Literal["read", "submit", "admin"]
KeyRef = ApiKey | str
JobRef = Job | str
DatasetRef = Dataset | str
CheckpointRef = Checkpoint | str
Interval = Literal["step", "epoch", "layer"]
Status = Literal["queued", "starting", "running", "paused", "succeeded", "failed", "cancelled"]

Exported = Literal["onnx", "torch_export"]
"""`torch_export` is PyTorch's `.pt2`: `torch.export.load` may run code that a file brings, so load only your own."""

PAGE_SIZE = 100
EXPORT_LOOK_SECONDS = 1.0
POLL_SECONDS = 30.0
"""How long the service is asked to hold a request that waits."""
READ_SECONDS = 60.0
READ_BYTES_PER_SECOND = 20e6
"""How fast a service reads an upload at least."""


@dataclass(frozen=True)
class Call(Generic[Reply]):
    """One request. It can be sent any number of times with the effect of one."""

    reply: type[Reply]
    method: str
    path: str
    query: Mapping[str, str | int | float | Sequence[str]] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes | None = None
    file: Path | None = None
    """A body that is streamed from here, instead of `content`."""
    span: tuple[int, int] | None = None
    """Which bytes of `file`: from, to; all, unless said."""
    patience: int = RETRIES
    """How often it is sent again at most."""
    progress: Progress | None = None
    """Is told how much of `file` was sent."""
    holds_seconds: float = 0.0
    """How long the service may take before it answers, on purpose."""

    def read(self, response: httpx.Response) -> Reply:
        return self.reply.model_validate_json(response.content or b"{}")

    @property
    def is_foreign(self) -> bool:
        """Whether it goes to somebody else, who is not to see our key."""
        return "://" in self.path

    @property
    def timeout(self) -> httpx.Timeout:
        return httpx.Timeout(READ_SECONDS, connect=10.0, read=READ_SECONDS + self.holds_seconds)


def create_dataset(name: str) -> Call[Dataset]:
    return _post(Dataset, "/v1/datasets", {"name": name})


def upload(dataset: DatasetRef, file: Path, sha256: bytes, progress: Progress | None = None) -> Call[Dataset]:
    headers = {
        "Content-Type": "application/octet-stream",
        "Content-Length": str(file.stat().st_size),
        "Repr-Digest": f"sha-256=:{b64encode(sha256).decode()}:",
    }
    path = f"/v1/datasets/{_id(dataset)}/content"
    return Call(Dataset, "PUT", path, {"filename": file.name}, headers, file=file, progress=progress)


def list_parts(dataset: DatasetRef) -> Call[UploadParts]:
    return Call(UploadParts, "GET", f"/v1/datasets/{_id(dataset)}/parts", patience=PATIENT_RETRIES)


def sign_part(dataset: DatasetRef, number: int, size: int, sha256: str) -> Call[SignedPart]:
    path = f"/v1/datasets/{_id(dataset)}/parts/{number}/sign"
    return replace(_post(SignedPart, path, {"bytes": size, "sha256": sha256}), patience=PATIENT_RETRIES)


def send_part(signed: SignedPart, file: Path, span: tuple[int, int], progress: Progress | None) -> Call[Nothing]:
    return Call(
        Nothing, "PUT", signed.url, headers=signed.headers, file=file, span=span, progress=progress,
        patience=PATIENT_RETRIES,
    )  # fmt: skip


def complete_upload(dataset: DatasetRef, file: Path, sha256: str, parts: int) -> Call[Dataset]:
    """The service reads all of it before it answers."""
    call = _post(
        Dataset,
        f"/v1/datasets/{_id(dataset)}/complete",
        {"filename": file.name, "sha256": sha256, "parts": parts},
    )
    return replace(call, patience=PATIENT_RETRIES, holds_seconds=file.stat().st_size / READ_BYTES_PER_SECOND)


def get_dataset(dataset: DatasetRef, *, wait: float = 0.0) -> Call[Dataset]:
    return _waiting(Dataset, f"/v1/datasets/{_id(dataset)}", wait)


def list_datasets(*, after: str | None = None) -> Call[Page[Dataset]]:
    return _page(Page[Dataset], "/v1/datasets", after)


def delete_dataset(dataset: DatasetRef) -> Call[Nothing]:
    return Call(Nothing, "DELETE", f"/v1/datasets/{_id(dataset)}")


def list_samples(
    dataset: DatasetRef, *, split: str, seed: int | None, offset: int, limit: int, index: Sequence[int]
) -> Call[SampleList]:
    query: dict[str, str | int | float | Sequence[str]] = {"split": split, "offset": offset, "limit": limit}
    if seed is not None:
        query["seed"] = seed
    if index:
        query["index"] = [str(place) for place in index]
    return Call(SampleList, "GET", f"/v1/datasets/{_id(dataset)}/samples", query)


def create_job(spec: Spec, labels: Labels) -> Call[Job]:
    return _post(Job, "/v1/jobs", {**_as_json(spec), **labels})


def edit_job(job: JobRef, changes: Labels) -> Call[Job]:
    headers = {"Content-Type": "application/merge-patch+json"}
    return Call(Job, "PATCH", f"/v1/jobs/{_id(job)}", headers=headers, content=_dump(changes))


def fork_job(job: JobRef, changes: Mapping[str, Any], checkpoint: CheckpointRef | None) -> Call[Job]:
    call = _post(Job, f"/v1/jobs/{_id(job)}/fork", dict(changes))
    return call if checkpoint is None else replace(call, query={"checkpoint": _id(checkpoint)})


def compare_jobs(jobs: Sequence[JobRef]) -> Call[Comparison]:
    return Call(Comparison, "GET", "/v1/compare", {"jobs": ",".join(_id(job) for job in jobs)})


def list_logs(job: JobRef, *, source: str | None, after: str | None = None) -> Call[Page[LogLine]]:
    return _page(Page[LogLine], f"/v1/jobs/{_id(job)}/logs", after, {"source": source} if source else {})


def delete_job(job: JobRef) -> Call[Nothing]:
    return Call(Nothing, "DELETE", f"/v1/jobs/{_id(job)}")


def validate_job(spec: Spec) -> Call[Validation]:
    return _post(Validation, "/v1/jobs/validate", _as_json(spec))


def preview(reply: type[Previewed], kind: str, spec: Spec, *, wait: float) -> Call[Previewed]:
    call = _post(reply, f"/v1/previews/{kind}", _as_json(spec))
    return replace(call, query={"wait": wait}, holds_seconds=wait)


def get_job(job: JobRef, *, wait: float = 0.0) -> Call[Job]:
    return _waiting(Job, f"/v1/jobs/{_id(job)}", wait)


@dataclass(frozen=True)
class JobFilter:
    """Which jobs are listed: those to which everything that is given applies."""

    status: Status | None = None
    dataset: DatasetRef | None = None
    name: str | None = None
    tags: Sequence[str] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)
    created_after: datetime | None = None
    oldest_first: bool = False

    def query(self) -> dict[str, str | Sequence[str]]:
        found: dict[str, str | Sequence[str] | None] = {
            "status": self.status,
            "dataset": None if self.dataset is None else _id(self.dataset),
            "name": self.name,
            "tag": list(self.tags) or None,
            "created_after": None if self.created_after is None else self.created_after.isoformat(),
            "order": "asc" if self.oldest_first else None,
            **{f"metadata[{name}]": value for name, value in self.metadata.items()},
        }
        return {name: value for name, value in found.items() if value is not None}


def list_jobs(which: JobFilter, *, after: str | None = None) -> Call[Page[Job]]:
    return _page(Page[Job], "/v1/jobs", after, which.query())


def cancel_job(job: JobRef) -> Call[Job]:
    return _post(Job, f"/v1/jobs/{_id(job)}/cancel", {})


def pause_job(job: JobRef) -> Call[Job]:
    return _post(Job, f"/v1/jobs/{_id(job)}/pause", {})


def resume_job(job: JobRef) -> Call[Job]:
    return _post(Job, f"/v1/jobs/{_id(job)}/resume", {})


def retry_job(job: JobRef) -> Call[Job]:
    return _post(Job, f"/v1/jobs/{_id(job)}/retry", {})


def verify_job(job: JobRef) -> Call[Job]:
    return _post(Job, f"/v1/jobs/{_id(job)}/verify", {})


def list_events(job: JobRef, *, after: str | None = None) -> Call[Page[Event]]:
    return _page(Page[Event], f"/v1/jobs/{_id(job)}/events", after)


def get_metrics(
    job: JobRef,
    *,
    interval: Interval,
    keys: Sequence[str] | None,
    since_step: int,
    max_points: int | None,
) -> Call[Metrics]:
    query: dict[str, str | int | float] = {"interval": interval, "since_step": since_step}
    if keys is not None:
        query["keys"] = ",".join(keys)
    if max_points is not None:
        query["max_points"] = max_points
    return Call(Metrics, "GET", f"/v1/jobs/{_id(job)}/metrics", query)


def metrics_path(
    job: JobRef, format_: Literal["csv", "parquet"], *, interval: Interval, keys: Sequence[str] | None
) -> str:
    query = {"format": format_, "interval": interval, **({} if keys is None else {"keys": ",".join(keys)})}
    return f"/v1/jobs/{_id(job)}/metrics?{httpx.QueryParams(query)}"


def bundle_path(job: JobRef, *, script: bool, data: bool) -> str:
    return f"/v1/jobs/{_id(job)}/bundle?{httpx.QueryParams({'script': script, 'data': data})}"


def list_checkpoints(job: JobRef, *, after: str | None = None) -> Call[Page[Checkpoint]]:
    return _page(Page[Checkpoint], f"/v1/jobs/{_id(job)}/checkpoints", after)


def get_checkpoint(checkpoint: CheckpointRef) -> Call[Checkpoint]:
    return Call(Checkpoint, "GET", f"/v1/checkpoints/{_id(checkpoint)}")


def get_named_checkpoint(job: JobRef, name: Literal["best", "last"]) -> Call[Checkpoint]:
    return Call(Checkpoint, "GET", f"/v1/jobs/{_id(job)}/checkpoints/{name}")


def get_catalog() -> Call[Catalog]:
    return Call(Catalog, "GET", "/v1/catalog")


def get_catalog_family(family: str) -> Call[CatalogFamily]:
    return Call(CatalogFamily, "GET", f"/v1/catalog/{quote(family, safe='')}")


def list_workers() -> Call[Page[Worker]]:
    return Call(Page[Worker], "GET", "/v1/workers")


def list_projects(*, after: str | None = None) -> Call[Page[Project]]:
    return _page(Page[Project], "/v1/projects", after)


def get_project(project: str) -> Call[Project]:
    return Call(Project, "GET", f"/v1/projects/{_id(project)}")


def create_project(name: str, limits: Limits) -> Call[Project]:
    return _post(Project, "/v1/projects", {"name": name, "limits": limits})


def edit_project(project: str, name: str | None, limits: Limits) -> Call[Project]:
    headers = {"Content-Type": "application/merge-patch+json"}
    changes = {"limits": limits, **({"name": name} if name is not None else {})}
    return Call(Project, "PATCH", f"/v1/projects/{_id(project)}", headers=headers, content=_dump(changes))


def list_keys(project: str | None) -> Call[Page[ApiKey]]:
    return Call(Page[ApiKey], "GET", "/v1/api-keys", {"project": project} if project else {})


def create_key(name: str, scope: Scope, project: str | None) -> Call[ApiKey]:
    return _post(ApiKey, "/v1/api-keys", {"name": name, "scope": scope, "project_id": project})


def rotate_key(key: KeyRef, overlap_seconds: int) -> Call[ApiKey]:
    return _post(ApiKey, f"/v1/api-keys/{_id(key)}/rotate", {"overlap_seconds": overlap_seconds})


def revoke_key(key: KeyRef) -> Call[ApiKey]:
    return Call(ApiKey, "DELETE", f"/v1/api-keys/{_id(key)}")


def get_usage(month: str | None, project: str | None) -> Call[UsageReport]:
    query = {"month": month, "project": project}
    return Call(UsageReport, "GET", "/v1/usage", {name: value for name, value in query.items() if value is not None})


def list_audit(*, after: str | None = None) -> Call[Page[AuditEntry]]:
    return _page(Page[AuditEntry], "/v1/audit", after)


def get_version() -> Call[Version]:
    return Call(Version, "GET", "/version")


def content_path(checkpoint: Checkpoint) -> str:
    return f"/v1/checkpoints/{checkpoint.id}/content"


def export_path(checkpoint: CheckpointRef, format_: Exported) -> str:
    return f"/v1/checkpoints/{_id(checkpoint)}/content?{httpx.QueryParams({'format': format_})}"


def picture_path(preview: Preview) -> str:
    return f"/v1/previews/{preview.id}/picture"


def stream_path(job: JobRef) -> str:
    return f"/v1/jobs/{_id(job)}/stream"


def _id(thing: Job | Dataset | Checkpoint | ApiKey | str) -> str:
    return quote(thing if isinstance(thing, str) else thing.id, safe="")


def _post(reply: type[Reply], path: str, body: Any) -> Call[Reply]:
    """The key is made here, once: sent again, the call is still the same request."""
    headers = {"Content-Type": "application/json", "Idempotency-Key": str(uuid.uuid4())}
    return Call(reply, "POST", path, headers=headers, content=_dump(body))


def _dump(body: Any) -> bytes:
    return json.dumps(body, allow_nan=False).encode()


def _waiting(reply: type[Reply], path: str, wait: float) -> Call[Reply]:
    return Call(reply, "GET", path, {"wait": wait} if wait else {}, holds_seconds=wait)


def _page(
    reply: type[Page[Item]], path: str, after: str | None, filters: Mapping[str, str | Sequence[str]] | None = None
) -> Call[Page[Item]]:
    return Call(reply, "GET", path, {"limit": PAGE_SIZE, **(filters or {}), **({"after": after} if after else {})})


def _as_json(spec: Spec) -> Any:
    if isinstance(spec, BaseModel):
        return spec.model_dump(mode="json", exclude_none=True)
    return dict(spec)
