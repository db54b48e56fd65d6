"""One example of everything, made of the models themselves, so that none can be wrong in form."""

from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel

from api import VERSION
from api.representations import job_urls
from api.resources import (
    ActingOperation,
    ApiKey,
    AuditEntry,
    AugmentationPreview,
    AugmentedExamples,
    Catalog,
    CatalogEntry,
    CatalogFamily,
    Checkpoint,
    ComparedJob,
    Comparison,
    CreatedApiKey,
    CreatedProject,
    Dataset,
    Difference,
    Estimate,
    Event,
    Export,
    Health,
    Identified,
    InitializationPreview,
    Job,
    JobUsage,
    Limits,
    LogLine,
    Metrics,
    Noise,
    Page,
    Picture,
    PictureCell,
    PreviewPicture,
    Project,
    Readiness,
    Repetition,
    Sample,
    SampleList,
    ScheduleCurve,
    SchedulePreview,
    SignedPart,
    SpecIssue,
    StartedLayer,
    StartedNetwork,
    UploadPart,
    UploadParts,
    Usage,
    UsageReport,
    Validation,
    Version,
    Worker,
)
from models.spec import catalog
from models.spec.manifest import ArrayFile, ImageManifest, ImageSplit
from models.states import DatasetState, ExportState, State, Wish

Json = dict[str, Any]
_NUMBER = "0195f3a2b4c87d10a1b2c3d4e5f60718"
_JOB, _DATASET, _CHECKPOINT = f"job_{_NUMBER}", f"ds_{_NUMBER}", f"ckpt_{_NUMBER}"
_DATASET_PATH = f"/v1/datasets/{_DATASET}"
_SHA256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
_WHEN = datetime(2026, 11, 2, 9, 30, tzinfo=UTC)

