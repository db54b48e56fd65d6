"""What the service answers with. Fields that a newer service adds are kept and can be read as attributes."""

from datetime import datetime
from typing import Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict

from .notebook import job_card, metrics_card

__all__ = [
    "ApiKey",
    "AuditEntry",
    "AugmentationPreview",
    "Catalog",
    "CatalogEntry",
    "CatalogFamily",
    "Checkpoint",
    "ComparedJob",
    "Comparison",
    "Dataset",
    "DatasetFailure",
    "Difference",
    "Estimate",
    "Event",
    "InitializationPreview",
    "Job",
    "JobFailure",
    "JobProgress",
    "JobUsage",
    "LogLine",
    "Metrics",
    "Page",
    "Preview",
    "Problem",
    "ProblemItem",
    "Project",
    "SchedulePreview",
    "SpecIssue",
    "Usage",
    "UsageReport",
    "Validation",
    "Version",
    "Worker",
]

Json = dict[str, Any]


class Resource(BaseModel):
    model_config = ConfigDict(frozen=True, extra="allow", use_attribute_docstrings=True)


Item = TypeVar("Item", bound=Resource)


class Page(Resource, Generic[Item]):
    """Some of a list, in order."""

    data: list[Item]
    has_more: bool = False
    first_id: str | None = None
    last_id: str | None = None


class Nothing(Resource):
    """What an answer without a body says."""


class ProblemItem(Resource):
    """One thing that is wrong with a request."""

    pointer: str | None = None
    """JSON pointer (RFC 6901) into what was sent; None when it is not about the body."""
    parameter: str | None = None
    """Name of the query, path or header parameter, when it is about one."""
    code: str
    detail: str
    allowed: list[Any] | None = None
    suggestion: str | None = None


class Problem(Resource):
    """Why a request was not served (RFC 9457)."""

    title: str
    status: int
    detail: str
    request_id: str | None = None
    errors: list[ProblemItem] = []


class DatasetFailure(Resource):
    """Why the upload could not be taken in, and where in it."""

    code: str
    detail: str


class Dataset(Resource):
    """Data to train on."""

    id: str
    name: str
    status: str
    """`uploading`, `queued`, `processing`, `ready` or `failed`."""
    status_reason: str
    filename: str | None = None
    upload_bytes: int | None = None
    upload_sha256: str | None = None
    content_sha256: str | None = None
    """Identity of the packed form: equal data have an equal one."""
    manifest: Json | None = None
    """What is in it, once it is ready: kind, classes, counts, shapes, statistics, skipped entries."""
    progress: Json | None = None
    failure: DatasetFailure | None = None
    created_at: datetime
    ready_at: datetime | None = None

    @property
    def is_finished(self) -> bool:
        """Whether it is `ready` or `failed`."""
        return self.status in ("ready", "failed")


class UploadPart(Resource):
    """A part of an upload that is there."""

    number: int
    bytes: int
    sha256: str


class UploadParts(Resource):
    """What is there of an upload by parts."""

    data: list[UploadPart]


class SignedPart(Resource):
    """The request that brings a part."""

    url: str
    headers: dict[str, str]


class Picture(Resource):
    """An image, small enough to look at."""

    height: int
    """Of the image as it is stored, in pixels."""
    width: int
    png: str | None = None
    """Base64; of a large image every n-th pixel."""

    def _repr_png_(self) -> str | None:
        """What a notebook shows."""
        return self.png


class Sample(Resource):
    """An example of a data set."""

    index: int
    """Its place in its split, from 0."""
    target: str | list[str] | list[float | None] | None = None
    """Its class, its labels, or the numbers that are predicted; None for a row of a table."""
    image: Picture | None = None
    values: list[float | None] | dict[str, str | float | None] | None = None
    """The numbers of a vector, or the cells of a row by the names of its columns."""
    left_out: int = 0
    """Numbers or columns beyond those that are shown."""


class SampleList(Resource):
    """Some examples of one split of a data set."""

    dataset_id: str
    split: str
    seed: int | None = None
    """Of the random order that they are in; None for their own."""
    data: list[Sample]
    has_more: bool
    examples: int
    """In the whole split."""


class JobFailure(Resource):
    """Why a job failed, and what to try."""

    code: str
    message: str
    advice: str | None = None
    owner: str
    """`user` or `platform`: who can mend it."""


class JobUsage(Resource):
    """What a job has taken."""

    device_seconds: float
    """Time that it has had a worker, over all attempts that have ended."""


