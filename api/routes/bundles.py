"""All of a run, to do it again elsewhere."""

from typing import Annotated

from fastapi import APIRouter, Query, Response
from starlette.responses import StreamingResponse

from api import representations
from api.bundles import archive, small_files
from api.dependencies import DatabaseDep, JobId, Reader, SettingsDep, StorageDep
from api.errors import NotFound
from api.openapi import also
from models import checkpoints, datasets, jobs

router = APIRouter(tags=["jobs"])
ZIP = {"application/zip": {"schema": {"type": "string", "format": "binary"}}}


@router.get(
    "/v1/jobs/{job_id}/bundle",
    response_class=StreamingResponse,
    responses={200: {"description": "The zip", "content": ZIP}, **also(409)},
)
def download_job_bundle(
    caller: Reader,
    database: DatabaseDep,
    storage: StorageDep,
    settings: SettingsDep,
    job_id: JobId,
    script: Annotated[bool, Query(description="Whether `train.py` is in it.")] = True,
    data: Annotated[bool, Query(description="Whether the packed data are in it, which may be large.")] = False,
) -> Response:
    """Download all that a run needs to be done again.

    A zip of the spec, the resolved spec, the job, the hashes of its data and checkpoints, the versions it ran with
    (`requirements.txt`), and `train.py`, which does the same in plain PyTorch without the service; a job whose
    techniques it cannot do to the letter is answered 409, with a pointer to each. With `data` it runs as it is.
    """
    with database.read() as session:
        job = jobs.get(session, caller.project_id, job_id)
        if job is None:
            raise NotFound
        dataset = datasets.find(session, job.dataset_id)
        saved = checkpoints.of_job(session, job_id)
        context = representations.context_of(session, [job], seen_within=settings.lease_seconds)
        session.expunge_all()
    assert dataset is not None, "a job holds its data set by a foreign key"
    files = small_files(job, context, dataset, saved, script=script)
    headers = {"Content-Disposition": f'attachment; filename="{job_id}.zip"', "Cache-Control": "private, no-cache"}
    return StreamingResponse(archive(files, storage, dataset if data else None), 200, headers, "application/zip")