SPEC: Json = {
    "spec_version": 1,
    "name": "digits, he + cosine",
    "dataset": {"id": _DATASET, "validation": {"fraction": 0.1}},
    "network": {"type": "cnn", "widths": [32, 64], "head": [128]},
    "initialization": {"type": "kaiming_normal"},
    "regularization": [{"type": "l2", "weight": 1e-4}, {"type": "dropout", "rate": 0.5}],
    "augmentation": [{"type": "rotation", "rotation": 10}],
    "optimizer": {"type": "sgd", "learning_rate": 0.1, "momentum": 0.9},
    "schedule": {"type": "cosine"},
    "clipping": {"type": "global_norm", "max_norm": 1.0},
    "training": {"epochs": 10, "batch_size": 128},
}
_WARNING = SpecIssue(
    pointer="/augmentation/0", code="flipped_digits", detail="A flipped digit is another digit, or none"
)
_RUNNING = Job(
    id=_JOB,
    name="digits, he + cosine",
    tags=["baseline"],
    notes=None,
    metadata={"team": "vision"},
    forked_from=None,
    verifies=None,
    status=State.RUNNING,
    desired_state=Wish.RUN,
    status_reason="training",
    queue_position=None,
    progress={"epoch": 3, "epochs": 10, "step": 38, "steps": 130, "samples_per_second": 8100.0, "eta_seconds": 1.5},
    dataset_id=_DATASET,
    spec=SPEC,
    resolved_spec={**SPEC, "seed": 0, "loss": {"type": "cross_entropy"}},
    spec_sha256=_SHA256,
    warnings=[_WARNING],
    attempt=1,
    environment={"torch": "2.13.0", "device": "cpu", "threads": 2},
    determinism="exact",
    applied={"schedule": {"type": "constant", "first": 0.05, "lowest": 0.05, "peak": 0.05, "last": 0.05}},
    summary=None,
    failure=None,
    usage=JobUsage(device_seconds=0.0),
    created_at=_WHEN,
    started_at=_WHEN,
    finished_at=None,
    urls=job_urls(_JOB, _DATASET),
)
_DATASET_PARTS = ("content", "parts", "complete", "samples")
_ARRAY = ArrayFile(path="train-inputs.npy", dtype="uint8", shape=(1797, 8, 8, 1), bytes=115136, sha256=_SHA256)
_READY = Dataset(
    id=_DATASET,
    name="optical digits",
    status=DatasetState.READY,
    status_reason="ready to train on",
    filename="digits.zip",
    upload_bytes=412_340,
    upload_sha256=_SHA256,
    content_sha256=_SHA256,
    manifest=ImageManifest(
        channels=1,
        size=(8, 8),
        classes=("0", "1"),
        mean=(0.305,),
        std=(0.376,),
        splits={"train": ImageSplit(examples=1797, inputs=_ARRAY, targets=_ARRAY, class_counts=(899, 898))},
    ),
    progress=None,
    failure=None,
    created_at=_WHEN,
    ready_at=_WHEN,
    urls={"self": _DATASET_PATH, **{part: f"{_DATASET_PATH}/{part}" for part in _DATASET_PARTS}},
)
_BEST = Checkpoint(
    id=_CHECKPOINT,
    job_id=_JOB,
    attempt=1,
    kind="epoch",
    step=39,
    epoch=3,
    is_best=True,
    metrics={"validation/accuracy": 0.983},
    bytes=845_120,
    sha256=_SHA256,
    created_at=_WHEN,
    urls={
        "self": f"/v1/checkpoints/{_CHECKPOINT}",
        "content": f"/v1/checkpoints/{_CHECKPOINT}/content",
        "job": f"/v1/jobs/{_JOB}",
    },
)
_KEY = ApiKey(id=f"key_{_NUMBER}", project_id=f"prj_{_NUMBER}", name="laptop", scope="submit", created_at=_WHEN)
_CREATED_KEY = CreatedApiKey(**_KEY.model_dump(), key=f"tw_{_NUMBER}_…")
_LIMITS = Limits(running_jobs=8, storage_bytes=10**12)
_PROJECT = Project(id=f"prj_{_NUMBER}", name="vision", founder_id=f"prj_{_NUMBER}", limits=_LIMITS, created_at=_WHEN)
_USAGE = Usage(
    project_id=_PROJECT.id, month="2026-11", device_seconds=86_400, storage_bytes=10**10, peak_storage_bytes=2 * 10**10
)
_ENTRY = AuditEntry(
    id=f"aud_{_NUMBER}",
    project_id=_PROJECT.id,
    key_id=f"key_{_NUMBER}",
    action="deleteJob",
    target=_JOB,
    data={},
    created_at=_WHEN,
)
_EVENT = Event(
    id=f"evt_{_NUMBER}",
    job_id=_JOB,
    sequence=3,
    type="job.started",
    actor="worker",
    attempt=1,
    data={"start_step": 0},
    created_at=_WHEN,
)
_LINE = LogLine(
    id=f"log_{_NUMBER}",
    job_id=_JOB,
    attempt=1,
    source="worker",
    level="info",
    message="checkpoint_saved step=39 kind=epoch",
    logged_at=_WHEN,
)
_BEST_METRICS = {"validation/accuracy": 0.983, "epoch": 3}
_COMPARED = ComparedJob(id=_JOB, name="he", status=State.SUCCEEDED, best=_BEST_METRICS, last=_BEST_METRICS)
_NOISE = Noise(count=3, mean=0.981, std=0.002, minimum=0.979, maximum=0.983)
_WORKER = Worker(id=f"wrk_{_NUMBER}", status="online", device="cuda", slots=1, busy=1, started_at=_WHEN, seen_at=_WHEN)
_TECHNIQUE = CatalogEntry.model_validate(catalog()["clipping"]["global_norm"])
_PART = UploadPart(number=1, bytes=67_108_864, sha256=_SHA256)
_EXPORT = Export(
    id=f"exp_{_NUMBER}", checkpoint_id=_CHECKPOINT, format="onnx", status=ExportState.PROCESSING, created_at=_WHEN
)
_PREVIEWED = {
    "id": f"prv_{_NUMBER}",
    "status": ExportState.READY,
    "status_reason": "ready",
    "dataset_id": _DATASET,
    "created_at": _WHEN,
    "urls": {},
}
_SCHEDULE_PREVIEW = SchedulePreview(
    **_PREVIEWED,
    result=ScheduleCurve(
        steps=[1, 2, 3], learning_rate=[0.1, 0.075, 0.025], total_steps=3, steps_per_epoch=3, first=0.1, lowest=0.025,
        peak=0.1, last=0.025, downsampled=False, notes=[],
    ),
)  # fmt: skip
_CELL = PictureCell(
    row=1, column=0, kind="augmented", example=17, label="3",
    alt="Example 17 of the training data, as the first step sees it: 3",
)  # fmt: skip
_AUGMENTATION_PREVIEW = AugmentationPreview(
    **{**_PREVIEWED, "urls": {"picture": f"/v1/previews/prv_{_NUMBER}/picture"}},
    result=AugmentedExamples(
        examples=128,
        operations=[
            ActingOperation(
                pointer="/augmentation/0", type="rotation", acts=True, examples=128, chosen=128, changed=128
            )
        ],
        picture=PreviewPicture(columns=8, rows=2, cell_width=96, cell_height=96, gap=4, cells=[_CELL]),
    ),
)
_INITIALIZATION_PREVIEW = InitializationPreview(
    **_PREVIEWED,
    result=StartedNetwork(
        examples=64,
        loss=2.41,
        verdict="healthy",
        detail="Signals and gradients keep their size from the first layer to the last.",
        advice=None,
        layers=[
            StartedLayer(
                name="output", start="kaiming_normal", shape=[10, 64], weight_mean=0.002, weight_std=0.177,
                activation_mean=0.1, activation_std=1.3, dead_share=0.0, gradient_norm=1.1, verdict="healthy",
                detail="Its outputs and its gradient have a size to learn with",
            )
        ],
    ),
)  # fmt: skip
_OTHERS: tuple[BaseModel, ...] = (
    _EXPORT,
    _SCHEDULE_PREVIEW,
    _AUGMENTATION_PREVIEW,
    _INITIALIZATION_PREVIEW,
    CatalogFamily(family="clipping", types={"global_norm": _TECHNIQUE}),
    Catalog(families={"clipping": {"global_norm": _TECHNIQUE}}),
    Comparison(
        jobs=[_COMPARED],
        differences=[Difference(pointer="/seed", values={_JOB: 0})],
        repetitions=[Repetition(jobs=[_JOB], metrics={"validation/accuracy": _NOISE})],
    ),
    CreatedProject(**_PROJECT.model_dump(), api_key=_CREATED_KEY),
    Health(),
    UsageReport(data=[_USAGE]),
    Metrics(
        job_id=_JOB,
        interval="step",
        columns={"step": [1, 2], "train/loss": [2.31, None]},
        nonfinite={"train/loss": [2]},
        last_step=2,
        total_points=2,
        has_more=False,
        downsampled=False,
    ),
    SampleList(
        dataset_id=_DATASET,
        split="train",
        seed=0,
        data=[Sample(index=1204, target="7", image=Picture(height=8, width=8, png="iVBORw0KGgo…"))],
        has_more=True,
        examples=1797,
    ),
    Readiness(status="ready", parts={"database": "ok", "storage": "ok", "broker": "ok"}),
    Validation(
        valid=True,
        errors=[],
        warnings=[_WARNING],
        resolved_spec=_RUNNING.resolved_spec,
        estimate=Estimate(
            parameters=151_306,
            buffers=192,
            activation_bytes=4_718_592,
            passes=1,
            memory_bytes=10_800_000,
            steps=130,
            steps_per_epoch=13,
            checkpoint_bytes=1_212_000,
        ),
    ),
    Version(version=VERSION),
    _PART,
    UploadParts(data=[_PART], bytes=_PART.bytes),
    SignedPart(
        url=f"https://store.example/bucket/datasets/{_DATASET}/uploads/upl_{_NUMBER}?X-Amz-Signature=…",
        headers={
            "content-length": str(_PART.bytes),
            "x-amz-checksum-sha256": "n4bQgYhMfWWaL+qgxVrQFaO/TxsrC4Is0V1sFbDwCgg=",
        },
        expires_at=_WHEN,
    ),
    _CREATED_KEY,
    _TECHNIQUE,
)
_LISTED: tuple[Identified, ...] = (_RUNNING, _READY, _BEST, _KEY, _PROJECT, _EVENT, _LINE, _WORKER, _ENTRY)


def _json(example: BaseModel) -> Json:
    return example.model_dump(mode="json")


EXAMPLES: dict[str, Json] = {
    "CreateJob": {**SPEC, "tags": ["baseline"], "metadata": {"team": "vision"}},
    "ForkJob": {"optimizer": {"learning_rate": 0.05}, "clipping": None},
    "EditJob": {"tags": ["baseline", "paper"], "notes": "the run of figure 3"},
    "CreateProject": {"name": "vision", "limits": {"running_jobs": 8}},
    "EditProject": {"limits": {"running_jobs": 8, "storage_bytes": None}},
    "RotateApiKey": {"overlap_seconds": 3600},
    "CreateApiKey": {"name": "laptop", "scope": "submit"},
    "CreateDataset": {"name": "optical digits"},
    "SignPart": {"bytes": 67_108_864, "sha256": _SHA256},
    "CompleteUpload": {"filename": "digits.zip", "sha256": _SHA256, "parts": 320},
    **{type(example).__name__: _json(example) for example in (*_LISTED, *_OTHERS)},
    **{
        f"Page_{type(example).__name__}_": _json(Page[Any](data=[example], first_id=example.id, last_id=example.id))
        for example in _LISTED
    },
}
"""Name of a schema → an example of it."""