class SpecIssue(Resource):
    """Something legal in a spec that is usually a mistake."""

    pointer: str
    code: str
    detail: str


class Job(Resource):
    """One training run."""

    id: str
    name: str | None = None
    tags: list[str] = []
    notes: str | None = None
    metadata: dict[str, str] = {}
    forked_from: str | None = None
    verifies: str | None = None
    """The job whose spec it began with."""
    status: str
    """`queued`, `starting`, `running`, `paused`, `succeeded`, `failed` or `cancelled`."""
    desired_state: str
    status_reason: str
    """One sentence: where it is and what it waits for."""
    queue_position: int | None = None
    progress: Json | None = None
    """`epoch`, `epochs`, `step`, `steps`, `samples_per_second`, `eta_seconds`, as far as known."""
    dataset_id: str
    spec: Json
    """What was sent."""
    resolved_spec: Json
    """What it means, with every default filled in."""
    spec_sha256: str
    warnings: list[SpecIssue] = []
    attempt: int
    """How many times a worker has taken it up."""
    environment: Json | None = None
    determinism: str | None = None
    applied: Json | None = None
    """What its techniques have really done so far, family by family as measured."""
    summary: Json | None = None
    """Once it has succeeded: `best` and `last` metrics, the `reason` of its end, and the `report` of the best
    evaluation (tables, confusions, calibration), which a list of jobs leaves out.
    """
    failure: JobFailure | None = None
    usage: JobUsage | None = None
    created_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None

    @property
    def is_finished(self) -> bool:
        """Whether it has `succeeded`, `failed` or been `cancelled`."""
        return self.status in ("succeeded", "failed", "cancelled")

    def _repr_html_(self) -> str:
        return job_card(self)


class Estimate(Resource):
    """What a run will take, before it runs."""

    parameters: int
    activation_bytes: int
    """The input of one batch and what every layer makes of it."""
    passes: int = 1
    """How often a step goes forward and backward through each of its batches: twice with `sam`."""
    memory_bytes: int | None = None
    """Parameters, gradients, the optimizer's averages, activations and their gradients, what an evaluation keeps."""
    steps: int
    steps_per_epoch: int
    checkpoint_bytes: int


class Validation(Resource):
    """What would become of a spec."""

    valid: bool
    errors: list[ProblemItem]
    warnings: list[SpecIssue]
    resolved_spec: Json | None = None
    estimate: Estimate | None = None


class Event(Resource):
    """Something that happened to a job."""

    id: str
    job_id: str
    sequence: int
    """Counts the events of a job from 1, without a gap."""
    type: str
    actor: str
    attempt: int
    data: Json
    created_at: datetime


class LogLine(Resource):
    """A line that a job's worker or its trainer wrote."""

    id: str
    job_id: str
    attempt: int
    source: str
    """`worker` or `trainer`."""
    level: str
    message: str
    logged_at: datetime


class ComparedJob(Resource):
    """What a job has come to."""

    id: str
    name: str | None = None
    status: str
    best: Json | None = None
    """Metrics of its best checkpoint."""
    last: Json | None = None
    """Metrics of its last epoch."""


class Difference(Resource):
    """A place at which the resolved specs differ."""

    pointer: str
    values: Json
    """Job → what its spec says there; a job is missing whose spec says nothing."""


class Noise(Resource):
    """A metric of jobs that differ in nothing but the seed."""

    count: int
    mean: float
    std: float | None = None
    """Sample standard deviation; None of fewer than two."""
    minimum: float
    maximum: float


class Repetition(Resource):
    """Jobs that differ in nothing but the seed, and by how much their best checkpoints differ."""

    jobs: list[str]
    metrics: dict[str, Noise]


class Comparison(Resource):
    """Jobs side by side."""

    jobs: list[ComparedJob]
    differences: list[Difference]
    repetitions: list[Repetition] = []


class JobProgress(Resource):
    """How far a job is."""

    job_id: str
    status: str
    progress: Json | None = None
    """As in `Job`."""


