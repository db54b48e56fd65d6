"""All of a run in a zip: what was asked, on which data, with which versions, what came of it, and a script that does
the same without us."""

import io
import json
import zipfile
from collections.abc import Iterator
from typing import Any

from pydantic import TypeAdapter
from typing_extensions import Buffer

from api import representations
from api.errors import Conflict
from api.resources import ProblemItem
from api.script import CannotWrite, write_script
from models import datasets, tables
from models.spec import parse_spec
from models.spec.manifest import ArrayFile, Manifest
from models.storage import Storage

MANIFEST: TypeAdapter[Manifest] = TypeAdapter(Manifest)
PINNED = ("torch", "numpy", "safetensors")
LONG_AGO = (1980, 1, 1, 0, 0, 0)
"""The time of every entry: equal bundles have equal bytes."""


def small_files(
    job: tables.Job,
    context: representations.Context,
    dataset: tables.Dataset,
    saved: list[tables.Checkpoint],
    *,
    script: bool,
) -> dict[str, str]:
    """Everything but the data.

    Raises:
        Conflict: nothing has run yet, or the script cannot be written; it says why.
    """
    environment = job.environment
    if environment is None:
        raise Conflict("no worker has begun this job: there is nothing to do again yet", code="not_started")
    files = {
        "job.json": _json(representations.job(job, context).model_dump(mode="json")),
        "spec.json": _json(job.spec),
        "resolved_spec.json": _json(job.resolved_spec),
        "data.json": _json(
            {"dataset": dataset.id, "content_sha256": dataset.content_sha256, "files": _hashes(dataset.manifest)}
        ),
        "environment.json": _json(environment),
        "requirements.txt": "".join(
            f"{name}=={_release(environment[name])}\n" for name in PINNED if name in environment
        ),
        "checkpoints.json": _json([representations.checkpoint(one).model_dump(mode="json") for one in saved]),
    }
    return files | ({"train.py": _script(job, dataset, environment)} if script else {})


def _release(version: str) -> str:
    """Without the local part (`+cpu`), which not every index has."""
    return version.partition("+")[0]


def _script(job: tables.Job, dataset: tables.Dataset, environment: dict[str, Any]) -> str:
    device = environment.get("device", "cpu")
    try:
        return write_script(
            f"Job {job.id}",
            parse_spec(job.resolved_spec),
            MANIFEST.validate_python(dataset.manifest),
            threads=int(environment.get("threads", 1)),
            device="cpu" if device == "cpu" else "cuda",
        )
    except CannotWrite as error:
        items = [ProblemItem(pointer=pointer, code="not_written", detail=why) for pointer, why in error.refusals]
        detail = f"train.py cannot do exactly what this job did ({error}); ?script=false gives the rest"
        raise Conflict(detail, code="not_written", errors=items) from None


def archive(files: dict[str, str], storage: Storage, dataset: tables.Dataset | None) -> Iterator[bytes]:
    """The zip in pieces, with the packed data of `dataset` under `data/`."""
    sink = _Sink()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as bundle:
        for name, text in files.items():
            bundle.writestr(_entry(name, zipfile.ZIP_DEFLATED), text)
        yield sink.take()
        for name, key in _data(dataset):
            with bundle.open(_entry(f"data/{name}", zipfile.ZIP_STORED), "w", force_zip64=True) as entry:
                for piece in storage.read(key):
                    entry.write(piece)
                    yield sink.take()
    yield sink.take()


def _data(dataset: tables.Dataset | None) -> Iterator[tuple[str, str]]:
    if dataset is not None:
        assert dataset.content_sha256 is not None
        prefix = datasets.packed_prefix(dataset.id, dataset.content_sha256)
        for name in ("manifest.json", *_hashes(dataset.manifest)):
            yield name, f"{prefix}/{name}"


def _hashes(manifest: Any) -> dict[str, str]:
    """The sha256 of every array, by its path."""
    match manifest:
        case {"path": str(), "sha256": str()}:
            file = ArrayFile.model_validate(manifest)
            return {file.path: file.sha256}
        case dict():
            found = [_hashes(value) for value in manifest.values()]
        case list():
            found = [_hashes(value) for value in manifest]
        case _:
            found = []
    return {path: sha256 for one in found for path, sha256 in one.items()}


def _entry(name: str, compression: int) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, LONG_AGO)
    entry.compress_type = compression
    entry.external_attr = 0o644 << 16
    return entry


def _json(content: Any) -> str:
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


class _Sink(io.RawIOBase):
    """What a zip is written to while it is sent."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: Buffer, /) -> int:
        self._pieces.append(bytes(data))
        return len(self._pieces[-1])

    def take(self) -> bytes:
        taken, self._pieces = b"".join(self._pieces), []
        return taken
