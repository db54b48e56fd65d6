"""Receiving a file, or a part of one: straight into the store, counted and hashed while it comes, visible only when it
is whole."""

import base64
import hashlib
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from email.message import Message
from pathlib import PurePosixPath, PureWindowsPath
from typing import Annotated

import structlog
from fastapi import Depends, Query, Request
from starlette.concurrency import run_in_threadpool

from api.bodies import pieces
from api.dependencies import Services
from api.errors import Conflict, MalformedRequest, NotFound, StorageFull, TooSlow, Unavailable, parameter_error
from api.sweeping import discard
from models import database, datasets, discarded, uploads
from models.database import Session
from models.failpoints import reach
from models.storage import CHUNK, NotThere, Storage, Stored, Writer, is_full
from models.tables import UploadPart

log = structlog.get_logger()
DIGEST = re.compile(r"(?:^|,)\s*sha-256=:([A-Za-z0-9+/]{43}=):\s*(?:,|$)")


@asynccontextmanager
async def received(
    request: Request, services: Services, dataset_id: str, limit: int
) -> AsyncIterator[tuple[str, Stored]]:
    """The body as an object: its key, and what it is. The block commits the row that points at it, with `require_kept`;
    if the block fails, or we die in it, the object goes.

    Raises:
        TooLarge: more than `limit` bytes.
        MalformedRequest: not the bytes that its digest promises, or none at all.
        StorageFull: there is no room.
        Unavailable: the store is away.
    """
    promised = _promised_sha256(request)
    key = uploads.new_key(dataset_id)
    await run_in_threadpool(_announce, services, key)
    try:
        stored = await _receive(request, services.storage, key, limit)
        if stored.bytes == 0:
            raise MalformedRequest("there was nothing in the body", code="empty_upload")
        if promised not in (None, stored.sha256):
            raise MalformedRequest("what came does not have the sha256 that was promised", code="digest_mismatch")
        yield key, stored
    except database.OUTAGES:  # the row may be there all the same, and then it needs the object
        raise
    except BaseException:
        await run_in_threadpool(discard, services, key)
        raise


def require_kept(session: Session, key: str) -> None:
    """From this transaction on a row points at the object."""
    if not discarded.keep(session, key):
        raise TooSlow("the body took longer to come than an upload may")


def require_taking(services: Services, project_id: str, dataset_id: str) -> None:
    """Raises:
    NotFound: no such data set.
    Conflict: it has its content.
    """
    with services.database.read() as session:
        row = datasets.get(session, project_id, dataset_id)
    if row is None:
        raise NotFound
    if row.state not in uploads.TAKING:
        raise has_content()


def has_content() -> Conflict:
    return Conflict("this data set has its content already", code="already_uploaded")


def sha256_of(storage: Storage, parts: Sequence[UploadPart]) -> str | None:
    """Of all parts behind one another; None if one is not as long as its row says.

    Raises:
        Conflict: a part is not there.
    """
    digest = hashlib.sha256()
    for part in parts:
        size = 0
        try:
            for data in storage.read(part.key, 0, part.bytes + 1):
                digest.update(data)
                size += len(data)
        except NotThere:
            raise missing([part.number]) from None
        if size != part.bytes:
            return None
    return digest.hexdigest()


def digest(sha256: str) -> str:
    """As RFC 9530 writes a hexadecimal sha256."""
    return f"sha-256=:{base64.b64encode(bytes.fromhex(sha256)).decode()}:"


def missing(numbers: Sequence[int]) -> Conflict:
    named = ", ".join(map(str, numbers[:20])) + (", …" if len(numbers) > 20 else "")
    return Conflict(f"not every part is there: {named}", code="missing_parts")


def _announce(services: Services, key: str) -> None:
    with services.database.write() as session:
        discarded.add(session, key, after_seconds=services.settings.upload_hours * 3600)


async def _receive(request: Request, storage: Storage, key: str, limit: int) -> Stored:
    writer = await run_in_threadpool(storage.writer, key)
    try:
        await _copy(request, writer, limit)
        return await run_in_threadpool(writer.commit)
    except OSError as error:
        if is_full(error):
            raise StorageFull("there is no room left for this upload") from None
        log.warning("upload_not_stored", error=str(error))
        raise Unavailable("the object store does not take the upload: nothing was kept, try again") from None
    finally:
        await run_in_threadpool(writer.close)


async def _copy(request: Request, writer: Writer, limit: int) -> None:
    buffer = bytearray()
    async for piece in pieces(request, limit):
        reach("upload.chunk")
        buffer += piece
        if len(buffer) >= CHUNK:
            await run_in_threadpool(writer.write, bytes(buffer))
            buffer.clear()
    await run_in_threadpool(writer.write, bytes(buffer))


def _promised_sha256(request: Request) -> str | None:
    """Repr-Digest and Content-Digest are the same here: the body is the whole file, or part, sent as it is."""
    for name in ("Repr-Digest", "Content-Digest"):
        header = request.headers.get(name)
        if header is not None:
            match = DIGEST.search(header)
            if match is None:
                raise parameter_error(name, "invalid", "give it as sha-256=:<base64>: (RFC 9530)")
            return base64.b64decode(match[1]).hex()
    return None


async def _filename(
    request: Request, filename: Annotated[str | None, Query(description="Name of the file, with its ending.")] = None
) -> str:
    given = filename or _disposition_filename(request) or ""
    name = name_of(given)
    if name is None:
        raise parameter_error("filename", "missing" if not given else "invalid", "give ?filename=… with its ending")
    return name


def name_of(path: str) -> str | None:
    """The name of a file without its folders, if it is one that can be kept."""
    name = PureWindowsPath(PurePosixPath(path).name).name
    return None if name in ("", "..") or len(name) > 200 or not name.isprintable() else name


FilenameDep = Annotated[str, Depends(_filename)]


def _disposition_filename(request: Request) -> str | None:
    message = Message()
    message["Content-Disposition"] = request.headers.get("content-disposition", "")
    return message.get_filename()
