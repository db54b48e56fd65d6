"""Numbers about numbers, and about what the machine did meanwhile."""

import os
import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.contest import TICKS, busy_seconds


def quantile(values: Sequence[float], share: float) -> float:
    """The value that this share of them does not exceed."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def spread(values: Sequence[float], digits: int = 0, middle: float | None = None) -> str:
    """`median (lowest – highest)`, or with something better known than the median."""
    middle = statistics.median(values) if middle is None else middle
    shown, low, high = (f"{value:,.{digits}f}" for value in (middle, min(values), max(values)))
    return shown if len(values) == 1 else f"{shown} ({low} – {high})"


@dataclass
class Processor:
    """Processor time between two moments."""

    servers: float = 0.0
    """Seconds, of all processes below this one, ended ones among them."""
    own: float = 0.0
    """Of this one."""
    other_load: float = 0.0
    """Cores that everybody else kept busy."""


@contextmanager
def watched() -> Iterator[Processor]:
    """What this process and those below it take while the block runs, and what all others do."""
    found = Processor()
    begun, busy, below, own = time.perf_counter(), busy_seconds(), _seconds_below(), time.process_time()
    yield found
    found.servers = _seconds_below() - below
    found.own = time.process_time() - own
    found.other_load = max(0.0, busy_seconds() - busy - found.servers - found.own) / (time.perf_counter() - begun)


def _seconds_below() -> float:
    """Of all that live below this process, and of what has ended there."""
    parents, seconds = {}, {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        parents[int(stat.parent.name)] = int(fields[1])
        seconds[int(stat.parent.name)] = sum(map(int, fields[11:15]))
    ended = os.times()
    living = sum(seconds[one] for one in seconds if _is_below(one, os.getpid(), parents)) / TICKS
    return living + ended.children_user + ended.children_system


def _is_below(one: int, pid: int, parents: dict[int, int]) -> bool:
    while one in parents and parents[one] != pid:
        one = parents[one]
    return one in parents
