"""Zip archives: stored or deflated regular files."""

import stat
import struct
import zipfile
import zlib
from pathlib import Path
from types import TracebackType
from typing import Self

from worker.ingest.archive import CHUNK, Entry, GuardedFile, Listing, Meter, too_many_entries
from worker.ingest.errors import IngestError, printable
from worker.ingest.limits import MIB, Limits

LARGEST_DIRECTORY = 48 * MIB
_DIRECTORY_HEADER = b"PK\x01\x02"
_ENCRYPTED = 0x1
_MADE_ON_UNIX = 3
_DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    ValueError,
    EOFError,
    OverflowError,
    NotImplementedError,
    OSError,
)


class _GuardedZip(GuardedFile):
    """Counts the records of a zip's directory before `zipfile` makes an object of each."""

    def __init__(self, path: Path, limits: Limits) -> None:
        super().__init__(path, LARGEST_DIRECTORY)
        self._limits = limits

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        if data.startswith(_DIRECTORY_HEADER) and data.count(_DIRECTORY_HEADER) > self._limits.entries:
            raise too_many_entries(self._limits)
        return data


class EntryStream:
    """One entry of a zip, metered while it is read; raises IngestError for a damaged one."""

    def __init__(self, archive: zipfile.ZipFile, info: zipfile.ZipInfo, meter: Meter) -> None:
        self._name = info.filename
        self._meter = meter
        try:
            self._stream = archive.open(info)
        except _DAMAGE as error:
            raise self._damaged(error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stream.close()

    def read(self, size: int = CHUNK, /) -> bytes:
        """The next bytes, at most `size`."""
        try:
            data = self._stream.read(size)
        except _DAMAGE as error:
            raise self._damaged(error) from error
        self._meter.add(len(data), self._name)
        return data

    def _damaged(self, error: Exception) -> IngestError:
        detail = (
            f"The entry {printable(self._name)!r} cannot be unpacked: {printable(str(error) or 'it is cut short')}."
        )
        return IngestError("damaged_archive", detail, self._name)


class ZipArchive:
    """The regular files of a zip. Raises IngestError for anything a data set has no need of."""

    def __init__(self, path: Path, limits: Limits) -> None:
        self.meter = Meter(path.stat().st_size, limits)
        self._infos: dict[str, zipfile.ZipInfo] = {}
        self._file = _GuardedZip(path, limits)
        try:
            self._zip = _opened(self._file)
            self.entries = self._listed(limits)
        except IngestError:
            self._file.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._zip.close()
        self._file.close()

    def read(self, entry: Entry) -> bytes:
        """The bytes of one entry; raises IngestError when they are damaged or more than declared."""
        with self.stream(entry) as stream:
            return b"".join(iter(lambda: stream.read(CHUNK), b""))

    def stream(self, entry: Entry) -> "EntryStream":
        """An entry to read piece by piece."""
        return EntryStream(self._zip, self._infos[entry.name], self.meter)

    def _listed(self, limits: Limits) -> list[Entry]:
        listing = Listing(limits)
        for info in self._zip.infolist():
            parts = listing.meet(info.filename)
            _check_kind(info)
            if not info.is_dir():
                largest = (
                    limits.packed_bytes if info.filename.endswith(".npy") else limits.entry_bytes
                )  # arrays are streamed
                listing.add(info.filename, parts, info.file_size, largest=largest)
                self._infos[info.filename] = info
        return sorted(listing.entries, key=lambda entry: entry.parts)


def _opened(file: _GuardedZip) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(file)
    except _DAMAGE as error:
        raise IngestError(
            "damaged_archive",
            "The zip archive has no readable directory at its end: it is cut short or damaged. Send it again.",
        ) from error


def _check_kind(info: zipfile.ZipInfo) -> None:
    name = printable(info.filename)
    kind = stat.S_IFMT(info.external_attr >> 16) if info.create_system == _MADE_ON_UNIX else 0
    if kind == stat.S_IFLNK:
        raise IngestError("link", f"The entry {name!r} is a symbolic link; only regular files are read.", info.filename)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise IngestError(
            "special_file", f"The entry {name!r} is a device or pipe; only regular files are read.", info.filename
        )
    if info.flag_bits & _ENCRYPTED:
        raise IngestError(
            "encrypted", f"The entry {name!r} is encrypted; send the archive without a password.", info.filename
        )
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise IngestError(
            "unsupported_compression",
            f"The entry {name!r} is packed by method {info.compress_type}; only stored and deflated entries are read.",
            info.filename,
        )
