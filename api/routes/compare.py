"""Jobs side by side."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from api.comparing import differences, repetitions
from api.conditional import reply_unless_known
from api.dependencies import DatabaseDep, Reader
from api.errors import NotFound, parameter_error
from api.openapi import also
from api.resources import ComparedJob, Comparison
from models import checkpoints, jobs, metrics, tables
from models.database import Session

router = APIRouter(tags=["jobs"])
MOST_JOBS = 20
Ids = Annotated[
    str,
    Query(pattern=r"^[^,]+(,[^,]+)+$", max_length=1000, description="Ids of 2 to 20 jobs: `a,b`."),
]


@router.get("/v1/compare", response_model=Comparison, responses=also(304, 404))
def compare_jobs(request: Request, caller: Reader, database: DatabaseDep, jobs: Ids) -> Response:
    """Show where the resolved specs of jobs differ, what each has come to, and the noise where only seeds differ."""
    ids = list(dict.fromkeys(jobs.split(",")))
    if not 2 <= len(ids) <= MOST_JOBS:
        raise parameter_error("jobs", "invalid", f"give the ids of 2 to {MOST_JOBS} jobs, with commas between them")
    with database.read() as session:
        rows = [_job(session, caller.project_id, job_id) for job_id in ids]
        compared = [_compared(session, row) for row in rows]
    specs = {row.id: row.resolved_spec for row in rows}
    noise = repetitions(specs, {job.id: job.best for job in compared})
    comparison = Comparison(jobs=compared, differences=differences(specs), repetitions=noise)
    return reply_unless_known(request, comparison)


def _job(session: Session, project_id: str, job_id: str) -> tables.Job:
    row = jobs.get(session, project_id, job_id)
    if row is None:
        raise NotFound("at least one of these jobs is not there")
    return row


def _compared(session: Session, row: tables.Job) -> ComparedJob:
    """Of a job that has not come to its end, what is known so far."""
    summary: dict[str, Any] = row.summary or {}
    best = summary.get("best")
    if best is None:
        checkpoint = checkpoints.best(session, row.id)
        best = checkpoint and checkpoint.metrics
    last = summary.get("last") or metrics.last_epoch(session, row.id)
    return ComparedJob(id=row.id, name=row.name, status=row.state, best=best, last=last)
