"""What happened to a job: as a list, and as a stream."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.sse import KEEPALIVE_COMMENT, EventSourceResponse, format_sse_event
from starlette.concurrency import run_in_threadpool
from starlette.responses import StreamingResponse

from api import representations
from api.conditional import come_again, is_known, reply, tag_of, unchanged
from api.dependencies import After, JobId, Reader, ServicesDep, Wait
from api.errors import NotFound, parameter_error
from api.openapi import also
from api.resources import Event, JobProgress, Page
from api.waiting import until
from models import jobs
from models.database import Database
from models.jobs import Pulse

router = APIRouter(tags=["events"])
KEEPALIVE_SECONDS = 15.0
BATCH = 100


@router.get("/v1/jobs/{job_id}/events", response_model=Page[Event], responses=also(304))
async def list_job_events(
    request: Request,
    caller: Reader,
    services: ServicesDep,
    job_id: JobId,
    after: After = None,
    limit: Annotated[int, Query(ge=1, le=1000, description="How many to list.")] = 100,
    wait: Wait = 0,
) -> Response:
    """List what happened to a job, the oldest first.

    With `wait` the answer comes when there is something behind `after`, or when the job has ended, or when the time is
    over.
    """
    history = History(services.database, caller.project_id, job_id)
    start = await run_in_threadpool(history.sequence_of, after)
    if start is None:
        raise parameter_error("after", "unknown_event", "this job has no such event")
    seconds = min(wait, services.settings.wait_max_seconds)
    pulse = await until(
        request, history.pulse, lambda pulse: _has_more(pulse, start) or pulse.state.is_terminal, seconds
    )
    tag = tag_of("events", job_id, start, limit, pulse.event_count)
    again = come_again(pulse.state.is_terminal)
    if is_known(request, tag):
        return unchanged(tag, again)
    events = await run_in_threadpool(history.events_after, start, limit + 1)
    page = representations.page(events[:limit], has_more=len(events) > limit)
    return reply(page, headers={"ETag": tag, "Cache-Control": "private, no-cache", **again})


@router.get(
    "/v1/jobs/{job_id}/stream",
    response_class=StreamingResponse,  # and not FastAPI's own handling, which cannot answer 204
    responses={
        200: {"description": "Events as they happen", "content": {"text/event-stream": {"example": "see above"}}},
        204: {"description": "The job has ended and everything was told: do not connect again"},
    },
)
async def stream_job_events(
    request: Request,
    caller: Reader,
    services: ServicesDep,
    job_id: JobId,
    after: After = None,
    last_event_id: Annotated[str | None, Header(max_length=64, description="Sent by browsers.")] = None,
) -> Response:
    """Follow a job as server-sent events.

    Each event is sent with its id, its type as the event's name and the event itself as data; in between come
    `job.progress` events, which have no id. The stream ends with the job; a connection that was cut goes on behind
    `Last-Event-ID` (or `after`).
    """
    history = History(services.database, caller.project_id, job_id)
    start = await run_in_threadpool(history.sequence_of, last_event_id or after)
    pulse = await run_in_threadpool(history.pulse)
    if pulse.state.is_terminal and not _has_more(pulse, start or 0):
        return Response(status_code=204)
    return EventSourceResponse(_stream(request, history, start or 0))


@dataclass(frozen=True)
class History:
    """The events of one job. Every look is a short one: no connection is kept between two."""

    database: Database
    project_id: str
    job_id: str

    def pulse(self) -> Pulse:
        with self.database.read() as session:
            pulse = jobs.pulse(session, self.project_id, self.job_id)
        if pulse is None:
            raise NotFound
        return pulse

    def sequence_of(self, event_id: str | None) -> int | None:
        """Where an event is among the others: 0 without one, None for one that this job does not have."""
        self.pulse()
        if event_id is None:
            return 0
        with self.database.read() as session:
            return jobs.event_sequence(session, self.job_id, event_id)

    def events_after(self, sequence: int, limit: int) -> list[Event]:
        with self.database.read() as session:
            return [representations.event(row) for row in jobs.events_after(session, self.job_id, sequence, limit)]

    def progress(self) -> JobProgress:
        with self.database.read() as session:
            row = jobs.get(session, self.project_id, self.job_id)
        if row is None:
            raise NotFound
        return JobProgress(job_id=row.id, status=row.state, progress=row.progress)


def _has_more(pulse: Pulse, sequence: int) -> bool:
    return pulse.event_count > sequence


async def _stream(request: Request, history: History, sequence: int) -> AsyncIterator[bytes]:
    told: JobProgress | None = None
    while True:
        pulse = await run_in_threadpool(history.pulse)
        while _has_more(pulse, sequence):
            events = await run_in_threadpool(history.events_after, sequence, BATCH)
            for event in events:
                yield format_sse_event(id=event.id, event=event.type, data_str=event.model_dump_json())
                sequence = event.sequence
        if pulse.state.is_terminal:
            return
        progress = await run_in_threadpool(history.progress)
        if progress != told and progress.progress is not None:
            yield format_sse_event(event="job.progress", data_str=progress.model_dump_json())
        told = progress
        seen = await until(request, history.pulse, _differs_from(pulse), KEEPALIVE_SECONDS)
        if seen == pulse:
            yield KEEPALIVE_COMMENT
        if await request.is_disconnected():
            return


def _differs_from(pulse: Pulse) -> Callable[[Pulse], bool]:
    return lambda seen: seen != pulse
