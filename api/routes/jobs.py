"""Jobs: made, looked at, named, deleted."""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import AwareDatetime, BeforeValidator
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool

from api import representations
from api.bodies import JsonBody
from api.conditional import come_again, reply, reply_unless_known, tag_of_body, waits_for_more
from api.dependencies import (
    After,
    DatabaseDep,
    JobId,
    Limit,
    Reader,
    Services,
    ServicesDep,
    SettingsDep,
    Submitter,
    Wait,
    Word,
)
from api.errors import Conflict, Invalid, NotFound, parameter_error
from api.idempotent import Done, OnceDep, OnceWithoutBodyDep, accepted, created
from api.labels import edited
from api.merging import merge
from api.openapi import also, sends
from api.quotas import require_room_for_job
from api.resources import CreateJob, EditJob, Estimate, ForkJob, Job, Page, SpecIssue, Validation
from api.specs import Runnable, make_runnable
from api.sweeping import sweep
from api.waiting import until
from models import audit, checkpoints, jobs, tables
from models.database import Database, Session
from models.jobs import Filter
from models.projects import Caller
from models.settings import Settings
from models.states import State

router = APIRouter(tags=["jobs"])
DATE = re.compile(r"\d{4}-\d{2}-\d{2}[Tt ]")
LABEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


@router.post("/v1/jobs", status_code=201, response_model=Job, openapi_extra=sends(CreateJob), responses=also(429))
def create_job(caller: Submitter, spec: JsonBody, once: OnceDep, services: ServicesDep) -> Response:
    """Train a network.

    The job exists, and will be worked on, once this is answered. All mistakes of the spec are told at once.
    """

    def create(session: Session) -> Done:
        return _create(session, services, caller, make_runnable(session, caller.project_id, spec))

    return once.do(caller, create)


@router.post("/v1/jobs/validate", response_model=Validation, openapi_extra=sends(CreateJob))
def validate_job(caller: Reader, spec: JsonBody, database: DatabaseDep) -> Response:
    """Say what would become of a spec, and make nothing of it.

    A spec that could not run is answered with 200 too: `valid` is false and `errors` has what POST /v1/jobs would say.
    """
    with database.read() as session:
        try:
            runnable = make_runnable(session, caller.project_id, spec)
        except Invalid as invalid:
            errors = list(invalid.errors)
            return reply(Validation(valid=False, errors=errors, warnings=[], resolved_spec=None, estimate=None))
    return reply(
        Validation(
            valid=True,
            errors=[],
            warnings=[SpecIssue(**warning) for warning in runnable.warnings],
            resolved_spec=runnable.resolved,
            estimate=Estimate.model_validate(runnable.estimate),
        )
    )


def _as_date(text: str) -> str:
    """pydantic would take a bare number for seconds since 1970."""
    if not DATE.match(text):
        raise ValueError("a moment is a date and a time: 2026-11-02T09:30:00Z")
    return text


Moment = Annotated[AwareDatetime, BeforeValidator(_as_date)]


def _filter(
    request: Request,
    status: Annotated[list[State], Query(description="Only in these states; may be given more than once.")] = [],  # noqa: B006
    dataset: Annotated[Word | None, Query(description="Only on this data set.")] = None,
    name: Annotated[Word | None, Query(description="Only with this in the name, whatever the case.")] = None,
    tag: Annotated[list[Word], Query(max_length=32, description="Only with all of these tags.")] = [],  # noqa: B006
    created_after: Annotated[
        Moment | None, Query(description="Only made after this moment (RFC 3339, with its offset).")
    ] = None,
) -> Filter:
    return Filter(tuple(status), dataset, name, tuple(tag), _metadata(request), _in_utc(created_after))


def _in_utc(moment: datetime | None) -> datetime | None:
    """Some moments of the first and the last year have no name in UTC."""
    try:
        return moment and moment.astimezone(UTC)
    except OverflowError:
        raise parameter_error("created_after", "invalid", "this moment lies outside the years 1 to 9999") from None


def _metadata(request: Request) -> dict[str, str]:
    """`metadata[name]=text`: the one parameter whose name is the caller's."""
    found: dict[str, str] = {}
    for parameter, value in request.query_params.multi_items():
        name = parameter.removeprefix("metadata[").removesuffix("]")
        if len(parameter) == len(name) + len("metadata[]"):
            if not LABEL_NAME.fullmatch(name) or "\0" in value or found.get(name, value) != value:
                raise parameter_error("metadata", "invalid", "give metadata[name]=text, each name once")
            found[name] = value
    return found


