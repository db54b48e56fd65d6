"""Packed data sets on a worker's own disk, by the hash of their content: fetched once, verified once, used by every
later job, until there is no room for all of them. What jobs make of one, pictures in another size, goes with it.

Who uses a data set has links to its files in a folder of its own. So it may be forgotten at any time: its files are
there until their last user has gone.
"""

import errno
import hashlib
import math
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import structlog
from pydantic import TypeAdapter

from models import datasets
from models.spec.manifest import ArrayFile, ImageManifest, Manifest, TableManifest, TextFiles, VectorManifest
from models.storage import get_file
from models.tables import Dataset
from worker.site import Site

log = structlog.get_logger()
MANIFEST: TypeAdapter[Manifest] = TypeAdapter(Manifest)
_lock = threading.Lock()
Look = Callable[[], None]
"""Called all the while; raises what ends the fetching."""


@dataclass(frozen=True)
class Packed:
    """A data set, for one piece of work."""

    folder: Path
    """Its own."""
    entry: Path
    """That of the cache."""

    def keep_derived(self) -> None:
        """What the work has made of the data is there for the next one too."""
        for file in self.folder.glob("*.npy"):
            with suppress(FileExistsError, FileNotFoundError):  # most are; and all of it may be forgotten by now
                (self.entry / file.name).hardlink_to(file)


def packed(site: Site, dataset: Dataset, scratch: Path, look: Look) -> Packed:
    """A ready data set, in `scratch` and as long as that is there.

    Args:
        look: called all the while; raises what ends the fetching.

    Raises:
        NotThere, Damaged: the store does not hold what the manifest promises.
    """
    assert dataset.content_sha256 is not None
    manifest = MANIFEST.validate_python(dataset.manifest)
    found = Packed(scratch / "packed", cached(site, dataset.content_sha256))
    with _held(_lock, look):
        if not _linked(found, manifest):
            _fetch(site, dataset, manifest, found.folder, look)
            _forget(site, found.entry)
            copy = scratch / "copy"
            shutil.copytree(found.folder, copy, copy_function=os.link)
            keep(copy, found.entry)
    make_room(site)
    return found


def _linked(packed: Packed, manifest: Manifest) -> bool:
    """Whether all of it was there: another worker may forget it meanwhile, and whoever tidies up the disk a file."""
    shutil.rmtree(packed.folder, ignore_errors=True)
    packed.folder.mkdir()
    try:
        for file in packed.entry.iterdir():
            (packed.folder / file.name).hardlink_to(file)
        os.utime(packed.entry)
        files = [(packed.folder / file.path).stat().st_size >= file.bytes for file in files_of(manifest)]
        return all(files) and (packed.folder / "manifest.json").exists()
    except FileNotFoundError:
        return False


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


def make_room(site: Site, more_bytes: float = 0) -> None:
    """Forget what was used longest ago, until the rest is within the limit and so much more does not fill the disk."""
    entries = sorted(_entries(site), key=lambda entry: entry.used)
    total = sum(entry.bytes for entry in entries)
    disk = shutil.disk_usage(site.settings.cache_dir)
    free = disk.free - more_bytes
    for entry in entries:
        if total <= site.settings.cache_bytes and free >= min(disk.total // 20, FREE_BYTES):
            return
        if not entry.in_use:
            _forget(site, entry.path)
            total -= entry.bytes
            free += entry.bytes


def forget_unused(site: Site) -> None:
    """What a full disk asks for."""
    make_room(site, math.inf)


FREE_BYTES = 4 * 1024**3
"""Of the cache's disk that are left to others, or a twentieth of it where that is less."""


def _forget(site: Site, entry: Path) -> None:
    """All of it at once, so that nobody finds a part."""
    with site.scratch(f"forgotten-{threading.get_ident()}") as scratch:
        try:
            entry.rename(scratch / entry.name)
        except FileNotFoundError:  # another worker on this disk has been there first
            return
    log.info("cache_forgotten", name=entry.name)


class _Entry(NamedTuple):
    path: Path
    used: float
    bytes: int
    in_use: bool
    """Somebody has links to its files: to forget it would free nothing."""


def _entries(site: Site) -> Iterator[_Entry]:
    for path in cached(site, "").glob("*"):
        with suppress(FileNotFoundError):
            files = [file.stat() for file in path.iterdir()]
            in_use = any(file.st_nlink > 1 for file in files)
            yield _Entry(path, path.stat().st_mtime, sum(file.st_size for file in files), in_use)


def keep(folder: Path, entry: Path) -> None:
    """Move a packed folder to its place in the cache, unless somebody else was faster."""
    entry.parent.mkdir(parents=True, exist_ok=True)
    try:
        folder.rename(entry)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
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


def _fetch(site: Site, dataset: Dataset, manifest: Manifest, folder: Path, look: Look) -> None:
    assert dataset.content_sha256 is not None
    prefix = datasets.packed_prefix(dataset.id, dataset.content_sha256)
    make_room(site, sum(file.bytes for file in files_of(manifest)))
    shutil.rmtree(folder)
    get_file(site.storage, f"{prefix}/manifest.json", folder / "manifest.json", dataset.content_sha256, look)
    for file in files_of(manifest):
        get_file(site.storage, f"{prefix}/{file.path}", folder / file.path, file.sha256, look)
