"""Saved networks: listed, looked at, downloaded."""

from collections.abc import Callable
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from starlette.responses import StreamingResponse

from api import representations
from api.conditional import reply, reply_unless_known
from api.dependencies import CheckpointId, DatabaseDep, JobId, Reader, Services, ServicesDep
from api.downloads import Content, Download, exported, weights_of
from api.errors import Conflict, NotFound
from api.openapi import also
from api.resources import Checkpoint, Export, Page
from models import checkpoints, exports, jobs, tables
from models.database import Database, Session
from models.states import ExportState

router = APIRouter(tags=["checkpoints"])
BINARY = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
DOWNLOADS: dict[int | str, dict[str, Any]] = {
    200: {"description": "All of it", "content": BINARY},
    202: {"description": "It is being made: ask again", "model": Export},
    206: {"description": "The part that `Range` asks for", "content": BINARY},
    304: {"description": "The caller has it already"},
    307: {"description": "Where to get it without credentials, for five minutes"},
    412: {"description": "`If-Match` names something else"},
    416: {"description": "Nothing of it lies in that range"},
    **also(409),
}
Form = Annotated[
    Literal["safetensors", "onnx", "torch_export"],
    Query(alias="format", description="`safetensors` has the weights; the others the network with them."),
]

DESCRIPTIONS: dict[int | str, dict[str, Any]] = {
    202: {"description": "It is being made: ask again"},
    **{status: DOWNLOADS[status] for status in (200, 304, 409, 412)},
}


@router.get("/v1/jobs/{job_id}/checkpoints", response_model=Page[Checkpoint])
def list_job_checkpoints(caller: Reader, database: DatabaseDep, job_id: JobId) -> Response:
    """List the checkpoints of a job, the oldest first."""
    with database.read() as session:
        if jobs.pulse(session, caller.project_id, job_id) is None:
            raise NotFound
        rows = checkpoints.of_job(session, job_id)
    return reply(representations.page([representations.checkpoint(row) for row in rows]))


@router.get("/v1/jobs/{job_id}/checkpoints/best", response_model=Checkpoint, responses=also(304))
def get_best_checkpoint(request: Request, caller: Reader, database: DatabaseDep, job_id: JobId) -> Response:
    """Show the best checkpoint of a job so far."""
    return _of_job(request, database, caller.project_id, job_id, checkpoints.best)


@router.get("/v1/jobs/{job_id}/checkpoints/last", response_model=Checkpoint, responses=also(304))
def get_last_checkpoint(request: Request, caller: Reader, database: DatabaseDep, job_id: JobId) -> Response:
    """Show the newest checkpoint of a job."""
    return _of_job(request, database, caller.project_id, job_id, checkpoints.last)


@router.get("/v1/checkpoints/{checkpoint_id}", response_model=Checkpoint, responses=also(304))
def get_checkpoint(request: Request, caller: Reader, database: DatabaseDep, checkpoint_id: CheckpointId) -> Response:
    """Show a checkpoint."""
    row = _find(database, caller.project_id, checkpoint_id)
    return reply_unless_known(request, representations.checkpoint(row))


@router.get("/v1/checkpoints/{checkpoint_id}/content", response_class=StreamingResponse, responses=DOWNLOADS)
def download_checkpoint(
    request: Request,
    caller: Reader,
    services: ServicesDep,
    checkpoint_id: CheckpointId,
    form: Form = "safetensors",
    redirect: Annotated[bool, Query(description="Answer 307 to the object store, where it can do that.")] = False,
) -> Response:
    """Download the weights as a safetensors file, or the network in another form.

    `onnx` and `torch_export` (PyTorch's `.pt2`) hold the network with its normalization in front: they take stored
    pixels, numbers or tokens. A worker makes them when they are first asked for, which is answered 202 with
    `Retry-After`, and holds what they compute against what we compute, to 1e-4 of the largest output; what has no such
    form is answered 409, with the reason. `torch.export.load` may run code that a file brings: load only your own.

    The entity tag is the sha256, which `Repr-Digest` has too. One `Range` is served, with `If-Range`.
    """
    content = _content(services, caller.project_id, checkpoint_id, form)
    if isinstance(content, tables.Export):
        return reply(representations.export(content), 202, {"Retry-After": "1"})
    return Download(services.database, services.storage, content).answer(request, redirect=redirect)


@router.head("/v1/checkpoints/{checkpoint_id}/content", response_class=Response, responses=DESCRIPTIONS)
def describe_checkpoint_content(
    request: Request, caller: Reader, services: ServicesDep, checkpoint_id: CheckpointId, form: Form = "safetensors"
) -> Response:
    """Say how long a download is, and what its sha256 is; 202 while it is being made."""
    content = _content(services, caller.project_id, checkpoint_id, form)
    if isinstance(content, tables.Export):
        return Response(None, 202, {"Retry-After": "1"})
    return Download(services.database, services.storage, content).describe(request)


def _content(services: Services, project_id: str, checkpoint_id: str, form: str) -> Content | tables.Export:
    """What there is to download, or the export that is on its way."""
    row = _find(services.database, project_id, checkpoint_id)
    if form == "safetensors":
        return weights_of(row)
    with services.database.write() as session:
        export = exports.ask(session, row, form)
        session.refresh(export)
        session.expunge(export)
    if export.state == ExportState.READY:
        return exported(row, export)
    if export.state == ExportState.FAILED:
        reason = (export.failure or {}).get("reason")
        raise Conflict(f"there is no {form} of this checkpoint: {reason}", code="not_exportable")
    if export.rung_at is None:
        services.ringer.ring("export", export.id)
    return export


def _of_job(
    request: Request,
    database: Database,
    project_id: str,
    job_id: str,
    choose: Callable[[Session, str], tables.Checkpoint | None],
) -> Response:
    with database.read() as session:
        is_there = jobs.pulse(session, project_id, job_id) is not None
        row = choose(session, job_id) if is_there else None
    if row is None:
        raise NotFound
    return reply_unless_known(request, representations.checkpoint(row))


def _find(database: Database, project_id: str, checkpoint_id: str) -> tables.Checkpoint:
    with database.read() as session:
        row = checkpoints.get(session, project_id, checkpoint_id)
    if row is None:
        raise NotFound
    return row
