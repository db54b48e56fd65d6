"""The content of a data set: in one body, or by parts that can be sent again, in any order, past this service too."""

from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Annotated, Unpack
from weakref import WeakValueDictionary

from anyio import CapacityLimiter, Lock, to_thread
from fastapi import APIRouter, Depends, Path, Request, Response
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool

from api import representations
from api.bodies import body_of, refuse_encoded
from api.conditional import reply
from api.dependencies import DatasetId, Reader, Services, ServicesDep, Submitter
from api.errors import Conflict, Invalid, NotFound
from api.idempotent import Done, OnceDep
from api.openapi import also, sends, sends_bytes
from api.quotas import part_limit, require_room, require_room_for_part, upload_limit
from api.resources import CompleteUpload, Dataset, ProblemItem, SignedPart, SignPart, UploadPart, UploadParts
from api.sweeping import sweep_below
from api.uploads import (
    FilenameDep,
    digest,
    has_content,
    missing,
    name_of,
    received,
    require_kept,
    require_taking,
    sha256_of,
)
from models import audit, datasets, uploads, usage
from models.database import Session
from models.datasets import Upload
from models.idempotency import Reply
from models.projects import Caller
from models.tables import UploadPart as Row
from models.uploads import MAX_PARTS, SIGNED_SECONDS

router = APIRouter(tags=["datasets"])
PartNumber = Annotated[int, Path(ge=1, le=MAX_PARTS, description=f"1 … {MAX_PARTS}: its place in the file.")]
HASHING = CapacityLimiter(2)
"""Uploads that are read back at once: they must not keep threads from everybody else."""
_turns: WeakValueDictionary[str, Lock] = WeakValueDictionary()
"""Project → its turn: one of its uploads is completed at a time, and none is read once more that has been meanwhile."""


@router.put(
    "/v1/datasets/{dataset_id}/content",
    status_code=202,
    response_model=Dataset,
    openapi_extra=sends_bytes(),
    responses=also(409, 507),
)
async def upload_dataset(
    request: Request, caller: Submitter, services: ServicesDep, dataset_id: DatasetId, filename: FilenameDep
) -> Response:
    """Upload the content of a data set, as it is.

    A zip or tar of folders of images (a folder per class), an npz, a csv or a Parquet file; `filename` says which. A
    sha256 in `Repr-Digest` (RFC 9530: `sha-256=:<base64>:`) is checked. A worker then takes the content in.
    """
    refuse_encoded(request)
    await run_in_threadpool(require_taking, services, caller.project_id, dataset_id)
    limit = await run_in_threadpool(upload_limit, services, caller.project_id)
    async with received(request, services, dataset_id, limit) as (key, stored):

        def record() -> Dataset:
            with services.database.write() as session:
                require_room(session, services.settings, caller.project_id, stored.bytes)
                require_kept(session, key)
                size, sha256 = stored.bytes, stored.sha256
                return _uploaded(
                    session, caller, dataset_id, "uploadDataset", filename=filename, key=key, size=size, sha256=sha256
                )

        dataset = await run_in_threadpool(record)
    services.ringer.ring("ingest", dataset_id)
    await run_in_threadpool(sweep_below, services, uploads.prefix(dataset_id))
    return reply(dataset, 202, _come_again(dataset))


