"""Tar archives, plain or gzipped: regular files only."""

import gzip
import tarfile
import zlib
from pathlib import Path
from types import TracebackType
from typing import Self

from worker.ingest.archive import CHUNK, Entry, GuardedFile, Listing, Meter
from worker.ingest.errors import Code, IngestError, printable
from worker.ingest.limits import KIB, Limits
from worker.ingest.progress import OnProgress, Progress

LARGEST_HEADER = 64 * KIB
_DAMAGE = (tarfile.TarError, ValueError, OverflowError, RecursionError, EOFError, OSError)


def is_tar(path: Path) -> bool:
    """Whether the first block of a file is a tar header, by its checksum."""
    with path.open("rb") as file:
        block = file.read(tarfile.BLOCKSIZE)
    try:
        tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        return False
    return True


def gunzip(source: Path, target: Path, limits: Limits, on_progress: OnProgress) -> None:
    """Unpack a gzip file to another one, metered; raises IngestError for a bomb or a damaged file."""
    meter = Meter(source.stat().st_size, limits)
    try:
        with source.open("rb") as raw, gzip.GzipFile(fileobj=raw) as packed, target.open("wb") as unpacked:
            while piece := packed.read(CHUNK):
                meter.add(len(piece))
                if meter.produced > limits.ratio * raw.tell() + limits.slack:
                    raise meter.refusal(meter.produced, None)
                unpacked.write(piece)
                on_progress(Progress("unpacking", meter.produced))
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        detail = f"The gzip file is damaged after {meter.produced:,} unpacked bytes: {printable(str(error))}."
        raise IngestError("damaged_archive", detail) from error


class TarArchive:
    """The regular files of a plain tar; raises IngestError for links, devices, unsafe paths and damage."""

    def __init__(self, path: Path, limits: Limits) -> None:
        self._offsets: dict[str, int] = {}
        self._length = path.stat().st_size
        self._meter = Meter(self._length, limits)
        self.entries = self._listed(path, limits)
        self._file = path.open("rb")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def read(self, entry: Entry) -> bytes:
        """The bytes of one entry."""
        self._meter.add(entry.size, entry.name)
        self._file.seek(self._offsets[entry.name])
        return self._file.read(entry.size)

    def _listed(self, path: Path, limits: Limits) -> list[Entry]:
        listing = Listing(limits)
        with GuardedFile(path, LARGEST_HEADER) as file:
            try:
                self._walk(file, listing, limits)
            except _DAMAGE as error:
                detail = f"The tar archive is damaged at byte {file.tell():,}: {printable(str(error))}."
                raise IngestError("damaged_archive", detail) from error
        return sorted(listing.entries, key=lambda entry: entry.parts)

    def _walk(self, file: GuardedFile, listing: Listing, limits: Limits) -> None:
        with tarfile.open(fileobj=file, mode="r:") as tar:
            position = -1
            while (member := tar.next()) is not None:
                if tar.offset <= position:
                    raise tarfile.ReadError("its headers run backwards")
                position = tar.offset
                tar.members = []  # type: ignore[attr-defined]  # tarfile keeps every header it has seen
                tar.pax_headers = {}
                parts = listing.meet(member.name)
                _check_kind(member)
                if member.isdir():
                    continue
                if member.offset_data + member.size > self._length:
                    raise tarfile.ReadError(f"the file ends inside of {printable(member.name)!r}")
                listing.add(member.name, parts, member.size, largest=limits.entry_bytes)
                self._offsets[member.name] = member.offset_data
            file.seek(tar.offset)
            if file.read(tarfile.BLOCKSIZE).strip(b"\0"):
                raise tarfile.ReadError("a header is cut short or fails its checksum")


def _check_kind(member: tarfile.TarInfo) -> None:
    if member.isdir() or (member.isfile() and not member.issparse()):
        return
    if member.issym() or member.islnk():
        code: Code = "link"
        kind = "a link"
    else:
        code, kind = "special_file", "a device, pipe or sparse file"
    raise IngestError(
        code, f"The entry {printable(member.name)!r} is {kind}; only regular files are read.", member.name
    )
