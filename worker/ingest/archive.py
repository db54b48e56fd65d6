"""An archive as a list of regular files, read one at a time into memory and never written under their own names."""

import io
import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from worker.ingest.errors import IngestError, printable
from worker.ingest.limits import MIB, Limits

MAX_NAME = 1_024
CHUNK = MIB


@dataclass(frozen=True, slots=True)
class Entry:
    """One regular file of an archive: its name as stored, its safe path in components, and its size as declared."""

    name: str
    parts: tuple[str, ...]
    size: int


class Archive(Protocol):
    """What the readers of zip and tar have in common."""

    @property
    def entries(self) -> list[Entry]:
        """Every regular file, by its path."""

    def read(self, entry: Entry) -> bytes:
        """The bytes of one entry, metered while they are produced."""


class Meter:
    """Counts the bytes that come out of an upload; refuses it when they are out of proportion to those that went in."""

    def __init__(self, upload_bytes: int, limits: Limits) -> None:
        self.ceiling = min(limits.ratio * upload_bytes + limits.slack, limits.packed_bytes)
        self.produced = 0
        self._upload_bytes = upload_bytes
        self._ratio = limits.ratio

    def add(self, count: int, entry: str | None = None) -> None:
        """Count bytes just produced."""
        self.produced += count
        if self.produced > self.ceiling:
            raise self.refusal(self.produced, entry)

    def require(self, count: int, entry: str | None = None) -> None:
        """Refuse at once what claims that it will produce too many bytes."""
        if self.produced + count > self.ceiling:
            raise self.refusal(self.produced + count, entry)

    def refusal(self, size: int, entry: str | None) -> IngestError:
        """The error that says how much came out of how little."""
        detail = (
            f"The upload has {self._upload_bytes:,} bytes and unfolds to {size:,} or more; at most {self.ceiling:,} "
            f"are read, about {self._ratio} for each byte sent. Save it as a smaller type or size, or less compressed "
            "(numpy.savez rather than savez_compressed)."
        )
        return IngestError("ratio", detail, entry)


class GuardedFile(io.BufferedReader):
    """A file that refuses to hand out a large piece at once, for parsers that allocate whatever a header claims."""

    def __init__(self, path: Path, largest_read: int) -> None:
        super().__init__(io.FileIO(path))
        self._length = path.stat().st_size
        self._largest_read = largest_read

    def read(self, size: int | None = -1, /) -> bytes:
        wanted = self._length - self.tell() if size is None or size < 0 else size
        if wanted > self._largest_read:
            raise IngestError(
                "damaged_archive",
                f"A header of the archive claims {wanted:,} bytes; at most {self._largest_read:,} are read.",
            )
        return super().read(size)


def safe_parts(name: str) -> tuple[str, ...]:
    """Split an entry's name into components, in Unicode's composed form; raises IngestError for an unsafe one."""
    path = unicodedata.normalize("NFC", name).replace("\\", "/")
    if not path:
        raise IngestError("unsafe_path", "An entry of the archive has no name.", name)
    if path.startswith("/") or re.match(r"[A-Za-z]:", path):
        raise IngestError(
            "unsafe_path", f"The entry {printable(name)!r} has an absolute path; paths must be relative.", name
        )
    parts = tuple(part for part in path.split("/") if part not in ("", "."))
    if ".." in parts:
        raise IngestError("unsafe_path", f"The entry {printable(name)!r} points outside of the archive by '..'.", name)
    if len(path) > MAX_NAME or not path.isprintable():
        raise IngestError(
            "unsafe_path",
            f"The entry {printable(name)!r} is not plain UTF-8 text of at most {MAX_NAME:,} characters.",
            name,
        )
    return parts


class Listing:
    """Collects the regular files of an archive; refuses too many, too large ones, and the same path twice."""

    def __init__(self, limits: Limits) -> None:
        self.entries: list[Entry] = []
        self._paths: set[tuple[str, ...]] = set()
        self._limits = limits
        self._met = 0

    def meet(self, name: str) -> tuple[str, ...]:
        """Count an entry of any kind and check its name."""
        self._met += 1
        if self._met > self._limits.entries:
            raise too_many_entries(self._limits)
        return safe_parts(name)

    def add(self, name: str, parts: tuple[str, ...], size: int, *, largest: int) -> Entry:
        """Take in a regular file."""
        if size > largest:
            raise IngestError(
                "entry_too_large",
                f"The entry {printable(name)!r} has {size:,} bytes; at most {largest:,} are read.",
                name,
            )
        if not parts:
            raise IngestError(
                "unsafe_path", f"The entry {printable(name)!r} is a file and has the name of a folder.", name
            )
        if parts in self._paths:
            raise IngestError("duplicate_entry", f"The archive holds {printable(name)!r} twice.", name)
        self._paths.add(parts)
        entry = Entry(name, parts, size)
        self.entries.append(entry)
        return entry


def too_many_entries(limits: Limits) -> IngestError:
    """The refusal of an archive with more files than are read."""
    return IngestError(
        "too_many_entries", f"The archive has more than {limits.entries:,} entries, which is the most that is read."
    )
