"""What goes over the wire: the body of every reply, and of every request whose body is small.

The job spec itself is `models.spec.JobSpec`. Fields are only ever added; a client ignores those it does not know.
"""

from datetime import datetime
from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from models.spec.manifest import Manifest
from models.states import DatasetState, ExportState, FailureCode, State, Wish

Json = dict[str, Any]
Name = Annotated[str, StringConstraints(strict=True, min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]
KeyScope = Literal["read", "submit", "admin"]


class Resource(BaseModel):
    model_config = ConfigDict(
        frozen=True,
        use_attribute_docstrings=True,
        json_schema_serialization_defaults_required=True,  # what has a default is sent all the same
    )


class Identified(Resource):
    id: str


class Request(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


Item = TypeVar("Item", bound=Identified)


class Page(Resource, Generic[Item]):
    """Some of a list, in order. The next ones: the same request with `after=<last_id>`."""

    object: Literal["list"] = "list"
    data: list[Item]
    has_more: bool = False
    first_id: str | None = None
    last_id: str | None = None


class ProblemItem(Resource):
    """One thing that is wrong with a request."""

    pointer: str | None = None
    """JSON pointer (RFC 6901) into the body that was sent; absent when it is not about the body."""
    parameter: str | None = None
    """Name of the query, path or header parameter, when it is about one."""
    code: str
    detail: str
    allowed: list[Any] | None = None
    suggestion: str | None = None


class SdkError(Resource):
    """The same, where widely used SDKs look for it."""

    message: str
    type: str
    param: str | None = None
    code: str


class Problem(Resource):
    """Why a request was not served: `application/problem+json` (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    request_id: str | None = None
    errors: list[ProblemItem] = []
    error: SdkError


Whole = Annotated[int, Field(strict=True, ge=0, le=2**62)]


class Limits(Request):
    """What a project may. Null: what the service's settings say."""

    active_jobs: Whole | None = None
    """Queued and running jobs."""
    running_jobs: Whole | None = None
    """Jobs that run at once."""
    storage_bytes: Whole | None = None
    """Uploads, packed data sets and checkpoints."""
    requests_per_minute: Annotated[int, Field(strict=True, ge=1, le=10**9)] | None = None
    """Of each of its keys."""


class CreateProject(Request):
    name: Name
    limits: Limits = Limits()


class EditProject(Request):
    """A merge patch (RFC 7396): what is left out stays; a limit of null is what the service's settings say."""

    name: Name
    limits: Limits


class Project(Identified):
    """A tenant. Everything else belongs to one, and nobody sees another's."""

    object: Literal["project"] = "project"
    name: str
    founder_id: str | None
    """The project whose administrators manage it; null for one that the operator made."""
    limits: Limits
    created_at: datetime


class CreateApiKey(Request):
    name: Name
    scope: KeyScope = "submit"
    """`read` looks, `submit` also creates and cancels, `admin` also manages keys and projects."""
    project_id: Annotated[str, StringConstraints(strict=True, max_length=64)] | None = None
    """A project that yours has founded; your own unless said."""


class RotateApiKey(Request):
    overlap_seconds: Annotated[int, Field(strict=True, ge=0, le=7 * 24 * 3600)] = 0
    """How long the old key goes on opening what it opens."""


class ApiKey(Identified):
    """A credential of a project."""

    object: Literal["api_key"] = "api_key"
    project_id: str
    name: str
    scope: KeyScope
    created_at: datetime
    revoked_at: datetime | None = None


class CreatedApiKey(ApiKey):
    key: str | None
    """The key's text, shown this once: only its hash is kept. Null when an earlier answer is replayed."""


class CreatedProject(Project):
    api_key: CreatedApiKey
    """The first key of the project, with scope `admin`."""


class Usage(Resource):
    """What a project has used in a calendar month (UTC)."""

    object: Literal["usage"] = "usage"
    project_id: str
    month: str
    """`2026-11`."""
    device_seconds: float
    """Time that its jobs have had workers, from claim to end; those that run now are counted up to now."""
    storage_bytes: int
    """Uploads, packed data sets and checkpoints, as of now."""
    peak_storage_bytes: int
    """The most that was seen of them in that month: they are looked at after each upload and each attempt."""


class UsageReport(Resource):
    object: Literal["usage.report"] = "usage.report"
    data: list[Usage]
    """One for each project that the key manages."""


class AuditEntry(Identified):
    """Who changed what."""

    object: Literal["audit_entry"] = "audit_entry"
    project_id: str
    key_id: str
    action: str
    """The operation of this API: `deleteJob`."""
    target: str
    """The id of what was changed."""
    data: Json
    created_at: datetime


class CreateDataset(Request):
    name: Name


class DatasetFailure(Resource):
    """Why the upload could not be taken in, and where in it: `entry`, `row`, and in `skipped` the first hundred entries
    that were refused, each with its reason."""

    model_config = ConfigDict(frozen=True, extra="allow", use_attribute_docstrings=True)

    code: str
    detail: str


class Dataset(Identified):
    """Data to train on: created, uploaded, taken in by a worker, then `ready` or `failed`."""

    object: Literal["dataset"] = "dataset"
    name: str
    status: DatasetState
    status_reason: str
    """One sentence: where it is and what it waits for."""
    filename: str | None
    upload_bytes: int | None
    upload_sha256: str | None
    content_sha256: str | None
    """Identity of the packed form: equal data have an equal one."""
    manifest: Manifest | None
    """What is in it, once it is ready: kind, classes, counts, shapes, statistics, skipped entries."""
    progress: Json | None
    """How far a worker is with it: `done` of `total` images, rows or bytes of a `stage`."""
    failure: DatasetFailure | None
    created_at: datetime
    ready_at: datetime | None
    urls: dict[str, str]
    """Paths: `self`, `content`, `parts`, `complete`, `samples`."""


Sha256 = Annotated[str, StringConstraints(strict=True, pattern=r"^[0-9a-fA-F]{64}$", to_lower=True)]


class UploadPart(Resource):
    """One part of an upload. Behind one another, by number, they are the file."""

    number: int
    bytes: int
    sha256: str


class UploadParts(Resource):
    """What is there of an upload by parts."""

    object: Literal["list"] = "list"
    data: list[UploadPart]
    """By number; what is missing between them is still to be sent."""
    bytes: int
    """Of all of them."""


class SignPart(Request):
    bytes: Annotated[int, Field(strict=True, ge=1, le=5 * 1024**3)]
    sha256: Sha256


class SignedPart(Resource):
    """The request that brings a part: a `PUT` of its bytes."""

    url: str
    """Of the store itself, where it takes parts; then send no API key. Otherwise a path of this service."""
    headers: dict[str, str]
    """To be sent along, as they are."""
    expires_at: datetime
    """Until when the request can be begun."""


class CompleteUpload(Request):
    filename: Annotated[str, StringConstraints(strict=True, min_length=1, max_length=1000)]
    """Name of the file, with its ending."""
    sha256: Sha256
    """Of the whole file."""
    parts: Annotated[int, Field(strict=True, ge=1, le=1000)]
    """How many there are: 1 … `parts`."""


class Picture(Resource):
    """An image, small enough to look at."""

    height: int
    """Of the image as it is stored, in pixels."""
    width: int
    png: str | None
    """Base64; of a large image every n-th pixel. Null where it is too large to be read for this."""


class Sample(Resource):
    """An example of a data set."""

    index: int
    """Its place in its split, from 0."""
    target: str | list[str] | list[float | None] | None = None
    """Its class, its labels, or the numbers that are predicted; null for a row of a table, whose targets a job
    chooses."""
    image: Picture | None = None
    values: list[float | None] | dict[str, str | float | None] | None = None
    """The numbers of a vector, or the cells of a row by the names of its columns; null where nothing is."""
    left_out: int = 0
    """Numbers or columns beyond those that are shown."""


class SampleList(Resource):
    """Some examples of one split of a data set."""

    object: Literal["list"] = "list"
    dataset_id: str
    split: str
    seed: int | None
    """Of the random order that they are in; null for their own."""
    data: list[Sample]
    has_more: bool
    """Whether others follow: the same request with an `offset` that is greater by the length of this one."""
    examples: int
    """In the whole split."""


Tag = Annotated[str, StringConstraints(strict=True, min_length=1, max_length=64, pattern=r"^[^\x00-\x1f\x7f]+$")]
LabelName = Annotated[str, StringConstraints(strict=True, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
LabelValue = Annotated[str, StringConstraints(strict=True, max_length=500)]


class JobLabels(Request):
    """What can be said of a job beside its spec. Nothing of it changes the run."""

    tags: Annotated[tuple[Tag, ...], Field(max_length=32)] = ()
    notes: Annotated[str, StringConstraints(strict=True, max_length=10_000)] | None = None
    metadata: Annotated[dict[LabelName, LabelValue], Field(max_length=32)] = {}
    """Text by name, for your own use: `GET /v1/jobs?metadata[name]=text` finds it."""


class CreateJob(JobLabels):
    """A job spec, and what is said of the job beside it. OpenAPI has the words of the spec here too."""


class ForkJob(BaseModel):
    """A merge patch (RFC 7396) of a job's spec: what is left out stays, null takes away, a list is replaced whole."""

    model_config = ConfigDict(extra="allow")


class EditJob(JobLabels):
    """A merge patch (RFC 7396): what is left out stays, null takes away."""

    name: Name | None = None


class JobFailure(Resource):
    """Why a job failed, and what to try."""

    code: FailureCode
    message: str
    advice: str | None = None
    owner: Literal["user", "platform"]
    """Who can mend it."""


class JobUsage(Resource):
    """What a job has taken."""

    device_seconds: float
    """Time that it has had a worker, from claim to end, over all attempts that have ended."""


class SpecIssue(Resource):
    """Something legal in a spec that is usually a mistake."""

    pointer: str
    code: str
    detail: str


class Job(Identified):
    """One training run."""

    object: Literal["job"] = "job"
    name: str | None
    tags: list[str]
    notes: str | None
    metadata: dict[str, str]
    forked_from: str | None
    """The job whose spec it began with."""
    verifies: str | None
    """The job of which it trains the last stretch once more; its summary has the `verification`."""
    status: State
    desired_state: Wish
    status_reason: str
    """One sentence: where it is and what it waits for."""
    queue_position: int | None
    """Jobs ahead of it while it is queued, else null; null too for one that has a hundred of its project before it."""
    progress: Json | None
    """`epoch`, `epochs`, `step`, `steps`, `samples_per_second`, `eta_seconds`, as far as known."""
    dataset_id: str
    spec: Json
    """What was sent."""
    resolved_spec: Json
    """What it means, with every default filled in."""
    spec_sha256: str
    """sha256 of the resolved spec as canonical JSON (sorted keys, no spaces, UTF-8)."""
    warnings: list[SpecIssue]
    attempt: int
    """How many times a worker has taken it up."""
    environment: Json | None
    """Versions, device and threads of the attempt that ran last."""
    determinism: Literal["exact", "best_effort"]
    """`exact`: no interruption changed a bit; `best_effort`: it went on in another environment, see its events."""
    applied: Json | None
    """What its techniques have really done so far, as measured, family by family: how the weights of each layer started
    beside what was wanted, learning rates, examples that were augmented, shares dropped, clipped and skipped.
    """
    summary: Json | None
    """Once it has succeeded: `best` and `last` metrics, the `reason` of its end, and the `report` of the best
    evaluation (tables, confusions, calibration), which a list of jobs leaves out.
    """
    failure: JobFailure | None
    usage: JobUsage
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    urls: dict[str, str]
    """Paths: `self`, `dataset`, what can be asked of it (`cancel`, `pause`, `resume`, `retry`, `fork`, `verify`), what
    can be read (`events`, `stream`, `logs`, `metrics`, `checkpoints`, `bundle`).
    """


class Estimate(Resource):
    """What a run will take, before it runs."""

    model_config = ConfigDict(frozen=True, from_attributes=True, use_attribute_docstrings=True)

    parameters: int
    buffers: int
    """Numbers kept beside the parameters: running means and variances."""
    activation_bytes: int
    """The input of one batch and what every layer makes of it."""
    passes: int
    """How often a step goes forward and backward through each of its batches: twice with `sam`."""
    memory_bytes: int
    """Parameters, gradients, the optimizer's averages, activations and their gradients, what an evaluation keeps."""
    steps: int
    steps_per_epoch: int
    checkpoint_bytes: int


class Validation(Resource):
    """What would become of a spec, without making a job of it."""

    object: Literal["validation"] = "validation"
    valid: bool
    errors: list[ProblemItem]
    warnings: list[SpecIssue]
    resolved_spec: Json | None
    estimate: Estimate | None


class Event(Identified):
    """Something that happened to a job."""

    object: Literal["event"] = "event"
    job_id: str
    sequence: int
    """Counts the events of a job from 1, without a gap."""
    type: str
    actor: Literal["user", "worker", "reconciler"]
    attempt: int
    data: Json
    created_at: datetime


class LogLine(Identified):
    """A line that a job's worker or its trainer wrote."""

    object: Literal["log_line"] = "log_line"
    job_id: str
    attempt: int
    source: Literal["worker", "trainer"]
    level: str
    message: str
    logged_at: datetime


class ComparedJob(Identified):
    """What a job has come to."""

    name: str | None
    status: State
    best: Json | None
    """Metrics of its best checkpoint; null before the first."""
    last: Json | None
    """Metrics of its last epoch; null before the first."""


class Difference(Resource):
    """A place at which the resolved specs differ."""

    pointer: str
    """JSON pointer (RFC 6901) into the resolved specs."""
    values: dict[str, Any]
    """Job → what its spec says there; a job is missing whose spec says nothing."""


class Noise(Resource):
    """A metric of jobs that differ in nothing but the seed."""

    count: int
    mean: float
    std: float | None
    """Sample standard deviation; null of fewer than two."""
    minimum: float
    maximum: float


class Repetition(Resource):
    """Jobs that differ in nothing but the seed: how far apart they end is the noise of what they have in common."""

    jobs: list[str]
    metrics: dict[str, Noise]
    """Of their best checkpoints, so far as they have one."""


class Comparison(Resource):
    """Jobs side by side."""

    object: Literal["comparison"] = "comparison"
    jobs: list[ComparedJob]
    differences: list[Difference]
    repetitions: list[Repetition]


class JobProgress(Resource):
    """How far a job is: sent on its stream between the events."""

    object: Literal["job.progress"] = "job.progress"
    job_id: str
    status: State
    progress: Json | None


class Metrics(Resource):
    """Curves of a job, by column: `columns["step"]` and the others have one length."""

    object: Literal["metrics"] = "metrics"
    job_id: str
    interval: Literal["step", "epoch", "layer"]
    columns: dict[str, list[float | int | None]]
    """A value that is missing or not finite is null."""
    nonfinite: dict[str, list[int]]
    """Column → steps at which the value was not a finite number."""
    last_step: int | None
    """The last step that was looked at: pass it as `since_step` to go on, or to get what is new."""
    total_points: int
    """Rows after `since_step`, before downsampling; up to a chunk too many when there are more than are shown."""
    has_more: bool
    """Whether rows behind `last_step` are left for the next request."""
    downsampled: bool
    """Whether rows were left out. The smallest and the greatest value of every column in every bucket are kept."""


class Checkpoint(Identified):
    """A saved network, as a safetensors file."""

    object: Literal["checkpoint"] = "checkpoint"
    job_id: str
    attempt: int
    kind: str
    step: int
    epoch: int
    is_best: bool
    metrics: Json
    format: Literal["safetensors"] = "safetensors"
    bytes: int
    sha256: str
    created_at: datetime
    urls: dict[str, str]
    """Paths: `self`, `content`, `job`."""


class Export(Identified):
    """A checkpoint in another form, on its way."""

    object: Literal["export"] = "export"
    checkpoint_id: str
    format: Literal["onnx", "torch_export"]
    status: ExportState
    created_at: datetime


class Preview(Identified):
    """What a spec would do, shown before it runs."""

    status: ExportState
    status_reason: str
    """One sentence: what it waits for, or why there is none."""
    dataset_id: str
    created_at: datetime
    urls: dict[str, str]
    """Paths: `picture`, where there is one."""


class ScheduleCurve(Resource):
    """The learning rate over a run."""

    steps: list[int]
    """Counted from 1."""
    learning_rate: list[float]
    """At each of these steps: at most 1,000 points, turns and extremes among them."""
    total_steps: int
    steps_per_epoch: int
    first: float
    lowest: float
    peak: float
    last: float
    downsampled: bool
    """Whether steps were left out."""
    notes: list[str]
    """What only the run can know."""


class SchedulePreview(Preview):
    """The learning rate of every step, before it runs."""

    object: Literal["preview.schedule"] = "preview.schedule"
    result: ScheduleCurve | None


class PictureCell(Resource):
    """One example in the picture."""

    row: int
    column: int
    kind: Literal["original", "augmented"]
    example: int
    """Its row in the data set's training part."""
    label: str
    """Its class, or the shares of those that were mixed."""
    alt: str
    """A sentence in place of the picture."""


class PreviewPicture(Resource):
    """How to read the picture: cells of one size, in pixels, with gaps between them."""

    columns: int
    rows: int
    cell_width: int
    cell_height: int
    gap: int
    cells: list[PictureCell]


class ActingOperation(Resource):
    """What an entry of the augmentation did to the first batch."""

    pointer: str
    type: str
    acts: bool
    """Whether it acts in the first step: one may begin later."""
    examples: int
    """That it was offered."""
    chosen: int
    """That it was drawn to change."""
    changed: int
    """That are different now."""


class AugmentedExamples(Resource):
    """The first batch of a run."""

    examples: int
    operations: list[ActingOperation]
    picture: PreviewPicture | None
    """Null where the data are no images."""


class AugmentationPreview(Preview):
    """The first examples of a run, as stored and as its first step sees them."""

    object: Literal["preview.augmentation"] = "preview.augmentation"
    result: AugmentedExamples | None


Verdict = Literal["healthy", "vanishing", "exploding", "dead"]


class StartedLayer(Resource):
    """A layer with weights, before it has learned anything. A number that is not finite is null."""

    name: str
    start: str
    """How its weights start: a type of `initialization`, or `warm_start`."""
    shape: list[int]
    """Of its weights."""
    weight_mean: float | None
    weight_std: float | None
    activation_mean: float | None
    """Of its outputs, before the activation; null where they cannot be seen (in recurrent layers)."""
    activation_std: float | None
    dead_share: float | None
    """Units that no example gives a gradient."""
    gradient_norm: float | None
    """Of its weights; null where they are frozen."""
    verdict: Verdict
    detail: str


class StartedNetwork(Resource):
    """A network before its first step."""

    examples: int
    """That went through it."""
    loss: float | None
    verdict: Verdict
    """The worst of its layers'."""
    detail: str
    advice: str | None
    """What to try."""
    layers: list[StartedLayer]


class InitializationPreview(Preview):
    """How signals and gradients spread through a network at its start."""

    object: Literal["preview.initialization"] = "preview.initialization"
    result: StartedNetwork | None


class CatalogEntry(Resource):
    """One technique: what it does and its parameters."""

    model_config = ConfigDict(frozen=True, extra="allow", use_attribute_docstrings=True)

    summary: str
    description: str
    formula: str | None
    """What it computes."""
    reference: str | None
    """The paper or implementation it follows."""
    parameters: Json
    """Parameter → JSON Schema."""
    required: list[str]
    aliases: list[str]
    """Other names of the same."""
    example: Json


class CatalogFamily(Resource):
    object: Literal["catalog.family"] = "catalog.family"
    family: str
    types: dict[str, CatalogEntry]


class Catalog(Resource):
    object: Literal["catalog"] = "catalog"
    families: dict[str, dict[str, CatalogEntry]]
    """Family → type → technique."""


class Worker(Identified):
    """A process that trains."""

    object: Literal["worker"] = "worker"
    status: str
    """`online` or `draining`."""
    device: str
    slots: int
    busy: int
    started_at: datetime
    seen_at: datetime


class Health(Resource):
    status: Literal["ok"] = "ok"


class Readiness(Resource):
    """`ready` when database and object store can be used. Without the broker work still gets done, only later."""

    status: Literal["ready", "unready"]
    parts: dict[str, str]
    """`database`, `storage`, `broker` → `ok` or what is wrong with it."""


class Version(Resource):
    version: str
    api: Literal["v1"] = "v1"
    spec_version: Literal[1] = 1
