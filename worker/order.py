"""What a supervisor tells the trainer it starts."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Order:
    """What a trainer is told to do; paths as strings."""

    spec: dict[str, Any]
    packed: str
    cache: str
    scratch: str
    device: str
    threads: int
    start_weights: str | None = None
    """Of the earlier job that this one starts from; none where it is resumed."""
    resume_weights: str | None = None
    resume_state: str | None = None
