"""Client of a Trainwright service: data in, jobs started, followed and waited for, checkpoints out.

from trainwright import Client

with Client() as client:
    dataset = client.datasets.wait(client.datasets.upload("digits.npz"))
    job = client.jobs.create({"dataset": {"id": dataset.id}, "network": {"type": "mlp", "widths": [64]},
                              "training": {"epochs": 5}})
    client.jobs.wait(job)
    client.checkpoints.download(client.checkpoints.best(job), "best.safetensors")
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .version import __version__

if TYPE_CHECKING:
    from .async_client import AsyncClient
    from .client import Client
    from .errors import (
        APIError,
        AuthenticationError,
        ConflictError,
        ConnectionFailed,
        DatasetFailed,
        DigestMismatch,
        JobFailed,
        NotFoundError,
        PermissionDenied,
        PreviewFailed,
        RateLimited,
        ServerError,
        TrainwrightError,
        ValidationError,
        WaitTimedOut,
    )
    from .resources import (
        ApiKey,
        AuditEntry,
        AugmentationPreview,
        Catalog,
        CatalogEntry,
        CatalogFamily,
        Checkpoint,
        ComparedJob,
        Comparison,
        Dataset,
        DatasetFailure,
        Difference,
        Estimate,
        Event,
        InitializationPreview,
        Job,
        JobFailure,
        JobProgress,
        JobUsage,
        LogLine,
        Metrics,
        Noise,
        Picture,
        Preview,
        ProblemItem,
        Project,
        Repetition,
        Sample,
        SampleList,
        SchedulePreview,
        SpecIssue,
        Usage,
        Validation,
        Version,
        Worker,
    )

__all__ = [
    "APIError",
    "ApiKey",
    "AsyncClient",
    "AuditEntry",
    "AugmentationPreview",
    "AuthenticationError",
    "Catalog",
    "CatalogEntry",
    "CatalogFamily",
    "Checkpoint",
    "Client",
    "ComparedJob",
    "Comparison",
    "ConflictError",
    "ConnectionFailed",
    "Dataset",
    "DatasetFailed",
    "DatasetFailure",
    "Difference",
    "DigestMismatch",
    "Estimate",
    "Event",
    "InitializationPreview",
    "Job",
    "JobFailed",
    "JobFailure",
    "JobProgress",
    "JobUsage",
    "LogLine",
    "Metrics",
    "Noise",
    "NotFoundError",
    "PermissionDenied",
    "Picture",
    "Preview",
    "PreviewFailed",
    "ProblemItem",
    "Project",
    "RateLimited",
    "Repetition",
    "Sample",
    "SampleList",
    "SchedulePreview",
    "ServerError",
    "SpecIssue",
    "TrainwrightError",
    "Usage",
    "Validation",
    "ValidationError",
    "Version",
    "WaitTimedOut",
    "Worker",
    "__version__",
]


def __getattr__(name: str) -> Any:
    """Names are loaded when they are first asked for: the command line shows its help without httpx and pydantic."""
    if name in __all__:
        for module in ("client", "async_client", "errors", "resources"):
            if hasattr(loaded := import_module(f".{module}", __name__), name):
                return globals().setdefault(name, getattr(loaded, name))
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