@router.put(
    "/v1/datasets/{dataset_id}/parts/{number}",
    response_model=UploadPart,
    openapi_extra=sends_bytes(),
    responses=also(409, 507),
)
async def upload_dataset_part(
    request: Request, caller: Submitter, services: ServicesDep, dataset_id: DatasetId, number: PartNumber
) -> Response:
    """Upload one part of the content, in any order; sent again, it takes the place of the earlier one.

    A sha256 in `Content-Digest` (RFC 9530: `sha-256=:<base64>:`) is checked. A part is there whole or not at all.
    """
    refuse_encoded(request)
    await run_in_threadpool(require_taking, services, caller.project_id, dataset_id)
    limit = await run_in_threadpool(part_limit, services, caller.project_id, dataset_id, number)
    async with received(request, services, dataset_id, limit) as (key, stored):

        def record() -> UploadPart:
            with services.database.write() as session:
                require_room_for_part(session, services.settings, caller.project_id, (dataset_id, number), stored.bytes)
                require_kept(session, key)
                size, sha256 = stored.bytes, stored.sha256
                return _put(session, caller, dataset_id, "uploadDatasetPart", number, key=key, size=size, sha256=sha256)

        part = await run_in_threadpool(record)
    await run_in_threadpool(sweep_below, services, uploads.prefix(dataset_id))
    return reply(part)


@router.post(
    "/v1/datasets/{dataset_id}/parts/{number}/sign",
    response_model=SignedPart,
    openapi_extra=sends(SignPart),
    responses=also(409),
)
def sign_dataset_part(
    caller: Submitter,
    services: ServicesDep,
    dataset_id: DatasetId,
    number: PartNumber,
    body: Annotated[SignPart, Depends(body_of(SignPart))],
) -> Response:
    """Get the request that brings a part: directly to the store, where it takes parts, otherwise to this service.

    What it allows is a `PUT` of so many bytes, begun within a quarter of an hour. The part counts as stored from now
    on, and takes the place of an earlier one.
    """
    require_taking(services, caller.project_id, dataset_id)
    expires_at = datetime.now(UTC) + timedelta(seconds=SIGNED_SECONDS)
    with services.database.read() as session:
        key = uploads.key_to_sign(session, dataset_id, number, body.sha256)
    signed = services.storage.presign_put(key, body.bytes, body.sha256, SIGNED_SECONDS)
    if signed is None:
        path = f"/v1/datasets/{dataset_id}/parts/{number}"
        headers = {"content-length": str(body.bytes), "content-digest": digest(body.sha256)}
        return reply(SignedPart(url=path, headers=headers, expires_at=expires_at))
    with services.database.write() as session:
        require_room_for_part(session, services.settings, caller.project_id, (dataset_id, number), body.bytes)
        if uploads.signed_in_vain(session, dataset_id) >= uploads.MOST_SIGNED_IN_VAIN:
            detail = f"too many parts were signed and then replaced: wait for {SIGNED_SECONDS} seconds"
            raise Conflict(detail, code="signed_too_often")
        size, sha256 = body.bytes, body.sha256
        _put(session, caller, dataset_id, "signDatasetPart", number, key=key, size=size, sha256=sha256)
    return reply(SignedPart(url=signed.url, headers=dict(signed.headers), expires_at=expires_at))


@router.get("/v1/datasets/{dataset_id}/parts", response_model=UploadParts)
def list_dataset_parts(caller: Reader, services: ServicesDep, dataset_id: DatasetId) -> Response:
    """List the parts of the content that are there."""
    with services.database.read() as session:
        if datasets.get(session, caller.project_id, dataset_id) is None:
            raise NotFound
        rows = uploads.parts(session, dataset_id)
    found = set(services.storage.keys(uploads.prefix(dataset_id))) if rows else set()
    parts = [representations.upload_part(row) for row in rows if row.key in found]
    return reply(UploadParts(data=parts, bytes=sum(part.bytes for part in parts)))


