"""Objects: immutable, hashed while they are written, readable by range.

Two stores behind one small face: a local folder of our own, which is durable when `commit` returns and leaves nothing
half-written behind, and everything that speaks S3 through obstore.
"""

import base64
import errno
import fcntl
import hashlib
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from http import HTTPStatus
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, Protocol
from urllib.error import HTTPError
from urllib.request import Request, urlopen
from xml.etree import ElementTree

import obstore
from obstore.exceptions import BaseError, GenericError
from obstore.store import S3Store

from models import meters
from models.failpoints import reach
from models.settings import Settings
from models.signatures import Signer

if TYPE_CHECKING:
    from obstore.store import S3Config

CHUNK = 1024 * 1024
OUTAGES = (BaseError,)
"""What a store raises when it is away or refuses us."""


def outage() -> Exception:
    """What obstore raises when the store is gone."""
    return GenericError("the store closed the connection")


def is_full(error: Exception) -> bool:
    """Whether a disk has no room left."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True)
class Stored:
    """What was written: its length in bytes and its sha256 in hexadecimal."""

    bytes: int
    sha256: str


class NotThere(LookupError):
    """There is no object of that key."""


class Damaged(ValueError):
    """An object's bytes are not the ones that were written."""


@dataclass(frozen=True)
class SignedPut:
    """A request by which anybody can write one object, of these bytes and no others."""

    url: str
    headers: Mapping[str, str]


class Writer(Protocol):
    """An object on its way in. It is visible after `commit` and never half of it; a writer that is only closed leaves
    nothing."""

    def write(self, data: bytes) -> None: ...
    def commit(self) -> Stored: ...
    def close(self) -> None: ...