METADATA = {
    "name": "metadata",
    "in": "query",
    "style": "deepObject",
    "explode": True,
    "description": "Only with this text under this name: `metadata[name]=text`.",
    "schema": {
        "type": "object",
        "propertyNames": {"pattern": f"^{LABEL_NAME.pattern}$"},
        "additionalProperties": {"type": "string"},
    },
}


@router.get("/v1/jobs", response_model=Page[Job], openapi_extra={"parameters": [METADATA]})
def list_jobs(
    caller: Reader,
    services: ServicesDep,
    which: Annotated[Filter, Depends(_filter)],
    order: Annotated[Literal["desc", "asc"], Query(description="`desc`: the newest first.")] = "desc",
    after: After = None,
    limit: Limit = 20,
) -> Response:
    """List the jobs of the project to which everything that is asked applies."""
    with services.database.read() as session:
        rows = jobs.page(session, caller.project_id, which, after=after, limit=limit, newest_first=order == "desc")
        shown = rows[:limit]
        context = representations.context_of(session, shown, seen_within=services.settings.lease_seconds)
    items = [representations.listed_job(row, context) for row in shown]
    return reply(representations.page(items, has_more=len(rows) > limit))


@router.get("/v1/jobs/{job_id}", response_model=Job, responses=also(304))
async def get_job(request: Request, caller: Reader, services: ServicesDep, job_id: JobId, wait: Wait = 0) -> Response:
    """Show a job.

    With `wait` the answer comes when something has changed since the representation that `If-None-Match` names (since
    now, without one), or when the job has ended, or when the time is over.
    """
    read = _reader(services.database, services.settings, caller.project_id, job_id)
    job, version = await run_in_threadpool(read)
    if wait and not job.status.is_terminal and waits_for_more(request, job):

        def look() -> int | None:
            with services.database.read() as session:
                pulse = jobs.pulse(session, caller.project_id, job_id)
            return pulse and pulse.version

        await until(request, look, lambda seen: seen != version, min(wait, services.settings.wait_max_seconds))
        job, _ = await run_in_threadpool(read)
    return reply_unless_known(request, job, headers=come_again(job.status.is_terminal))


@router.patch("/v1/jobs/{job_id}", response_model=Job, openapi_extra=sends(EditJob, "application/merge-patch+json"))
def edit_job(
    caller: Submitter, patch: JsonBody, database: DatabaseDep, settings: SettingsDep, job_id: JobId
) -> Response:
    """Name a job, tag it, take notes, whatever state it is in.

    The body is a JSON Merge Patch (RFC 7396): what is left out stays, null takes away, a list is replaced whole.
    """
    with database.write() as session:
        row = jobs.lock(session, caller.project_id, job_id)
        if row is None:
            raise NotFound
        name, labels = edited(row, patch)
        row = jobs.edit(session, caller.project_id, job_id, name=name, labels=labels)
        assert row is not None, "it is locked"
        audit.record(session, caller.project_id, caller.key_id, "editJob", job_id)
        job = _represent(session, settings, row)
    return reply(job, headers={"ETag": tag_of_body(job)})


@router.delete("/v1/jobs/{job_id}", status_code=204, responses=also(409))
def delete_job(caller: Submitter, services: ServicesDep, job_id: JobId) -> Response:
    """Delete a job that has ended, with its events, curves and checkpoints."""
    with services.database.write() as session:
        if not jobs.remove(session, caller.project_id, job_id):
            row = jobs.get(session, caller.project_id, job_id)
            if row is None:
                raise NotFound
            if jobs.is_held(session, job_id):
                raise Conflict(
                    "a job that has not succeeded starts from a checkpoint of this one: delete that one first",
                    code="checkpoint_in_use",
                )
            raise Conflict(f"this job has not ended: it is {row.state}; cancel it first", code="job_not_ended")
        audit.record(session, caller.project_id, caller.key_id, "deleteJob", job_id)
    return Response(status_code=204, background=BackgroundTask(sweep, services, jobs.objects_prefix(job_id)))


