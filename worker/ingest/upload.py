"""From one uploaded file to one packed data set."""

import errno
import shutil
from pathlib import Path
from typing import assert_never

from models.spec.manifest import Manifest
from worker.ingest.arrays import pack_arrays
from worker.ingest.errors import IngestError
from worker.ingest.folders import pack_folder
from worker.ingest.limits import DEFAULT_LIMITS, Limits
from worker.ingest.packed import sync_folder, write_manifest
from worker.ingest.parquet import pack_parquet
from worker.ingest.progress import OnProgress, ignore
from worker.ingest.recognition import Format, recognize
from worker.ingest.tables import pack_csv
from worker.ingest.tars import TarArchive, gunzip, is_tar
from worker.ingest.zips import ZipArchive

_STORAGE_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def ingest(
    source: Path, destination: Path, *, filename: str, limits: Limits = DEFAULT_LIMITS, on_progress: OnProgress = ignore
) -> Manifest:
    """Decode one uploaded file into the packed folder `destination`, which appears whole or not at all.

    `filename` is what the user called it. Raises IngestError for whatever is wrong with the upload.
    """
    workshop = destination.with_name(destination.name + ".partial")
    shutil.rmtree(workshop, ignore_errors=True)
    workshop.mkdir()
    try:
        manifest = _pack(source, workshop, filename, limits, on_progress)
        write_manifest(workshop, manifest)
        sync_folder(workshop)
        workshop.rename(destination)
        sync_folder(destination.parent)
        return manifest
    except OSError as error:
        if error.errno in _STORAGE_FULL:
            raise IngestError(
                "storage_full", "There is no room left to unpack the upload. Try again later, or send less."
            ) from error
        raise
    finally:
        shutil.rmtree(workshop, ignore_errors=True)


def _pack(source: Path, workshop: Path, filename: str, limits: Limits, on_progress: OnProgress) -> Manifest:
    size = source.stat().st_size
    if size > limits.upload_bytes:
        raise IngestError("too_large", f"The upload has {size:,} bytes; at most {limits.upload_bytes:,} are read.")
    kind: Format = recognize(source, filename)
    match kind:
        case "zip" | "npz":
            return _pack_zip(source, workshop, kind, limits, on_progress)
        case "tar":
            return _pack_tar(source, workshop, size, limits, on_progress)
        case "tar.gz":
            return _pack_gzip(source, workshop, size, limits, on_progress)
        case "csv":
            return pack_csv(source, workshop, limits=limits, on_progress=on_progress)
        case "parquet":
            return pack_parquet(source, workshop, limits=limits, on_progress=on_progress)
        case _:
            assert_never(kind)


def _pack_zip(source: Path, workshop: Path, kind: Format, limits: Limits, on_progress: OnProgress) -> Manifest:
    with ZipArchive(source, limits) as archive:
        if not archive.entries:
            raise IngestError("empty", "The zip archive holds no file.")
        arrays = [entry.parts[-1].endswith(".npy") for entry in archive.entries]
        if all(arrays) or (kind == "npz" and any(arrays)):
            return pack_arrays(archive, workshop, limits=limits, on_progress=on_progress)
        if kind == "npz":
            raise IngestError(
                "wrong_extension", "The file is called .npz, but its zip archive holds other things than arrays."
            )
        for marker, what in _OTHER_ZIPS.items():
            if any(marker in entry.parts for entry in archive.entries):
                raise IngestError("not_supported", f"The file is {what}.")
        return pack_folder(archive, workshop, source.stat().st_size, limits=limits, on_progress=on_progress)


_OTHER_ZIPS = {
    "[Content_Types].xml": "an office document; save the table as CSV",
    "data.pkl": "a PyTorch file, which holds a pickle and is never read; save arrays with numpy.savez",
    "META-INF": "a Java archive",
}


def _pack_gzip(source: Path, workshop: Path, size: int, limits: Limits, on_progress: OnProgress) -> Manifest:
    unpacked = workshop / "unpacked"
    try:
        gunzip(source, unpacked, limits, on_progress)
        if not is_tar(unpacked):
            raise IngestError("not_supported", "The gzip file holds no tar archive; only .tar.gz is read.")
        return _pack_tar(unpacked, workshop, size, limits, on_progress)
    finally:
        unpacked.unlink(missing_ok=True)


def _pack_tar(source: Path, workshop: Path, size: int, limits: Limits, on_progress: OnProgress) -> Manifest:
    with TarArchive(source, limits) as archive:
        return pack_folder(archive, workshop, size, limits=limits, on_progress=on_progress)
