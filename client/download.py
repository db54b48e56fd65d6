"""A file on its way in: in a `.part` beside its place until all of it is there and has the right sha256."""

import hashlib
import os
import re
from base64 import b64decode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import httpx

from .errors import DigestMismatch
from .resources import Checkpoint

__all__ = ["Part", "Progress", "file_sha256", "whole_file"]

Progress = Callable[[int, int], None]
"""Called with the bytes that are there and the bytes that there will be."""
CHUNK = 1024 * 1024


@contextmanager
def whole_file(path: Path, promised: str | None = None) -> Iterator[BinaryIO]:
    """A file that is in its place once the block has ended, and nowhere if the block fails.

    Args:
        promised: a `Repr-Digest` (RFC 9530) with the sha256 that it must have.

    Raises:
        DigestMismatch: it has another.
    """
    temporary = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        with temporary.open("wb") as file:
            yield file
        expected = _sha256_of(promised)
        if expected is not None and (found := file_sha256(temporary).hex()) != expected:
            raise DigestMismatch(path, expected=expected, found=found)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def file_sha256(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def _sha256_of(digest: str | None) -> str | None:
    found = re.search(r"sha-256=:([A-Za-z0-9+/=]+):", digest or "")
    return None if found is None else b64decode(found[1]).hex()


class Part:
    """What there is of a checkpoint's file. It is named after its sha256, so what an earlier download left behind is
    gone on with, and never mixed up with another checkpoint's."""

    def __init__(self, checkpoint: Checkpoint, destination: Path, progress: Progress | None) -> None:
        self._checkpoint = checkpoint
        self.destination = destination / f"{checkpoint.id}.safetensors" if destination.is_dir() else destination
        self._path = self.destination.with_name(f"{self.destination.name}.{checkpoint.sha256[:16]}.part")
        self._progress = progress
        self._digest = hashlib.sha256()
        self._file = self._path.open("a+b")
        self._reread()
        if self._size > checkpoint.bytes:
            self._empty()

    def __enter__(self) -> "Part":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._file.close()

    @property
    def size(self) -> int:
        """Bytes that are there."""
        return self._size

    @property
    def is_whole(self) -> bool:
        return self._size >= self._checkpoint.bytes

    @property
    def headers(self) -> dict[str, str]:
        """What asks for the rest of it, or for all if it is not the same file any more."""
        headers = {"Accept-Encoding": "identity"}
        if self._size:
            headers |= {"Range": f"bytes={self._size}-", "If-Range": f'"{self._checkpoint.sha256}"'}
        return headers

    def begin(self, response: httpx.Response) -> None:
        """Look at the reply that is about to be taken: all of the file starts it anew."""
        if not response.headers.get("content-range", "").startswith(f"bytes {self._size}-"):
            self._empty()

    def take(self, data: bytes) -> None:
        self._file.write(data)
        self._digest.update(data)
        self._size += len(data)
        if self._progress is not None:
            self._progress(self._size, self._checkpoint.bytes)

    def finish(self) -> Path:
        """Put the file in its place, durably.

        Raises:
            DigestMismatch: it is not what was promised; it is deleted.
        """
        found = self._digest.hexdigest()
        if found != self._checkpoint.sha256:
            self._path.unlink()
            raise DigestMismatch(self.destination, expected=self._checkpoint.sha256, found=found)
        self._file.flush()
        os.fsync(self._file.fileno())
        return self._path.replace(self.destination)

    def _reread(self) -> None:
        self._size = 0
        self._file.seek(0)
        while data := self._file.read(CHUNK):
            self._digest.update(data)
            self._size += len(data)

    def _empty(self) -> None:
        self._file.truncate(0)
        self._digest = hashlib.sha256()
        self._size = 0