@router.post(
    "/v1/jobs/{job_id}/fork",
    status_code=201,
    response_model=Job,
    openapi_extra=sends(ForkJob, "application/merge-patch+json"),
    responses=also(429),
)
def fork_job(
    caller: Submitter,
    patch: JsonBody,
    once: OnceDep,
    services: ServicesDep,
    job_id: JobId,
    checkpoint: Annotated[
        str | None,
        Query(
            pattern=r"^(best|last|ckpt_[0-9a-f]{32})$",
            description="Start from these weights: `best` or `last` of the other job, or the id of a checkpoint.",
        ),
    ] = None,
) -> Response:
    """Make a job of another one's spec with some changes.

    The body is a JSON Merge Patch (RFC 7396) of the spec that was sent for the other job, and of its tags and metadata.
    Pointers of mistakes are into the merged spec. With `checkpoint` the new job has a `warm_start`, to which the patch
    may add.
    """

    def fork(session: Session) -> Done:
        row = jobs.get(session, caller.project_id, job_id)
        if row is None:
            raise NotFound
        merged = {**row.spec, "tags": row.tags, "metadata": row.labels}
        if checkpoint is not None:
            named = checkpoint if checkpoint.startswith("ckpt_") else {"job": job_id, "which": checkpoint}
            merged["warm_start"] = {"checkpoint": named}
        merged = merge(merged, patch)
        runnable = make_runnable(session, caller.project_id, merged)
        return _create(session, services, caller, runnable, forked_from=job_id)

    return once.do(caller, fork)


@router.post("/v1/jobs/{job_id}/verify", status_code=202, response_model=Job, responses=also(409, 429))
def verify_job(caller: Submitter, services: ServicesDep, once: OnceWithoutBodyDep, job_id: JobId) -> Response:
    """Train the last stretch of a job once more, and compare.

    That is a job of its own, from the newest earlier checkpoint that can be gone on from; asked for again before it has
    ended, it is the same one. It keeps no checkpoints; once it has succeeded, `verification` in its summary says
    whether the weights at the end are the same, bit by bit.
    """

    def verify(session: Session) -> Done:
        row = jobs.lock(session, caller.project_id, job_id)
        if row is None:
            raise NotFound
        made = jobs.verification_of(session, job_id) or _verification(session, services.settings, caller, row)
        job = _represent(session, services.settings, made)
        ring = partial(services.ringer.ring, "train", job.id)
        return accepted(job, location=job.urls["self"], after_commit=ring)

    return once.do(caller, verify)


def _verification(session: Session, settings: Settings, caller: Caller, row: tables.Job) -> tables.Job:
    stretch = checkpoints.to_replay(session, row.id) if row.state is State.SUCCEEDED else None
    if stretch is None:
        detail = "only a job that has succeeded can be verified, if an earlier checkpoint of it can be gone on from"
        raise Conflict(detail, code="not_verifiable")
    require_room_for_job(session, settings, caller.project_id)
    start, end = stretch
    verifies = {"job": row.id, "checkpoint": start.id, "from_step": start.step, "to_step": end.step}
    known = {"sha256": end.weights_sha256, "threads": (row.environment or {}).get("threads")}
    made = jobs.create(
        session,
        project_id=caller.project_id,
        dataset_id=row.dataset_id,
        spec=row.spec,
        resolved_spec=row.resolved_spec,
        spec_sha256=row.spec_sha256,
        warnings=[],
        verifies=verifies | known,
    )
    audit.record(session, caller.project_id, caller.key_id, "verifyJob", made.id)
    return made


def _create(
    session: Session, services: Services, caller: Caller, runnable: Runnable, *, forked_from: str | None = None
) -> Done:
    require_room_for_job(session, services.settings, caller.project_id, runnable.estimate.checkpoint_bytes)
    row = jobs.create(
        session,
        project_id=caller.project_id,
        dataset_id=runnable.dataset_id,
        spec=runnable.sent,
        resolved_spec=runnable.resolved,
        spec_sha256=runnable.sha256,
        warnings=runnable.warnings,
        labels=runnable.labels,
        forked_from=forked_from,
    )
    action = "createJob" if forked_from is None else "forkJob"
    audit.record(session, caller.project_id, caller.key_id, action, row.id)
    job = _represent(session, services.settings, row)
    return created(job, job.urls["self"], after_commit=lambda: services.ringer.ring("train", job.id))


def _reader(database: Database, settings: Settings, project_id: str, job_id: str) -> Callable[[], tuple[Job, int]]:
    def read() -> tuple[Job, int]:
        with database.read() as session:
            row = jobs.get(session, project_id, job_id)
            if row is None:
                raise NotFound
            return _represent(session, settings, row), row.version

    return read


def _represent(session: Session, settings: Settings, row: tables.Job) -> Job:
    context = representations.context_of(session, [row], seen_within=settings.lease_seconds)
    return representations.job(row, context)
