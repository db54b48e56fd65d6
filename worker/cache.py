"""Packed data sets on a worker's own disk, by the hash of their content: fetched once, verified once, used by every
later job."""

import hashlib
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from models import datasets
from models.spec.manifest import ArrayFile, ImageManifest, Manifest, TableManifest, TextFiles, VectorManifest
from models.storage import get_file
from models.tables import Dataset
from worker.site import Site

_lock = threading.Lock()
Look = Callable[[], None]
"""Called all the while; raises what ends the fetching."""


def packed_folder(site: Site, dataset: Dataset, manifest: Manifest, look: Look) -> Path:
    """The folder of a ready data set.

    Args:
        look: called all the while; raises what ends the fetching.

    Raises:
        NotThere, Damaged: the store does not hold what the manifest promises.
    """
    assert dataset.content_sha256 is not None
    folder = cached(site, dataset.content_sha256)
    with _held(_lock, look):
        if not folder.exists():
            _fetch(site, dataset, manifest, folder, look)
    return folder


@contextmanager
def _held(lock: threading.Lock, look: Look) -> Iterator[None]:
    while not lock.acquire(timeout=0.1):
        look()
    try:
        yield
    finally:
        lock.release()


def cached(site: Site, content_sha256: str) -> Path:
    return site.settings.cache_dir / "datasets" / content_sha256


def keep(folder: Path, place: Path) -> None:
    """Move a packed folder to its place in the cache, unless somebody else was faster."""
    place.parent.mkdir(parents=True, exist_ok=True)
    try:
        folder.rename(place)
    except OSError:
        if not place.exists():
            raise
        shutil.rmtree(folder)


def files_of(manifest: Manifest) -> list[ArrayFile]:
    match manifest:
        case ImageManifest():
            return [
                file
                for split in manifest.splits.values()
                for file in (split.inputs, split.targets, split.sizes, split.offsets)
                if file is not None
            ]
        case VectorManifest():
            return [file for split in manifest.splits.values() for file in (split.inputs, split.targets)]
        case TableManifest():
            return [
                *(split.inputs for split in manifest.splits.values()),
                *(text.vocabulary for text in manifest.texts),
                *(
                    file
                    for split in manifest.splits.values()
                    for text in split.texts.values()
                    for file in text_files(text)
                ),
            ]


def text_files(text: TextFiles) -> tuple[ArrayFile, ArrayFile]:
    return text.words, text.offsets


def sha256_of(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _fetch(site: Site, dataset: Dataset, manifest: Manifest, place: Path, look: Look) -> None:
    assert dataset.content_sha256 is not None
    prefix = datasets.packed_prefix(dataset.id, dataset.content_sha256)
    with site.scratch(f"fetch-{dataset.content_sha256}-{os.getpid()}") as folder:
        get_file(site.storage, f"{prefix}/manifest.json", folder / "manifest.json", dataset.content_sha256, look)
        for file in files_of(manifest):
            get_file(site.storage, f"{prefix}/{file.path}", folder / file.path, file.sha256, look)
        keep(folder, place)
