"""Curves."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request, Response

from api.conditional import come_again, is_known, reply, tag_of, unchanged
from api.dependencies import DatabaseDep, JobId, Reader, Word
from api.downsampling import downsample
from api.errors import NotFound
from api.openapi import also
from api.resources import Metrics
from models import jobs, metrics

router = APIRouter(tags=["metrics"])


@router.get("/v1/jobs/{job_id}/metrics", response_model=Metrics, responses=also(304))
def get_job_metrics(
    request: Request,
    caller: Reader,
    database: DatabaseDep,
    job_id: JobId,
    keys: Annotated[list[Word], Query(max_length=100, description="Only these columns; `a,b` or more than once.")] = [],  # noqa: B006
    since_step: Annotated[int, Query(ge=0, le=2**62, description="Only what comes after this step.")] = 0,
    interval: Annotated[Literal["step", "epoch"], Query(description="Values of steps, or of ends of epochs.")] = "step",
    max_points: Annotated[
        int | None, Query(ge=2, le=100_000, description="Leave rows out beyond so many; extremes are kept.")
    ] = None,
) -> Response:
    """Show the curves of a job, by column."""
    wanted = [key for item in keys for key in item.split(",")]
    with database.read() as session:
        pulse = jobs.pulse(session, caller.project_id, job_id)
        if pulse is None:
            raise NotFound
        tag = tag_of("metrics", job_id, pulse.version, wanted, since_step, interval, max_points)
        again = come_again(pulse.state.is_terminal)
        if is_known(request, tag):
            return unchanged(tag, again)
        series = metrics.read(session, job_id, interval, since_step=since_step, keys=wanted)
    steps = series.columns["step"]
    shown = series if max_points is None else downsample(series, max_points)
    last = steps[-1] if steps else since_step or None
    body = Metrics(
        job_id=job_id,
        interval=interval,
        columns=shown.columns,
        nonfinite=shown.nonfinite,
        last_step=None if last is None else int(last),
        total_points=len(steps),
        downsampled=shown is not series,
    )
    return reply(body, headers={"ETag": tag, "Cache-Control": "private, no-cache", **again})
