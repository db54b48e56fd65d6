"""Sending a checkpoint: whole, in part, or only what is new; never bytes that are not the ones that were written."""

import base64
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import structlog
from fastapi import Request, Response
from starlette.responses import RedirectResponse, StreamingResponse

from api.conditional import is_known, names
from api.errors import NotFound, PreconditionFailed
from api.ranges import range_of
from models import checkpoints, exports
from models.database import Database, Session
from models.storage import Damaged, NotThere, Storage
from models.tables import Checkpoint, Export

log = structlog.get_logger()
PRESIGNED_SECONDS = 300


@dataclass(frozen=True)
class Content:
    """An object that can be downloaded, and what to do when it turns out not to be what was written."""

    id: str
    key: str
    bytes: int
    sha256: str
    filename: str
    withdraw: Callable[[Session, str], None]


def weights_of(row: Checkpoint) -> Content:
    name = f"{row.job_id}-step-{row.step}.safetensors"
    return Content(row.id, row.weights_key, row.weights_bytes, row.weights_sha256, name, checkpoints.withdraw)


def exported(row: Checkpoint, export: Export) -> Content:
    assert export.key is not None
    assert export.bytes is not None
    assert export.sha256 is not None
    name = f"{row.job_id}-step-{row.step}.{exports.ENDINGS[export.format]}"
    return Content(export.id, export.key, export.bytes, export.sha256, name, exports.forget)


@dataclass(frozen=True)
class Download:
    """One checkpoint on its way out, in one of its forms."""

    database: Database
    storage: Storage
    content: Content

    @property
    def tag(self) -> str:
        return f'"{self.content.sha256}"'

    @property
    def headers(self) -> dict[str, str]:
        digest = base64.b64encode(bytes.fromhex(self.content.sha256)).decode()
        return {
            "ETag": self.tag,
            "Repr-Digest": f"sha-256=:{digest}:",
            "Accept-Ranges": "bytes",
            "Cache-Control": "private, no-cache",
            "Content-Disposition": f'attachment; filename="{self.content.filename}"',
        }

    def answer(self, request: Request, *, redirect: bool) -> Response:
        early = self._early_answer(request)
        if early is not None:
            return early
        elsewhere = self.storage.presign(self.content.key, PRESIGNED_SECONDS) if redirect else None
        if elsewhere is not None:
            return RedirectResponse(elsewhere, 307, {"Cache-Control": "no-store"})
        size = self._size()
        part = range_of(request.headers.get("range"), size) if self._range_counts(request) else None
        if part is None:
            headers = {**self.headers, "Content-Length": str(size)}
            return StreamingResponse(self._verified(), 200, headers, "application/octet-stream")
        headers = {
            **self.headers,
            "Content-Length": str(part.end - part.start),
            "Content-Range": part.content_range(size),
        }
        pieces = self.storage.read(self.content.key, part.start, part.end)
        return StreamingResponse(pieces, 206, headers, "application/octet-stream")

    def describe(self, request: Request) -> Response:
        early = self._early_answer(request)
        if early is not None:
            return early
        headers = {**self.headers, "Content-Length": str(self._size())}
        return Response(None, 200, headers, "application/octet-stream")

    def _early_answer(self, request: Request) -> Response | None:
        if "if-match" in request.headers and not names(request.headers["if-match"], self.tag):
            raise PreconditionFailed("this checkpoint has another sha256")
        if is_known(request, self.tag):
            return Response(status_code=304, headers=self.headers)
        return None

    def _range_counts(self, request: Request) -> bool:
        return request.headers.get("if-range", self.tag) == self.tag

    def _size(self) -> int:
        """The length of the object, looked up before anything is promised."""
        try:
            size = self.storage.size(self.content.key)
        except NotThere:
            log.error("checkpoint_object_missing", checkpoint=self.content.id)
            raise NotFound("the content of this checkpoint is missing from the object store") from None
        if size != self.content.bytes:
            self._withdraw()
            raise NotFound
        return size

    def _verified(self) -> Iterator[bytes]:
        """All bytes; the last piece only if the hash is the one that was promised: a download of damaged bytes is cut
        short, and never repeated."""
        digest = hashlib.sha256()
        held = b""
        for piece in self.storage.read(self.content.key):
            digest.update(piece)
            if held:
                yield held
            held = piece
        if digest.hexdigest() != self.content.sha256:
            self._withdraw()
            raise Damaged(self.content.key)
        yield held

    def _withdraw(self) -> None:
        log.error("checkpoint_damaged", checkpoint=self.content.id)
        with self.database.write() as session:
            self.content.withdraw(session, self.content.id)
