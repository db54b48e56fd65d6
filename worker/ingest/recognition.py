"""What an upload is, by its first bytes rather than by its name."""

from pathlib import Path
from typing import Literal

from worker.ingest.errors import IngestError, printable
from worker.ingest.tars import is_tar

Format = Literal["zip", "npz", "tar", "tar.gz", "csv", "parquet"]

ACCEPTED = "an image folder as .zip, .tar or .tar.gz, arrays as .npz, or a table as .csv or .parquet"
_SUFFIXES: dict[str, Format] = {
    ".tar.gz": "tar.gz",
    ".tgz": "tar.gz",
    ".tar": "tar",
    ".zip": "zip",
    ".npz": "npz",
    ".csv": "csv",
    ".parquet": "parquet",
    ".pq": "parquet",
}
_ZIP = (b"PK\x03\x04", b"PK\x05\x06")
_GZIP = b"\x1f\x8b"
_PARQUET = b"PAR1"
_FOREIGN = {
    b"\x93NUMPY": "a single .npy array; save inputs and labels together with numpy.savez",
    b"PARE": "an encrypted Parquet file; save it without encryption",
    b"\x89PNG": "a single PNG image; send a zip with one folder of images for each class",
    b"\xff\xd8\xff": "a single JPEG image; send a zip with one folder of images for each class",
    b"RIFF": "a RIFF file such as a single WebP image; send a zip with one folder of images for each class",
    b"GIF8": "a GIF image; send a zip with one folder of PNG, JPEG or WebP images for each class",
    b"BZh": "a bzip2 file; pack the folder as .zip or .tar.gz",
    b"\xfd7zXZ": "an xz file; pack the folder as .zip or .tar.gz",
    b"\x28\xb5\x2f\xfd": "a zstandard file; pack the folder as .zip or .tar.gz",
    b"7z\xbc\xaf": "a 7-Zip archive; pack the folder as .zip or .tar.gz",
    b"Rar!": "a RAR archive; pack the folder as .zip or .tar.gz",
    b"\x89HDF": "an HDF5 file; save its arrays with numpy.savez",
    b"%PDF": "a PDF document",
    b"SQLite format 3": "an SQLite database; export the table as CSV",
    b"\x80\x02": "a Python pickle, which is never read; save arrays with numpy.savez",
    b"\x80\x03": "a Python pickle, which is never read; save arrays with numpy.savez",
    b"\x80\x04": "a Python pickle, which is never read; save arrays with numpy.savez",
    b"\x80\x05": "a Python pickle, which is never read; save arrays with numpy.savez",
    b"\x7fELF": "a program",
    b"\xff\xfe": "UTF-16 text; save the table as UTF-8",
    b"\xfe\xff": "UTF-16 text; save the table as UTF-8",
}


def recognize(source: Path, filename: str) -> Format:
    """The format of an upload; raises IngestError when it is empty, of no accepted kind, or not what its name says."""
    if source.stat().st_size == 0:
        raise IngestError("empty", "The upload is empty: no byte arrived.")
    named, found = _by_name(filename), _by_content(source)
    if found is None:
        return _as_text(source, filename, named)
    if named is None or named == found or {named, found} == {"zip", "npz"}:
        return named or found
    raise IngestError(
        "wrong_extension",
        f"The file is called {printable(filename)!r}, but its content is {_described(found)}. Rename it.",
    )


def _by_name(filename: str) -> Format | None:
    lowered = filename.lower()
    return next((kind for suffix, kind in _SUFFIXES.items() if lowered.endswith(suffix)), None)


def _by_content(source: Path) -> Format | None:
    with source.open("rb") as file:
        start = file.read(16)
    if start.startswith(_ZIP):
        return "zip"
    if start.startswith(_GZIP):
        return "tar.gz"
    if start.startswith(_PARQUET):
        return "parquet"
    if is_tar(source):
        return "tar"
    for magic, kind in _FOREIGN.items():
        if start.startswith(magic):
            raise IngestError("not_supported", f"The file is {kind}. Accepted are {ACCEPTED}.")
    return None


def _as_text(source: Path, filename: str, named: Format | None) -> Format:
    with source.open("rb") as file:
        start = file.read(65_536)
    if b"\0" in start:
        raise IngestError(
            "not_supported", f"The file is binary data of no kind that is known here. Accepted are {ACCEPTED}."
        )
    if named == "csv" or (named is None and not Path(filename).suffix):
        return "csv"
    if named is None:
        raise IngestError(
            "wrong_extension",
            f"{printable(filename)!r} is text of a kind that its name does not tell. Accepted are {ACCEPTED}.",
        )
    raise IngestError(
        "wrong_extension",
        f"The file is called {printable(filename)!r}, but its content is text and not {_described(named)}.",
    )


def _described(kind: Format) -> str:
    return {
        "zip": "a zip archive",
        "npz": "NumPy arrays (.npz)",
        "tar": "a tar archive",
        "tar.gz": "a gzip file",
        "csv": "text",
        "parquet": "a Parquet file",
    }[kind]
