"""Receiving a file: straight into the store, counted and hashed while it comes, visible only when it is whole."""

import base64
import re
from email.message import Message
from pathlib import PurePosixPath, PureWindowsPath
from typing import Annotated

import structlog
from fastapi import Depends, Query, Request
from starlette.concurrency import run_in_threadpool

from api.bodies import pieces
from api.errors import MalformedRequest, StorageFull, Unavailable, parameter_error
from models.failpoints import reach
from models.storage import CHUNK, Storage, Stored, Writer, is_full

log = structlog.get_logger()
DIGEST = re.compile(r"(?:^|,)\s*sha-256=:([A-Za-z0-9+/]{43}=):\s*(?:,|$)")


async def receive(request: Request, storage: Storage, key: str, limit: int) -> Stored:
    """The body as an object.

    Raises:
        TooLarge: more than `limit` bytes.
        MalformedRequest: not the bytes that its digest promises, or none at all.
        StorageFull: there is no room.
        Unavailable: the store is away.
    """
    promised = _promised_sha256(request)
    writer = await run_in_threadpool(storage.writer, key)
    try:
        await _copy(request, writer, limit)
        stored = await run_in_threadpool(writer.commit)
    except OSError as error:
        if is_full(error):
            raise StorageFull("there is no room left for this upload") from None
        log.warning("upload_not_stored", error=str(error))
        raise Unavailable("the object store does not take the upload: nothing was kept, try again") from None
    finally:
        await run_in_threadpool(writer.close)
    fault = _fault(stored, promised)
    if fault is not None:
        await run_in_threadpool(storage.delete, key)
        raise fault
    return stored


async def _copy(request: Request, writer: Writer, limit: int) -> None:
    buffer = bytearray()
    async for piece in pieces(request, limit):
        reach("upload.chunk")
        buffer += piece
        if len(buffer) >= CHUNK:
            await run_in_threadpool(writer.write, bytes(buffer))
            buffer.clear()
    await run_in_threadpool(writer.write, bytes(buffer))


def _fault(stored: Stored, promised: str | None) -> MalformedRequest | None:
    if stored.bytes == 0:
        return MalformedRequest("there was nothing in the body", code="empty_upload")
    if promised not in (None, stored.sha256):
        return MalformedRequest("what came does not have the sha256 that was promised", code="digest_mismatch")
    return None


def _promised_sha256(request: Request) -> str | None:
    """Repr-Digest and Content-Digest are the same here: the body is the whole file, sent as it is."""
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
    name = PureWindowsPath(PurePosixPath(given).name).name
    if name in ("", "..") or len(name) > 200 or not name.isprintable():
        raise parameter_error("filename", "missing" if not given else "invalid", "give ?filename=… with its ending")
    return name


FilenameDep = Annotated[str, Depends(_filename)]


def _disposition_filename(request: Request) -> str | None:
    message = Message()
    message["Content-Disposition"] = request.headers.get("content-disposition", "")
    return message.get_filename()
