"""What supervisors tell the processes they start."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Order:
    """What a trainer is told to do; paths as strings."""

    spec: dict[str, Any]
    packed: str
    scratch: str
    threads: int
    start_weights: str | None = None
    """Of the earlier job that this one starts from; none where it is resumed."""
    resume_weights: str | None = None
    resume_state: str | None = None


@dataclass(frozen=True)
class PreviewOrder:
    """What is to be shown of a spec; paths as strings."""

    kind: str
    spec: dict[str, Any]
    manifest: dict[str, Any]
    packed: str | None
    """None for what needs no data."""
    picture: str
    """Where to put it, if there is one."""
    threads: int
    seconds: int
    """Of computing, before it is ended."""
    start_weights: str | None = None