@router.post(
    "/v1/datasets/{dataset_id}/complete",
    status_code=202,
    response_model=Dataset,
    openapi_extra=sends(CompleteUpload),
    responses=also(409),
)
async def complete_dataset_upload(
    caller: Submitter,
    services: ServicesDep,
    dataset_id: DatasetId,
    body: Annotated[CompleteUpload, Depends(body_of(CompleteUpload))],
    once: OnceDep,
) -> Response:
    """Say that all parts are there. They are read once more, and a worker then takes the content in.

    The answer takes as long as the reading does. If the whole does not have the sha256, nothing of it is kept.
    """
    filename = name_of(body.filename)
    if filename is None:
        raise Invalid([ProblemItem(pointer="/filename", code="invalid", detail="the name of a file, with its ending")])

    def complete(parts: list[Row] | None, session: Session) -> Done:
        if parts is None or not uploads.hold(session, dataset_id):
            raise has_content()
        keys = [part.key for part in parts]
        if [part.key for part in uploads.parts(session, dataset_id, up_to=body.parts)] != keys:
            raise Conflict("parts were sent anew while they were read", code="parts_changed")
        size = sum(part.bytes for part in parts)
        dataset = _uploaded(
            session,
            caller,
            dataset_id,
            "completeDatasetUpload",
            filename=filename,
            key=None,
            parts=keys,
            size=size,
            sha256=body.sha256,
        )
        answer = Reply(202, _come_again(dataset), dataset.model_dump(mode="json"))
        return Done(answer, answer, after_commit=lambda: services.ringer.ring("ingest", dataset_id))

    async with _turns.setdefault(caller.project_id, Lock()):
        parts = await run_in_threadpool(_parts, services, caller.project_id, dataset_id, body.parts)
        if parts is not None:
            found = await to_thread.run_sync(sha256_of, services.storage, parts, limiter=HASHING)
            if found != body.sha256:
                await run_in_threadpool(_give_up, services, dataset_id, parts)
                detail = "the parts together do not have this sha256: they were deleted"
                raise Invalid([ProblemItem(pointer="/sha256", code="digest_mismatch", detail=detail)])
        answer = await run_in_threadpool(once.do, caller, partial(complete, parts))
    answer.background = BackgroundTask(sweep_below, services, uploads.prefix(dataset_id))
    return answer


def _uploaded(session: Session, caller: Caller, dataset_id: str, action: str, **upload: Unpack[Upload]) -> Dataset:
    row = datasets.uploaded(session, dataset_id, **upload)
    if row is None:
        raise _too_late(session, caller.project_id, dataset_id)
    usage.note_storage(session, caller.project_id)
    audit.record(session, caller.project_id, caller.key_id, action, dataset_id, bytes=upload["size"])
    return representations.dataset(row)


def _too_late(session: Session, project_id: str, dataset_id: str) -> NotFound | Conflict:
    if datasets.get(session, project_id, dataset_id) is None:
        return NotFound()
    return Conflict("another upload of this data set was faster", code="already_uploaded")


def _put(
    session: Session, caller: Caller, dataset_id: str, action: str, number: int, *, key: str, size: int, sha256: str
) -> UploadPart:
    row = uploads.put(session, dataset_id, number, key=key, size=size, sha256=sha256)
    if row is None:
        raise _too_late(session, caller.project_id, dataset_id)
    usage.note_storage(session, caller.project_id)
    audit.record(session, caller.project_id, caller.key_id, action, dataset_id, number=number, bytes=size)
    return representations.upload_part(row)


def _parts(services: Services, project_id: str, dataset_id: str, count: int) -> list[Row] | None:
    """Parts 1 … count; None if the data set takes no upload now."""
    with services.database.read() as session:
        row = datasets.get(session, project_id, dataset_id)
        if row is None:
            raise NotFound
        if row.state not in uploads.TAKING:
            return None
        parts = uploads.parts(session, dataset_id, up_to=count)
    absent = sorted(set(range(1, count + 1)) - {part.number for part in parts})
    if absent:
        raise missing(absent)
    return parts


def _give_up(services: Services, dataset_id: str, parts: list[Row]) -> None:
    with services.database.write() as session:
        uploads.give_up(session, dataset_id, [part.key for part in parts])
    sweep_below(services, uploads.prefix(dataset_id))


def _come_again(dataset: Dataset) -> dict[str, str]:
    return {"Location": dataset.urls["self"], "Retry-After": "1"}
