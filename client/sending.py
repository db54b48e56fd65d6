"""Sending a large file by parts, said once for both clients: a generator that yields the next request, is sent its
answer, and returns the data set.

What is there already is not sent again: after a cut, or when somebody calls a second time.
"""

import hashlib
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

from . import calls
from .calls import Call, DatasetRef
from .download import Progress, file_sha256
from .errors import ConflictError
from .resources import Dataset

__all__ = ["PART_BYTES", "Sending", "advance", "by_parts", "is_large"]

PART_BYTES = 64 * 1024 * 1024
"""What a cut costs at most. Files that are not larger are sent in one body."""
MOST_PARTS = 1000
CHUNK = 1024 * 1024

Sending = Generator[Call[Any], Any, Dataset]
Part = tuple[int, int, int]
"""Number, from, to."""


def advance(sending: Sending, outcome: object = None) -> Call[Any] | Dataset:
    """The next request, or the data set at the end. It may take a while: it reads the file.

    Args:
        outcome: the answer to the last request, or the `ConflictError` that came instead.
    """
    try:
        return sending.throw(outcome) if isinstance(outcome, ConflictError) else sending.send(outcome)
    except StopIteration as end:
        dataset: Dataset = end.value
        return dataset


def is_large(file: Path) -> bool:
    return file.stat().st_size > PART_BYTES


def by_parts(file: Path, name: str, dataset: DatasetRef | None, progress: Progress | None) -> Sending:
    """Into the data set; without one, into that which an earlier call for this file could not finish, or a new one."""
    whole = hashlib.sha256()
    parts = _parts(file)
    if dataset is None:
        dataset = (yield from _begun(file, name, parts[0])) or (yield calls.create_dataset(name))
    there = {part.number: part.sha256 for part in (yield calls.list_parts(dataset)).data}
    try:
        for number, start, end in parts:
            sha256 = _digest(file, start, end, whole.update)
            if there.get(number) != sha256:
                signed = yield calls.sign_part(dataset, number, end - start, sha256)
                yield calls.send_part(signed, file, (start, end), progress)
            elif progress is not None:
                progress(end, parts[-1][2])
        completed: Dataset = yield calls.complete_upload(dataset, file, whole.hexdigest(), len(parts))
        return completed
    except ConflictError:
        seen: Dataset = yield calls.get_dataset(dataset)
        if seen.upload_sha256 and seen.upload_sha256 == file_sha256(file).hex():
            return seen  # it had arrived, and only the reply was lost
        raise


def _begun(file: Path, name: str, first: Part) -> Generator[Call[Any], Any, Dataset | None]:
    """A data set of this name that has the first part of this very file, and waits for the rest."""
    number, start, end = first
    sha256 = _digest(file, start, end)
    after = None
    while True:
        page = yield calls.list_datasets(after=after)
        for dataset in page.data:
            if dataset.status == "uploading" and dataset.name == name:
                there = yield calls.list_parts(dataset)
                if (number, sha256) in [(part.number, part.sha256) for part in there.data]:
                    found: Dataset = dataset
                    return found
        if not page.has_more:
            return None
        after = page.last_id


def _parts(file: Path) -> list[Part]:
    """As large as they must be for there to be no more than are taken."""
    size = file.stat().st_size
    step = max(PART_BYTES, -(-size // MOST_PARTS))
    starts = range(0, size, step)
    return [(number, start, min(start + step, size)) for number, start in enumerate(starts, 1)]


def _digest(file: Path, start: int, end: int, also: Callable[[bytes], object] = len) -> str:
    digest = hashlib.sha256()
    with file.open("rb") as opened:
        opened.seek(start)
        while piece := opened.read(min(CHUNK, end - opened.tell())):
            digest.update(piece)
            also(piece)
    return digest.hexdigest()
