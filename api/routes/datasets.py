"""Data sets: named, looked at, deleted."""

from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import Field, TypeAdapter
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool

from api import representations
from api.bodies import body_of
from api.conditional import come_again, reply, reply_unless_known, waits_for_more
from api.dependencies import After, DatabaseDep, DatasetId, Limit, Reader, ServicesDep, Submitter, Wait
from api.errors import Conflict, NotFound, parameter_error
from api.idempotent import Done, OnceDep, created
from api.openapi import also, sends
from api.resources import CreateDataset, Dataset, Page, SampleList
from api.samples import Samples, places
from api.sweeping import sweep
from api.waiting import until
from models import audit, datasets
from models.database import Database, Session
from models.spec.manifest import Manifest
from models.states import DatasetState
from models.storage import NotThere

router = APIRouter(tags=["datasets"])
MANIFEST: TypeAdapter[Manifest] = TypeAdapter(Manifest)
MOST_OFFSET = 100_000
"""Of examples in a random order all that come before are drawn too."""


@router.post("/v1/datasets", status_code=201, response_model=Dataset, openapi_extra=sends(CreateDataset))
def create_dataset(
    caller: Submitter, body: Annotated[CreateDataset, Depends(body_of(CreateDataset))], once: OnceDep
) -> Response:
    """Name a data set. Its content is uploaded next."""

    def create(session: Session) -> Done:
        row = datasets.create(session, project_id=caller.project_id, name=body.name)
        audit.record(session, caller.project_id, caller.key_id, "createDataset", row.id)
        session.refresh(row)
        dataset = representations.dataset(row)
        return created(dataset, dataset.urls["self"])

    return once.do(caller, create)


@router.get("/v1/datasets", response_model=Page[Dataset])
def list_datasets(caller: Reader, database: DatabaseDep, after: After = None, limit: Limit = 20) -> Response:
    """List the data sets of the project, the newest first."""
    with database.read() as session:
        rows = datasets.page(session, caller.project_id, after=after, limit=limit)
    items = [representations.dataset(row) for row in rows[:limit]]
    return reply(representations.page(items, has_more=len(rows) > limit))


@router.get("/v1/datasets/{dataset_id}", response_model=Dataset, responses=also(304))
async def get_dataset(
    request: Request, caller: Reader, services: ServicesDep, dataset_id: DatasetId, wait: Wait = 0
) -> Response:
    """Show a data set.

    With `wait` the answer comes when something has changed since the representation that `If-None-Match` names (since
    now, without one), or when it is ready or has failed, or when the time is over.
    """
    read = _reader(services.database, caller.project_id, dataset_id)
    dataset, version = await run_in_threadpool(read)
    if wait and not _is_settled(dataset) and waits_for_more(request, dataset):

        def look() -> int | None:
            with services.database.read() as session:
                return datasets.version_of(session, caller.project_id, dataset_id)

        await until(request, look, lambda seen: seen != version, min(wait, services.settings.wait_max_seconds))
        dataset, _ = await run_in_threadpool(read)
    return reply_unless_known(request, dataset, headers=come_again(_is_settled(dataset)))


@router.get("/v1/datasets/{dataset_id}/samples", response_model=SampleList, responses=also(304, 409))
def list_dataset_samples(
    request: Request,
    caller: Reader,
    services: ServicesDep,
    dataset_id: DatasetId,
    split: Annotated[str, Query(max_length=200, description="Which part of it.")] = "train",
    seed: Annotated[
        int | None, Query(ge=0, le=2**62, description="In the random order of this seed; in their own unless given.")
    ] = None,
    offset: Annotated[int, Query(ge=0, le=MOST_OFFSET, description="How many to pass over.")] = 0,
    limit: Limit = 20,
    index: Annotated[
        list[Annotated[int, Field(ge=0, le=2**62)]],
        Query(max_length=100, description="Just these, by their places in the split; more than once."),
    ] = [],  # noqa: B006
) -> Response:
    """Show examples of a data set that is ready: images as PNG, vectors and rows as numbers and words."""
    with services.database.read() as session:
        row = datasets.get(session, caller.project_id, dataset_id)
    if row is None:
        raise NotFound
    if row.content_sha256 is None or row.state is not DatasetState.READY:
        raise Conflict(f"a data set shows examples once it is ready: it is {row.state}", code="not_ready")
    manifest = MANIFEST.validate_python(row.manifest)
    if split not in manifest.splits:
        raise parameter_error("split", "unknown", f"it has {', '.join(map(repr, manifest.splits))}")
    examples = manifest.splits[split].examples
    if any(place >= examples for place in index):
        raise parameter_error("index", "out_of_range", f"{split} has {examples:,} examples, counted from 0")
    chosen = index or places(examples, offset, limit, seed)
    samples = Samples(services.storage, datasets.packed_prefix(row.id, row.content_sha256), manifest, split)
    try:
        found = samples.at(chosen)
    except NotThere:
        raise NotFound("the packed form of this data set is missing from the object store") from None
    has_more = not index and offset + limit < examples
    body = SampleList(dataset_id=dataset_id, split=split, seed=seed, data=found, has_more=has_more, examples=examples)
    return reply_unless_known(request, body)


@router.delete("/v1/datasets/{dataset_id}", status_code=204, responses=also(409))
def delete_dataset(caller: Submitter, services: ServicesDep, dataset_id: DatasetId) -> Response:
    """Delete a data set that no job names."""
    with services.database.write() as session:
        if not datasets.remove(session, caller.project_id, dataset_id):
            if datasets.get(session, caller.project_id, dataset_id) is None:
                raise NotFound
            raise Conflict("jobs name this data set", code="in_use")
        audit.record(session, caller.project_id, caller.key_id, "deleteDataset", dataset_id)
    return Response(status_code=204, background=BackgroundTask(sweep, services, datasets.objects_prefix(dataset_id)))


def _is_settled(dataset: Dataset) -> bool:
    return dataset.status in (DatasetState.READY, DatasetState.FAILED)


def _reader(database: Database, project_id: str, dataset_id: str) -> Callable[[], tuple[Dataset, int]]:
    def read() -> tuple[Dataset, int]:
        with database.read() as session:
            row = datasets.get(session, project_id, dataset_id)
            if row is None:
                raise NotFound
            return representations.dataset(row), row.version

    return read