class Metrics(Resource):
    """Curves of a job, by column: `columns["step"]` and the others have one length."""

    job_id: str
    interval: Literal["step", "epoch", "layer"]
    columns: dict[str, list[float | int | None]]
    """A value that is missing or not finite is None."""
    nonfinite: dict[str, list[int]] = {}
    """Column → steps at which the value was not a finite number."""
    last_step: int | None = None
    """The newest step known: pass it as `since_step` to get what is new."""
    total_points: int = 0
    """Rows before downsampling."""
    has_more: bool = False
    downsampled: bool = False

    def to_pandas(self) -> Any:
        """As a `pandas.DataFrame` with `step` as its index; pandas must be installed.

        Missing and non-finite values are NaN.
        """
        import pandas

        return pandas.DataFrame(self.columns).set_index("step").astype(float)

    def _repr_html_(self) -> str:
        return metrics_card(self)

    def followed_by(self, more: "Metrics") -> "Metrics":
        """Both as one."""
        lengths = [len(part.columns["step"]) for part in (self, more)]
        columns = {
            name: [
                *self.columns.get(name, [None] * lengths[0]),
                *more.columns.get(name, [None] * lengths[1]),
            ]
            for name in {**self.columns, **more.columns}
        }
        flags = {
            name: [*self.nonfinite.get(name, []), *more.nonfinite.get(name, [])]
            for name in {**self.nonfinite, **more.nonfinite}
        }
        rows = {"columns": columns, "nonfinite": flags, "total_points": sum(lengths)}
        return more.model_copy(update=rows)


class Checkpoint(Resource):
    """A saved network, as a safetensors file."""

    id: str
    job_id: str
    attempt: int
    kind: str
    step: int
    epoch: int
    is_best: bool
    metrics: Json
    format: str = "safetensors"
    bytes: int
    sha256: str
    created_at: datetime


class CatalogEntry(Resource):
    """One technique: what it does and its parameters."""

    summary: str
    description: str = ""
    formula: str | None = None
    """What it computes."""
    reference: str | None = None
    """The paper or implementation it follows."""
    parameters: Json
    """Parameter → JSON Schema."""
    example: Json = {}


class CatalogFamily(Resource):
    """The techniques of one family."""

    family: str
    types: dict[str, CatalogEntry]


class Catalog(Resource):
    """Every technique that the service can train with."""

    families: dict[str, dict[str, CatalogEntry]]
    """Family → type → technique."""


class Worker(Resource):
    """A process that trains."""

    id: str
    status: str
    """`online` or `draining`."""
    device: str
    slots: int
    busy: int
    started_at: datetime
    seen_at: datetime


class Preview(Resource):
    """What a spec would do, shown before it runs."""

    id: str
    status: str
    """`queued`, `processing`, `ready` or `failed`."""
    status_reason: str
    """One sentence: what it waits for, or why there is none."""
    dataset_id: str
    created_at: datetime
    result: Json | None = None
    urls: dict[str, str] = {}
    """`picture`, where there is one."""

    @property
    def is_finished(self) -> bool:
        return self.status in ("ready", "failed")


class SchedulePreview(Preview):
    """`result` has the columns `steps` (counted from 1) and `learning_rate`, `first`, `lowest`, `peak` and `last`, and
    `notes` on what only the run can know."""


class AugmentationPreview(Preview):
    """`result` has the `operations`, with how many examples of the first batch each changed, and says how to read the
    `picture`: original examples above, as the first step sees them below."""


class InitializationPreview(Preview):
    """`result` has a `verdict` (`healthy`, `vanishing`, `exploding`, `dead`), `detail`, `advice` and the `layers`."""


class ApiKey(Resource):
    """A credential of a project."""

    id: str
    project_id: str
    name: str
    scope: str
    """`read`, `submit` or `admin`."""
    created_at: datetime
    revoked_at: datetime | None = None
    key: str | None = None
    """Its text, told once: in the answer to the request that made it."""


class Project(Resource):
    """A tenant."""

    id: str
    name: str
    founder_id: str | None = None
    limits: dict[str, int | None] = {}
    """`active_jobs`, `running_jobs`, `storage_bytes`, `requests_per_minute`; None for what the service's settings
    say."""
    created_at: datetime
    api_key: ApiKey | None = None
    """Its first key, in the answer to the request that made it."""


class Usage(Resource):
    """What a project has used in a calendar month (UTC)."""

    project_id: str
    month: str
    """`2026-11`."""
    device_seconds: float
    storage_bytes: int
    """As of now."""
    peak_storage_bytes: int


class UsageReport(Resource):
    """Usage of each project that a key manages."""

    data: list[Usage]


class AuditEntry(Resource):
    """Who changed what."""

    id: str
    project_id: str
    key_id: str
    action: str
    """The operation of the API: `deleteJob`."""
    target: str
    data: Json
    created_at: datetime


class Version(Resource):
    """What answers."""

    version: str
    api: str
    spec_version: int
