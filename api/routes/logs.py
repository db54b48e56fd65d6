"""What was written about a job."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request, Response

from api import representations
from api.conditional import come_again, reply_unless_known
from api.dependencies import After, DatabaseDep, JobId, Reader
from api.errors import NotFound
from api.openapi import also
from api.resources import LogLine, Page
from models import jobs, log_lines

router = APIRouter(tags=["events"])


@router.get("/v1/jobs/{job_id}/logs", response_model=Page[LogLine], responses=also(304))
def list_job_logs(
    request: Request,
    caller: Reader,
    database: DatabaseDep,
    job_id: JobId,
    source: Annotated[Literal["worker", "trainer"] | None, Query(description="Only what this one wrote.")] = None,
    after: After = None,
    limit: Annotated[int, Query(ge=1, le=1000, description="How many to list.")] = 100,
) -> Response:
    """List what a job's worker and trainer wrote, the oldest first. Of each job the newest 2,000 lines are kept."""
    with database.read() as session:
        pulse = jobs.pulse(session, caller.project_id, job_id)
        if pulse is None:
            raise NotFound
        rows = log_lines.page(session, job_id, source=source, after=after, limit=limit)
    page = representations.page([representations.log_line(row) for row in rows[:limit]], has_more=len(rows) > limit)
    return reply_unless_known(request, page, headers=come_again(pulse.state.is_terminal))
