"""Everything that can go wrong, as one tree.

TrainwrightError
├── APIError                the service refused: status, title, detail, request_id, errors
│   ├── AuthenticationError     401: no key, or not a valid one
│   ├── PermissionDenied        403: the key's scope does not allow it
│   ├── NotFoundError           404: it does not exist, or belongs to somebody else
│   ├── ConflictError           409: not possible in the state it is in
│   ├── ValidationError         422: every mistake at once, each with pointer and suggestion
│   ├── RateLimited             429: too much at once; retry_after says when to come back
│   └── ServerError             5xx: the service's own fault
├── ConnectionFailed        no answer, or none that is the service's
├── DatasetFailed           the data set could not be taken in
├── DigestMismatch          what arrived is not what was stored
├── JobFailed               the job did not succeed
├── PreviewFailed           the preview could not be made
└── WaitTimedOut            it is still not finished
"""

from datetime import timedelta
from pathlib import Path

from .resources import Dataset, Job, Preview, Problem, ProblemItem

__all__ = [
    "APIError",
    "AuthenticationError",
    "ConflictError",
    "ConnectionFailed",
    "DatasetFailed",
    "DigestMismatch",
    "JobFailed",
    "NotFoundError",
    "PermissionDenied",
    "PreviewFailed",
    "RateLimited",
    "ServerError",
    "TrainwrightError",
    "ValidationError",
    "WaitTimedOut",
    "error_of",
]


class TrainwrightError(Exception):
    """What all of them are."""


class APIError(TrainwrightError):
    """The service answered, and refused."""

    def __init__(self, problem: Problem, *, retry_after: float | None = None) -> None:
        self.status = problem.status
        self.title = problem.title
        self.detail = problem.detail
        self.errors: tuple[ProblemItem, ...] = tuple(problem.errors)
        self.request_id = problem.request_id
        self.retry_after = retry_after
        """Seconds after which the service says it is worth another try."""
        super().__init__("\n".join([f"{self.status} {self.title}: {self.detail}", *map(_line, self.errors)]))


class AuthenticationError(APIError):
    """There was no key, or it is not a valid one."""


class PermissionDenied(APIError):
    """The key's scope does not allow it."""


class NotFoundError(APIError):
    """It does not exist, or belongs to somebody else: the service does not tell which."""


class ConflictError(APIError):
    """It is not possible in the state that the job or data set is in."""


class ValidationError(APIError):
    """What was sent is not valid. `errors` has every mistake, each with `pointer` and, where there is one,
    `suggestion`."""


class RateLimited(APIError):
    """Too much at once; `retry_after` says when to come back."""


class ServerError(APIError):
    """The service's own fault."""


class ConnectionFailed(TrainwrightError):
    """The service did not answer, or something else answered in its place."""


class DatasetFailed(TrainwrightError):
    """The data set could not be taken in; `dataset.failure` says why."""

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset
        super().__init__(f"data set {dataset.id} failed: {dataset.failure.detail if dataset.failure else 'unknown'}")


class DigestMismatch(TrainwrightError):
    """The bytes that arrived do not have the sha256 that was promised. They have been deleted."""

    def __init__(self, path: Path, *, expected: str, found: str) -> None:
        self.expected, self.found = expected, found
        super().__init__(f"{path}: sha256 is {found}, not {expected}")


class JobFailed(TrainwrightError):
    """The job ended without success; `job.failure` says why, and what to try."""

    def __init__(self, job: Job) -> None:
        self.job = job
        advice = f" ({job.failure.advice})" if job.failure and job.failure.advice else ""
        reason = f": {job.failure.code}: {job.failure.message}{advice}" if job.failure else ""
        super().__init__(f"job {job.id} {job.status}{reason}")


class PreviewFailed(TrainwrightError):
    """The preview could not be made; the message says why. The spec may run all the same."""

    def __init__(self, preview: Preview) -> None:
        self.preview = preview
        super().__init__(f"there is no preview: {preview.status_reason}")


class WaitTimedOut(TrainwrightError):
    """It is still not finished; it goes on without us."""

    def __init__(self, what: str, seconds: float) -> None:
        super().__init__(f"{what} was not finished after {timedelta(seconds=round(seconds))}")


def error_of(problem: Problem, retry_after: float | None) -> APIError:
    """The error of the tree that a refusal is."""
    kinds = {
        401: AuthenticationError,
        403: PermissionDenied,
        404: NotFoundError,
        409: ConflictError,
        422: ValidationError,
        429: RateLimited,
    }
    kind = ServerError if problem.status >= 500 else kinds.get(problem.status, APIError)
    return kind(problem, retry_after=retry_after)


def _line(item: ProblemItem) -> str:
    where = item.pointer if item.pointer is not None else item.parameter
    return f"  {where or 'body'}: {item.detail}" + (f" (did you mean {item.suggestion}?)" if item.suggestion else "")
