"""How far an ingest has come."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Stage = Literal["unpacking", "images", "arrays", "rows", "hashing"]


@dataclass(frozen=True, slots=True)
class Progress:
    """`done` of `total` units of a stage: bytes when unpacking or hashing, else images, examples or rows."""

    stage: Stage
    done: int
    total: int | None = None


OnProgress = Callable[[Progress], None]


def ignore(_progress: Progress) -> None:
    """Nobody is listening."""
