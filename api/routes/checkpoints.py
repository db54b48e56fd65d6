"""Saved networks: listed, looked at, downloaded."""

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from starlette.responses import StreamingResponse

from api import representations
from api.conditional import reply, reply_unless_known
from api.dependencies import CheckpointId, DatabaseDep, JobId, Reader, StorageDep
from api.downloads import Download
from api.errors import NotFound
from api.openapi import also
from api.resources import Checkpoint, Page
from models import checkpoints, jobs, tables
from models.database import Database, Session

router = APIRouter(tags=["checkpoints"])
BINARY = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
DOWNLOADS: dict[int | str, dict[str, Any]] = {
    200: {"description": "All of it", "content": BINARY},
    206: {"description": "The part that `Range` asks for", "content": BINARY},
    304: {"description": "The caller has it already"},
    307: {"description": "Where to get it without credentials, for five minutes"},
    412: {"description": "`If-Match` names something else"},
    416: {"description": "Nothing of it lies in that range"},
}

DESCRIPTIONS: dict[int | str, dict[str, Any]] = {status: DOWNLOADS[status] for status in (200, 304, 412)}


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
    database: DatabaseDep,
    storage: StorageDep,
    checkpoint_id: CheckpointId,
    redirect: Annotated[bool, Query(description="Answer 307 to the object store, where it can do that.")] = False,
) -> Response:
    """Download the weights as a safetensors file.

    The entity tag is the sha256, which `Repr-Digest` has too. One `Range` is served, with `If-Range`.
    """
    row = _find(database, caller.project_id, checkpoint_id)
    return Download(database, storage, row).answer(request, redirect=redirect)


@router.head("/v1/checkpoints/{checkpoint_id}/content", response_class=Response, responses=DESCRIPTIONS)
def describe_checkpoint_content(
    request: Request, caller: Reader, database: DatabaseDep, storage: StorageDep, checkpoint_id: CheckpointId
) -> Response:
    """Say how long the weights are, and what their sha256 is."""
    row = _find(database, caller.project_id, checkpoint_id)
    return Download(database, storage, row).describe(request)


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
