"""Makes uploads, good and hostile, for the tests of ingest."""

import io
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.spec.manifest import ArrayFile, Manifest
from worker.ingest import IngestError, Limits, ingest
from worker.ingest.limits import DEFAULT_LIMITS

Files = dict[str, bytes]


def image(
    width: int = 6, height: int = 4, *, kind: str = "PNG", mode: str = "RGB", seed: int = 0, **options: object
) -> bytes:
    """A noisy image in a file's bytes."""
    channels = {"L": (), "RGB": (3,), "RGBA": (4,)}[mode]
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, *channels), np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind, **options)
    return file.getvalue()


def folder(**options: object) -> Files:
    """A small image folder with a train and a test part."""
    return {
        f"{split}/{label}/{number}.png": image(seed=7 * number + len(label), **options)  # type: ignore[arg-type]
        for split, count in (("train", 3), ("test", 1))
        for label in ("cat", "horse")
        for number in range(count)
    }


def zipped(path: Path, files: Files) -> Path:
    """A zip of some files."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
    return path


def tarred(path: Path, files: Files, mode: str = "w") -> Path:
    """A tar of some files; mode `w:gz` for a gzipped one."""
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


def saved(path: Path, **arrays: object) -> Path:
    """An `.npz` of some arrays."""
    np.savez_compressed(path, **arrays)  # type: ignore[arg-type]
    return path


def written(path: Path, text: str | bytes) -> Path:
    """A file with some text."""
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def pack(source: Path, limits: Limits = DEFAULT_LIMITS) -> tuple[Manifest, Path]:
    """Ingest an upload beside itself; the manifest and the packed folder."""
    target = source.with_name(f"packed-{source.name}")
    return ingest(source, target, filename=source.name, limits=limits), target


def refusal(source: Path, limits: Limits = DEFAULT_LIMITS) -> IngestError:
    """The error with which an upload is refused; checks that it leaves nothing behind."""
    before = sorted(source.parent.iterdir())
    with pytest.raises(IngestError) as caught:
        pack(source, limits)
    assert sorted(source.parent.iterdir()) == before
    return caught.value


def load(target: Path, file: ArrayFile | None) -> np.ndarray[tuple[int, ...], np.dtype[np.generic]]:
    """An array of a packed folder, memory-mapped."""
    assert file is not None
    return np.load(target / file.path, mmap_mode="r", allow_pickle=False)  # type: ignore[no-any-return]
