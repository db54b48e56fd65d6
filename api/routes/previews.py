"""Previews: what a spec would do, shown before it runs. A worker makes them; here they are asked for."""

from collections.abc import Callable
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Path, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from api import representations
from api.bodies import JsonBody
from api.conditional import is_known, reply, tag_of, unchanged
from api.dependencies import DatabaseDep, Reader, Services, ServicesDep, Submitter
from api.errors import NotFound, TooManyPreviews
from api.openapi import also, sends
from api.resources import AugmentationPreview, CreateJob, InitializationPreview, Preview, SchedulePreview
from api.specs import make_runnable
from api.waiting import until
from models import datasets, jobs, previews
from models.previews import ENDED, WAITED_SECONDS, Kind
from models.projects import Caller
from models.states import ExportState

router = APIRouter(tags=["previews"])
MOST_WAITING = 20
"""Of a project: whoever types fast asks for more than anybody looks at."""
Shown = TypeVar("Shown", bound=Preview)
PreviewId = Annotated[str, Path(pattern=r"^prv_[0-9a-f]{32}$", description="The `id` of a preview.")]
Wait = Annotated[
    float,
    Query(ge=0, le=3600, allow_inf_nan=False, description="Seconds to wait for it, up to a server's limit."),
]


def _answers(model: type[Preview]) -> dict[int | str, dict[str, Any]]:
    return {202: {"description": "It is being made: ask again, with the same body", "model": model}, **also(429)}


PICTURE: dict[int | str, dict[str, Any]] = {
    200: {"description": "The picture", "content": {"image/png": {"schema": {"type": "string", "format": "binary"}}}},
    **also(304),
}


@router.post(
    "/v1/previews/schedule",
    response_model=SchedulePreview,
    openapi_extra=sends(CreateJob),
    responses=_answers(SchedulePreview),
)
async def preview_schedule(
    request: Request, caller: Submitter, spec: JsonBody, services: ServicesDep, wait: Wait = 0
) -> Response:
    """Show the learning rate of every step that a spec would run.

    The spec is checked as POST /v1/jobs does it, and what could not run is refused in the same words. A worker works
    the curve out; until it has, the answer is 202, or comes later with `wait`. Asking again is free of harm: the same
    question has one answer, kept for a day.
    """
    return await _preview(request, services, caller, "schedule", spec, wait, SchedulePreview)


@router.post(
    "/v1/previews/augmentation",
    response_model=AugmentationPreview,
    openapi_extra=sends(CreateJob),
    responses=_answers(AugmentationPreview),
)
async def preview_augmentation(
    request: Request, caller: Submitter, spec: JsonBody, services: ServicesDep, wait: Wait = 0
) -> Response:
    """Show the first examples of a run as they are stored, and as its first step sees them.

    They are changed by the engine itself, with the draws of the first step of the first epoch: the same seed gives the
    same picture, and the run the same examples. The picture, for data that are images, is at `urls.picture`. For
    checks, waiting and asking again see `/v1/previews/schedule`.
    """
    return await _preview(request, services, caller, "augmentation", spec, wait, AugmentationPreview)


@router.post(
    "/v1/previews/initialization",
    response_model=InitializationPreview,
    openapi_extra=sends(CreateJob),
    responses=_answers(InitializationPreview),
)
async def preview_initialization(
    request: Request, caller: Submitter, spec: JsonBody, services: ServicesDep, wait: Wait = 0
) -> Response:
    """Show how signals and gradients spread through a network that has learned nothing yet, with a verdict.

    Up to 64 examples of the first batch go forward and backward once, on a CPU. Each layer is told to be `healthy`,
    `vanishing`, `exploding` or `dead`, and why; the verdict on the network is the worst of them, with what to try. For
    checks, waiting and asking again see `/v1/previews/schedule`.
    """
    return await _preview(request, services, caller, "initialization", spec, wait, InitializationPreview)


@router.get("/v1/previews/{preview_id}/picture", response_class=Response, responses=PICTURE)
def download_preview_picture(
    request: Request, caller: Reader, database: DatabaseDep, preview_id: PreviewId
) -> Response:
    """Download the picture of an augmentation preview, as a PNG."""
    with database.read() as session:
        row = previews.get(session, caller.project_id, preview_id)
    if row is None or row.picture is None:
        raise NotFound
    tag = tag_of(row.id, row.attempt)
    if is_known(request, tag):
        return unchanged(tag)
    return Response(row.picture, 200, {"ETag": tag, "Cache-Control": "private, max-age=3600"}, "image/png")


async def _preview(
    request: Request, services: Services, caller: Caller, kind: Kind, body: Any, wait: float, shown_as: type[Shown]
) -> Response:
    preview_id = await run_in_threadpool(_asked, services, caller, kind, body)
    if wait:

        def look() -> ExportState | None:
            with services.database.read() as session:
                return previews.state_of(session, preview_id)

        seconds = min(wait, services.settings.wait_max_seconds, WAITED_SECONDS)
        await until(request, look, lambda state: state is None or state in ENDED, seconds)
    preview = await run_in_threadpool(_reader(services, caller.project_id, preview_id, shown_as))
    if preview.status in ENDED:
        return reply(preview)
    return reply(preview, 202, {"Retry-After": "1"})


def _asked(services: Services, caller: Caller, kind: Kind, body: Any) -> str:
    """The id of the preview; workers are told of a new one."""
    with services.database.write() as session:
        runnable = make_runnable(session, caller.project_id, body)
        dataset = datasets.get(session, caller.project_id, runnable.dataset_id)
        assert dataset is not None, "it has been checked in this transaction"
        preview, is_more = previews.ask(session, caller.project_id, kind, dataset=dataset, resolved=runnable.resolved)
        if is_more and previews.waiting(session, caller.project_id) > MOST_WAITING:
            raise TooManyPreviews(f"{MOST_WAITING} previews of this project are waiting to be made")
    if is_more:
        services.ringer.ring("preview", preview.id)
    return preview.id


def _reader(services: Services, project_id: str, preview_id: str, shown_as: type[Shown]) -> Callable[[], Shown]:
    def read() -> Shown:
        with services.database.read() as session:
            row = previews.get(session, project_id, preview_id)
            if row is None:
                raise NotFound
            seen_within = services.settings.lease_seconds
            return representations.preview(shown_as, row, jobs.slots(session, seen_within))

    return read
