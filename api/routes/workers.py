"""Who trains."""

from fastapi import APIRouter, Response

from api import representations
from api.conditional import reply
from api.dependencies import READS, DatabaseDep, SettingsDep
from api.resources import Page, Worker
from models import jobs

router = APIRouter(tags=["service"], dependencies=[READS])


@router.get("/v1/workers", response_model=Page[Worker])
def list_workers(database: DatabaseDep, settings: SettingsDep) -> Response:
    """List the workers that were heard of lately: they answer why a job waits."""
    with database.read() as session:
        rows = jobs.workers(session, settings.lease_seconds)
    return reply(representations.page([representations.worker(row) for row in rows]))
