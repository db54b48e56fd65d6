"""What a user may do to a job on its way: cancel it, let it rest, let it go on, try it again."""

from collections.abc import Callable
from functools import partial

from fastapi import APIRouter, Response

from api import representations
from api.dependencies import JobId, Services, ServicesDep, Submitter
from api.errors import Conflict, NotFound
from api.idempotent import Done, Once, OnceWithoutBodyDep, accepted
from api.openapi import also
from api.quotas import require_room_for_job
from api.resources import Job
from models import audit, jobs, tables
from models.database import Session
from models.projects import Caller
from models.states import FailureCode, State

router = APIRouter(tags=["jobs"], prefix="/v1/jobs/{job_id}")
Ask = Callable[[Session, str, str], tables.Job | None]


@router.post("/cancel", status_code=202, response_model=Job, responses=also(409))
def cancel_job(caller: Submitter, services: ServicesDep, once: OnceWithoutBodyDep, job_id: JobId) -> Response:
    """Cancel a job.

    What waits is cancelled at once; a running job stops at its next step. Asking twice is the same as asking once; a
    job that has ended already is a 409.
    """

    def refusal(job: tables.Job) -> Conflict | None:
        return None if job.state is State.CANCELLED else _ended(job)

    return _steer(services, once, caller, "cancelJob", job_id, jobs.request_cancel, refusal)


@router.post("/pause", status_code=202, response_model=Job, responses=also(409))
def pause_job(caller: Submitter, services: ServicesDep, once: OnceWithoutBodyDep, job_id: JobId) -> Response:
    """Let a job rest.

    What is queued rests at once; a running job is saved at its next step and leaves its worker to others. Asking twice
    is the same as asking once.
    """
    return _steer(services, once, caller, "pauseJob", job_id, jobs.request_pause, _ended_or_ending)


@router.post("/resume", status_code=202, response_model=Job, responses=also(409))
def resume_job(caller: Submitter, services: ServicesDep, once: OnceWithoutBodyDep, job_id: JobId) -> Response:
    """Let a paused job go on from where it was; it ends with the same bits as if it had never been paused.

    A job that is not paused stays as it is.
    """
    return _steer(services, once, caller, "resumeJob", job_id, jobs.request_resume, _ended_or_ending)


@router.post("/retry", status_code=202, response_model=Job, responses=also(409, 429))
def retry_job(caller: Submitter, services: ServicesDep, once: OnceWithoutBodyDep, job_id: JobId) -> Response:
    """Queue a job again that failed or was cancelled: it goes on from its newest checkpoint.

    A job that diverged would do so again, to the bit: fork it with a change instead.
    """

    def ask(session: Session, project_id: str, job_id: str) -> tables.Job | None:
        job = jobs.lock(session, project_id, job_id)
        if job is not None and (job.failure or {}).get("code") == FailureCode.DIVERGED:
            raise Conflict("it would diverge again in the same step: fork it with a change", code="would_fail_again")
        if job is not None and job.state.is_terminal:
            require_room_for_job(session, services.settings, project_id)
        return jobs.request_retry(session, project_id, job_id)

    def refusal(job: tables.Job) -> Conflict:
        return Conflict(f"only what failed or was cancelled is tried again; this job is {job.state}", code="not_failed")

    return _steer(services, once, caller, "retryJob", job_id, ask, refusal)


def _steer(
    services: Services,
    once: Once,
    caller: Caller,
    action: str,
    job_id: str,
    ask: Ask,
    refusal: Callable[[tables.Job], Conflict | None],
) -> Response:
    """Write down a wish; where it cannot be granted, say why."""

    def steer(session: Session) -> Done:
        row = ask(session, caller.project_id, job_id)
        if row is None:
            row = jobs.get(session, caller.project_id, job_id)
            if row is None:
                raise NotFound
            refused = refusal(row)
            if refused is not None:
                raise refused
        else:
            audit.record(session, caller.project_id, caller.key_id, action, job_id)
        context = representations.context_of(session, [row], seen_within=services.settings.lease_seconds)
        job = representations.job(row, context)
        ring = partial(services.ringer.ring, "train", job_id) if job.status is State.QUEUED else None
        return accepted(job, after_commit=ring)

    return once.do(caller, steer)


def _ended(job: tables.Job) -> Conflict:
    return Conflict(f"this job has ended already: {job.state}", code="job_ended")


def _ended_or_ending(job: tables.Job) -> Conflict:
    return _ended(job) if job.state.is_terminal else Conflict("a cancel was asked for already", code="cancel_requested")