class Storage(Protocol):
    """Where objects are kept. Keys are relative paths with `/`."""

    def writer(self, key: str) -> Writer: ...
    def size(self, key: str) -> int: ...
    def read(self, key: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """The bytes start … end (exclusive) in pieces."""
        ...

    def delete(self, key: str) -> None: ...
    def keys(self, prefix: str) -> Iterator[str]: ...
    def clear_away(self) -> int:
        """Remove what writers that are dead have left half-written; how many those were."""
        ...

    def presign(self, key: str, seconds: float) -> str | None:
        """A URL that reads the object without credentials for a while, where the store can make one."""
        ...

    def presign_put(self, key: str, size: int, sha256: str, seconds: float) -> SignedPut | None:
        """A request that writes the object without credentials, where the store can hold its sender to the size."""
        ...

    def end_writers(self, prefix: str) -> None:
        """Remove what writers have left half-written below a prefix, where nobody is writing any more."""
        ...

    def check(self) -> None:
        """Raise what stands in the way of reading and writing."""
        ...


def open_storage(settings: Settings) -> Storage:
    scheme, _, place = settings.storage_url.partition("://")
    match scheme:
        case "file":
            return Folder(Path(place))
        case "s3":
            return Bucket(settings, *_split_bucket(place))
        case _:
            raise ValueError(f"storage_url must start with file:// or s3://, not {scheme}://")


@contextmanager
def _counted() -> Iterator[None]:
    try:
        yield
    except (*OUTAGES, OSError):
        meters.STORE_ERRORS.inc()
        raise


def _go_on() -> None:
    """Nothing is in the way."""


def put_file(storage: Storage, key: str, source: Path, look: Callable[[], None] = _go_on) -> Stored:
    """Copy a file into the store. `look` is called before each piece and raises what ends the copying."""
    with _counted(), source.open("rb") as file:
        reach("store.call", error=outage)
        writer = storage.writer(key)
        try:
            while data := file.read(CHUNK):
                look()
                writer.write(data)
            return writer.commit()
        finally:
            writer.close()


def get_file(storage: Storage, key: str, destination: Path, sha256: str, look: Callable[[], None] = _go_on) -> None:
    """Copy an object to a file: see `get_joined`."""
    get_joined(storage, [key], destination, sha256, look)


def get_joined(
    storage: Storage, keys: Iterable[str], destination: Path, sha256: str, look: Callable[[], None] = _go_on
) -> None:
    """Copy objects, one behind the other, to a file that is there, whole and verified, or not at all. `look` is called
    before each piece and raises what ends the copying.

    Raises:
        NotThere: no such object.
        Damaged: the bytes do not have the hash that was promised.
    """
    destination.parent.mkdir(parents=True, exist_ok=True)
    with _counted(), tempfile.NamedTemporaryFile(dir=destination.parent, prefix=".part-", delete=False) as file:
        temporary = Path(file.name)
        try:
            reach("store.call", error=outage)
            digest = hashlib.sha256()
            for data in chain.from_iterable(map(storage.read, keys)):
                look()
                digest.update(data)
                file.write(data)
            if digest.hexdigest() != sha256:
                raise Damaged(destination.name)
            file.flush()
            temporary.replace(destination)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


class Folder:
    """Objects as files. An object is written beside its place, synced, renamed into it, and the folder synced."""

    def __init__(self, root: Path) -> None:
        self._root = root
        root.mkdir(parents=True, exist_ok=True, mode=0o700)

    def writer(self, key: str) -> Writer:
        return _FileWriter(self._path(key), self._root)

    def size(self, key: str) -> int:
        try:
            return self._path(key).stat().st_size
        except FileNotFoundError:
            raise NotThere(key) from None

    def read(self, key: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        try:
            file = self._path(key).open("rb")
        except FileNotFoundError:
            raise NotThere(key) from None
        with file:
            yield from _pieces(file, start, end)

    def delete(self, key: str) -> None:
        with suppress(IsADirectoryError):  # a prefix, which is no object
            self._path(key).unlink(missing_ok=True)

    def keys(self, prefix: str) -> Iterator[str]:
        for path in sorted((self._path(prefix) if prefix else self._root).rglob("*")):
            if path.is_file() and not path.name.startswith(_TEMPORARY):
                yield path.relative_to(self._root).as_posix()

    def clear_away(self) -> int:
        """A writer holds the lock of its file as long as it lives."""
        dead = [path for path in self._root.rglob(f"{_TEMPORARY}*") if _is_abandoned(path)]
        for path in dead:
            path.unlink(missing_ok=True)
        return len(dead)

    def presign(self, key: str, seconds: float) -> str | None:  # noqa: ARG002
        return None

    def presign_put(self, key: str, size: int, sha256: str, seconds: float) -> SignedPut | None:  # noqa: ARG002
        return None

    def end_writers(self, prefix: str) -> None:
        """`clear_away` does it, whosever they are."""

    def check(self) -> None:
        if not os.access(self._root, os.R_OK | os.W_OK | os.X_OK):
            raise PermissionError(f"cannot read and write {self._root}")

    def _path(self, key: str) -> Path:
        parts = PurePosixPath(key).parts
        if not parts or key.startswith("/") or any(part == ".." or part.startswith(_TEMPORARY) for part in parts):
            raise ValueError(f"not a key: {key!r}")
        return self._root.joinpath(*parts)


_TEMPORARY = ".part-"
_NEW_SECONDS = 60
"""A file so young may not be locked yet."""


def _is_abandoned(path: Path) -> bool:
    try:
        with path.open("r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return time.time() - os.fstat(file.fileno()).st_mtime > _NEW_SECONDS
    except OSError:  # locked, or gone meanwhile
        return False


class _FileWriter:
    def __init__(self, destination: Path, root: Path) -> None:
        self._destination = destination
        self._root = root
        destination.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle, name = tempfile.mkstemp(dir=destination.parent, prefix=_TEMPORARY)
        fcntl.flock(handle, fcntl.LOCK_EX)
        self._file = os.fdopen(handle, "wb")
        self._temporary = Path(name)
        self._digest = hashlib.sha256()

    def write(self, data: bytes) -> None:
        self._digest.update(data)
        self._file.write(data)

    def commit(self) -> Stored:
        self._file.flush()
        os.fsync(self._file.fileno())
        size = self._file.tell()
        self._file.close()
        reach("ckpt.tmp_written", file=self._temporary)
        self._temporary.replace(self._destination)
        for folder in (self._destination.parent, *self._destination.parent.parents):
            _sync_folder(folder)
            if folder == self._root:
                break
        return Stored(size, self._digest.hexdigest())

    def close(self) -> None:
        with suppress(OSError):  # it writes what is left: a disk that was full is full again, and `commit` has said so
            self._file.close()
        self._temporary.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _pieces(file: IO[bytes], start: int, end: int | None) -> Iterator[bytes]:
    file.seek(start)
    left = None if end is None else end - start
    while left is None or left > 0:
        data = file.read(CHUNK if left is None else min(CHUNK, left))
        if not data:
            return
        left = None if left is None else left - len(data)
        yield data


class Bucket:
    """Objects in a bucket of an S3-compatible store."""

    def __init__(self, settings: Settings, bucket: str, prefix: str) -> None:
        self._store = _s3(settings, settings.s3_endpoint, bucket, prefix)
        self._signer = _s3(settings, settings.s3_public_endpoint or settings.s3_endpoint, bucket, prefix)
        self._own = _signer(settings, settings.s3_endpoint, bucket)
        self._public = _signer(settings, settings.s3_public_endpoint or settings.s3_endpoint, bucket)
        self._prefix = prefix

    def writer(self, key: str) -> Writer:
        return _BucketWriter(self._store, key)

    def size(self, key: str) -> int:
        try:
            return obstore.head(self._store, key)["size"]
        except FileNotFoundError:
            raise NotThere(key) from None

    def read(self, key: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        try:
            answer = obstore.get(
                self._store, key, options={"range": {"offset": start} if end is None else (start, end)}
            )
        except FileNotFoundError:
            raise NotThere(key) from None
        for piece in answer.stream(min_chunk_size=CHUNK):
            yield bytes(piece)

    def delete(self, key: str) -> None:
        try:
            obstore.delete(self._store, key)
        except FileNotFoundError:
            return

    def keys(self, prefix: str) -> Iterator[str]:
        for batch in obstore.list(self._store, prefix=prefix):
            for entry in batch:
                yield entry["path"]

    def clear_away(self) -> int:
        return 0  # `end_writers` does it, prefix by prefix

    def presign_put(self, key: str, size: int, sha256: str, seconds: float) -> SignedPut | None:
        if self._public is None:
            return None
        digest = base64.b64encode(bytes.fromhex(sha256)).decode()
        headers = {"content-length": str(size), "x-amz-checksum-sha256": digest}
        return SignedPut(self._public.url("PUT", self._place(key), seconds, headers=headers), headers)

    def end_writers(self, prefix: str) -> None:
        if self._own is None:
            return
        place = self._place(prefix)
        for key, upload_id in _multipart_uploads(self._own, place):
            if key == place or key.startswith(f"{place}/"):
                _ask(self._own.url("DELETE", key, 60, {"uploadId": upload_id}), "DELETE")

    def _place(self, key: str) -> str:
        """A key as the bucket has it."""
        return f"{self._prefix}/{key}" if self._prefix else key

    def presign(self, key: str, seconds: float) -> str | None:
        return obstore.sign(self._signer, "GET", key, timedelta(seconds=seconds))

    def check(self) -> None:
        next(iter(obstore.list(self._store, prefix="health", chunk_size=50)), None)


def _s3(settings: Settings, endpoint: str | None, bucket: str, prefix: str) -> S3Store:
    config: S3Config = {"region": settings.s3_region}
    if endpoint is not None:
        config |= {"endpoint": endpoint, "virtual_hosted_style_request": False}
    if settings.s3_access_key_id is not None and settings.s3_secret_access_key is not None:
        secret = settings.s3_secret_access_key.get_secret_value()
        config |= {"access_key_id": settings.s3_access_key_id, "secret_access_key": secret}
    plain_http = endpoint is not None and endpoint.startswith("http://")
    return S3Store(bucket, prefix=prefix or None, config=config, client_options={"allow_http": plain_http})


def _signer(settings: Settings, endpoint: str | None, bucket: str) -> Signer | None:
    """None where the instance's own credentials are used, which only obstore knows."""
    if settings.s3_access_key_id is None or settings.s3_secret_access_key is None:
        return None
    root = (endpoint or f"https://s3.{settings.s3_region}.amazonaws.com").rstrip("/")
    secret = settings.s3_secret_access_key.get_secret_value()
    return Signer(f"{root}/{bucket}", settings.s3_region, settings.s3_access_key_id, secret)


def _multipart_uploads(signer: Signer, place: str) -> list[tuple[str, str]]:
    """Keys and ids of the first thousand uploads that are neither completed nor ended; the rest are found next time."""
    answer = _ask(signer.url("GET", "", 60, {"uploads": "", "prefix": place}), "GET")
    if answer is None:
        return []
    uploads = ElementTree.fromstring(answer).iterfind("{*}Upload")  # noqa: S314
    return [(upload.findtext("{*}Key", ""), upload.findtext("{*}UploadId", "")) for upload in uploads]


def _ask(url: str, method: str) -> bytes | None:
    """What obstore has no words for. None: the store does not know it, or does not let us, or somebody was faster."""
    try:
        with urlopen(Request(url, method=method), timeout=60) as reply:  # noqa: S310
            answer: bytes = reply.read()
            return answer
    except HTTPError as error:
        if error.code < HTTPStatus.INTERNAL_SERVER_ERROR or error.code == HTTPStatus.NOT_IMPLEMENTED:
            return None
        raise GenericError(f"the store answered {error.code}") from None
    except OSError as error:
        raise GenericError(str(error)) from None


class _BucketWriter:
    """Streams parts while they come. Parts of an upload that is never completed are not an object; `end_writers`, or
    the bucket's rule for incomplete uploads, clears them away."""

    def __init__(self, store: S3Store, key: str) -> None:
        self._file = obstore.open_writer(store, key)
        self._digest = hashlib.sha256()
        self._size = 0

    def write(self, data: bytes) -> None:
        self._digest.update(data)
        self._size += len(data)
        with _no_file():
            self._file.write(data)

    def commit(self) -> Stored:
        with _no_file():
            self._file.close()
        return Stored(self._size, self._digest.hexdigest())

    def close(self) -> None:
        del self._file


@contextmanager
def _no_file() -> Iterator[None]:
    """obstore's writers say OSError, as files do; a store that is away is the same kind of trouble both ways."""
    try:
        yield
    except OSError as error:
        raise GenericError(str(error)) from None


def _split_bucket(place: str) -> tuple[str, str]:
    bucket, _, prefix = place.partition("/")
    return bucket, prefix.strip("/")
