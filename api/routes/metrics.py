"""Curves."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import Field
from starlette.responses import StreamingResponse

from api.conditional import come_again, is_known, reply, tag_of, unchanged
from api.dependencies import DatabaseDep, JobId, Reader
from api.downsampling import downsample
from api.errors import NotFound, parameter_error
from api.openapi import also
from api.resources import Metrics
from api.tables import as_csv, as_parquet
from models import jobs, metrics
from models.database import Database
from models.metrics import Interval, Series, Wanted

router = APIRouter(tags=["metrics"])
MOST_KEYS = 100
MOST_TIMES = 25
"""How often `keys` may be given: servers read no more than 64 KiB of an address."""
PIECE = 10_000
"""Rows of one piece of a file."""
Keys = Annotated[str, Field(min_length=1, max_length=2000, pattern=r'^[^\x00-\x1f\x7f"\\]+$')]
MEDIA = {"csv": "text/csv; charset=utf-8; header=present", "parquet": "application/vnd.apache.parquet"}
FILES = {
    "text/csv": {"schema": {"type": "string"}, "example": "step,train/loss\r\n1,2.31\r\n2,nan\r\n"},
    MEDIA["parquet"]: {"schema": {"type": "string", "format": "binary"}},
}


@router.get("/v1/jobs/{job_id}/metrics", response_model=Metrics, responses={200: {"content": FILES}, **also(304)})
def get_job_metrics(
    request: Request,
    caller: Reader,
    database: DatabaseDep,
    job_id: JobId,
    keys: Annotated[
        list[Keys], Query(max_length=MOST_TIMES, description="Only these columns; `a,b` or more than once.")
    ] = [],  # noqa: B006
    since_step: Annotated[int, Query(ge=0, le=2**62, description="Only what comes after this step.")] = 0,
    interval: Annotated[
        Interval, Query(description="Values of steps, of ends of epochs, or of every layer at ends of epochs.")
    ] = "step",
    max_points: Annotated[
        int | None, Query(ge=2, le=100_000, description="Leave rows out beyond so many; extremes are kept.")
    ] = None,
    limit: Annotated[
        int, Query(ge=1, le=100_000, description="Rows of a JSON answer; go on with `since_step=<last_step>`.")
    ] = 10_000,
    format_: Annotated[
        Literal["json", "csv", "parquet"], Query(alias="format", description="The files hold everything at once.")
    ] = "json",
) -> Response:
    """Show the curves of a job, by column.

    JSON comes in pages of `limit` rows, or thinned out to `max_points`; csv and parquet are whole, or thinned out.
    """
    names = tuple(dict.fromkeys(key for item in keys for key in item.split(",") if key not in ("", "step")))
    if len(names) > MOST_KEYS:
        raise parameter_error("keys", "too_many", f"at most {MOST_KEYS} columns can be named")
    wanted = Wanted(job_id, interval, since_step, names)
    with database.read() as session:
        pulse = jobs.pulse(session, caller.project_id, job_id)
    if pulse is None:
        raise NotFound
    tag = tag_of("metrics", job_id, pulse.version, wanted, max_points, limit, format_)
    again = come_again(pulse.state.is_terminal)
    if is_known(request, tag):
        return unchanged(tag, again)
    headers = {"ETag": tag, "Cache-Control": "private, no-cache", **again}
    if format_ == "json":
        return reply(_answer(database, wanted, limit, max_points), headers=headers)
    headers["Content-Disposition"] = f'attachment; filename="{job_id}.{format_}"'
    write = as_csv if format_ == "csv" else as_parquet
    columns, pieces = _pieces(database, wanted, max_points)
    return StreamingResponse(write(pieces, columns), headers=headers, media_type=MEDIA[format_])


def _answer(database: Database, wanted: Wanted, limit: int, max_points: int | None) -> Metrics:
    thinned = None if max_points is None else _thinned(database, wanted, max_points)
    if thinned is not None:
        return thinned
    with database.read() as session:
        series, has_more = metrics.read(session, wanted, limit if max_points is None else max_points)
        extent = metrics.extent(session, wanted)
    steps = series.columns["step"]
    last = steps[-1] if steps else wanted.since_step or None
    return Metrics(
        job_id=wanted.job_id,
        interval=wanted.interval,
        columns=series.columns,
        nonfinite=series.nonfinite,
        last_step=None if last is None else int(last),
        total_points=extent.rows if has_more and extent else len(steps),
        has_more=has_more,
        downsampled=False,
    )


def _thinned(database: Database, wanted: Wanted, max_points: int) -> Metrics | None:
    """None when there are not that many rows."""
    with database.read() as session:
        extent = metrics.extent(session, wanted)
        if extent is None or extent.rows <= max_points:
            return None
        thinned = downsample(metrics.pieces(session, wanted), metrics.names(session, wanted), extent, max_points)
    return Metrics(
        job_id=wanted.job_id,
        interval=wanted.interval,
        columns=thinned.series.columns,
        nonfinite=thinned.series.nonfinite,
        last_step=extent.last_step,
        total_points=thinned.rows,
        has_more=False,
        downsampled=True,
    )


def _pieces(database: Database, wanted: Wanted, max_points: int | None) -> tuple[list[str], Iterator[Series]]:
    with database.read() as session:
        columns = metrics.names(session, wanted)
    thinned = None if max_points is None else _thinned(database, wanted, max_points)
    if thinned is not None:
        return columns, iter([Series(thinned.columns, thinned.nonfinite)])
    return columns, _all(database, wanted)


def _all(database: Database, wanted: Wanted) -> Iterator[Series]:
    """Every piece is read on its own: however slowly they are sent, no connection is kept."""
    has_more = True
    while has_more:
        with database.read() as session:
            series, has_more = metrics.read(session, wanted, PIECE)
        if series.columns["step"]:
            wanted = replace(wanted, since_step=int(series.columns["step"][-1] or 0))
            yield series
