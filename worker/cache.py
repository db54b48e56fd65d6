"""Packed data sets on a worker's own disk, by the hash of their content: fetched once, verified once, used by every
later job, until there is no room for all of them.

Who uses a data set has links to its files in a folder of its own. So it may be forgotten at any time: its files are
there until their last user has gone.
"""

import hashlib
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import structlog

from models import datasets
from models.spec.manifest import ArrayFile, ImageManifest, Manifest, TableManifest, TextFiles, VectorManifest
from models.storage import get_file
from models.tables import Dataset
from worker.site import Site

log = structlog.get_logger()
_lock = threading.Lock()
Look = Callable[[], None]
"""Called all the while; raises what ends the fetching."""


def packed_folder(site: Site, dataset: Dataset, manifest: Manifest, scratch: Path, look: Look) -> Path:
    """A folder with a ready data set, as long as `scratch` is there.

    Args:
        look: called all the while; raises what ends the fetching.

    Raises:
        NotThere, Damaged: the store does not hold what the manifest promises.
    """
    assert dataset.content_sha256 is not None
    cache, folder = cached(site, dataset.content_sha256), scratch / "packed"
    with _held(_lock, look):
        while not _link(cache, folder, manifest):
            _forget(site, cache)
            _fetch(site, dataset, manifest, cache, look)
    make_room(site)
    return folder


def _link(cache: Path, folder: Path, manifest: Manifest) -> bool:
    """Whether all of it was there: another worker may forget it meanwhile, and whoever tidies up the disk a file."""
    folder.mkdir(exist_ok=True)
    try:
        for name in ("manifest.json", *(file.path for file in files_of(manifest))):
            (folder / name).unlink(missing_ok=True)
            (folder / name).hardlink_to(cache / name)
        os.utime(cache)
    except FileNotFoundError:
        return False
    return True


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


def derived(site: Site) -> Path:
    """Where trainers keep what they make of data sets, pictures in another size: a file for each."""
    return site.settings.cache_dir / "derived"


def make_room(site: Site, more_bytes: int = 0) -> None:
    """Forget what was used longest ago, until so much more is within the limit and does not fill the disk."""
    entries = sorted(_entries(site), key=lambda entry: entry.used)
    total = sum(entry.bytes for entry in entries) + more_bytes
    for entry in entries:
        disk = shutil.disk_usage(site.settings.cache_dir)
        if total <= site.settings.cache_bytes and disk.free - more_bytes >= min(disk.total // 20, FREE_BYTES):
            return
        if not entry.in_use:
            _forget(site, entry.path)
            total -= entry.bytes


def _forget(site: Site, path: Path) -> None:
    """All of it at once, so that nobody finds a part."""
    with site.scratch(f"forgotten-{threading.get_ident()}") as scratch, suppress(FileNotFoundError):
        path.rename(scratch / path.name)
        log.info("cache_forgotten", name=path.name)


FREE_BYTES = 4 * 1024**3
"""Of the cache's disk that are left to others, or a twentieth of it where that is less."""


class _Entry(NamedTuple):
    path: Path
    used: float
    bytes: int
    in_use: bool
    """Its files have other links."""


def _entries(site: Site) -> Iterator[_Entry]:
    for path in (*cached(site, "").glob("*"), *derived(site).glob("*.npy")):
        with suppress(FileNotFoundError):  # another worker on this disk has been there first
            files = [file.stat() for file in (path.iterdir() if path.is_dir() else [path])]
            in_use = any(file.st_nlink > 1 for file in files)
            yield _Entry(path, path.stat().st_mtime, sum(file.st_size for file in files), in_use)


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
    make_room(site, sum(file.bytes for file in files_of(manifest)))
    with site.scratch(f"fetch-{dataset.content_sha256}-{os.getpid()}") as folder:
        get_file(site.storage, f"{prefix}/manifest.json", folder / "manifest.json", dataset.content_sha256, look)
        for file in files_of(manifest):
            get_file(site.storage, f"{prefix}/{file.path}", folder / file.path, file.sha256, look)
        keep(folder, place)
