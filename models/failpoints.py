"""Faults on demand, at named places: how the tests reach the moments that chance reaches once a year.

`TRAINWRIGHT_FAILPOINTS` names them, `name=action[@n]` with commas between; nothing happens while it is empty. The
action happens at the n-th time that a process reaches the place (at the first unless said), and once; `@*` is at every
time. Actions: `kill` (SIGKILL to the process itself), `stop` (SIGSTOP), `sleep:SECONDS`, `raise` (an error that the
place knows as an outage), `enospc` (no space left on the device), `corrupt` (one bit of the file at hand is flipped).
"""

import errno
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

VARIABLE = "TRAINWRIGHT_FAILPOINTS"
NAMES = frozenset(
    {
        "post.before_commit",
        "post.after_commit",
        "post.after_ring",
        "claim.after",
        "beat.before",
        "ckpt.tmp_written",
        "ckpt.uploaded",
        "ckpt.before_commit",
        "ckpt.after_commit",
        "finish.before_commit",
        "finish.after_commit",
        "step",
        "upload.chunk",
        "database.call",
        "database.after_commit",
        "store.call",
    }
)


class Injected(ConnectionError):
    """A fault that was asked for."""


@dataclass(frozen=True)
class Fault:
    """What to do when a place is reached."""

    action: str
    argument: str
    time: int | None
    """At which time; None for each."""


class Failpoints:
    """The faults of one process."""

    def __init__(self, asked: str) -> None:
        self._faults = parse(asked)
        self._reached: Counter[str] = Counter()
        self._lock = threading.Lock()

    def ask(self, asked: str) -> None:
        """For other faults from here on; every place counts anew."""
        with self._lock:
            self._faults = parse(asked)
            self._reached.clear()

    def times(self, name: str) -> int:
        """How often a place was reached that something is asked for."""
        return self._reached[name]

    def is_asked(self, name: str) -> bool:
        return name in self._faults

    def reach(self, name: str, *, error: Callable[[], Exception] = Injected, file: Path | None = None) -> None:
        """Do what was asked for here, if anything was.

        Args:
            error: makes what `raise` raises.
            file: what `corrupt` spoils.
        """
        fault = self._faults.get(name)
        if fault is None:
            return
        with self._lock:
            self._reached[name] += 1
            if fault.time is not None and self._reached[name] != fault.time:
                return
        _do(fault, error, file)


def parse(asked: str) -> dict[str, Fault]:
    """Raises ValueError for what is no list of faults."""
    faults = {}
    for one in filter(None, (part.strip() for part in asked.split(","))):
        name, equals, what = one.partition("=")
        what, _, time_ = what.partition("@")
        action, _, argument = what.partition(":")
        if name not in NAMES or not equals or action not in {"kill", "stop", "sleep", "raise", "enospc", "corrupt"}:
            raise ValueError(f"{VARIABLE}: {one!r} is not name=action[@n] with a name of {', '.join(sorted(NAMES))}")
        faults[name] = Fault(action, argument, None if time_ == "*" else int(time_ or 1))
    return faults


def _do(fault: Fault, error: Callable[[], Exception], file: Path | None) -> None:
    match fault.action:
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "stop":
            os.kill(os.getpid(), signal.SIGSTOP)
        case "sleep":
            time.sleep(float(fault.argument))
        case "raise":
            raise error()
        case "enospc":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        case "corrupt":
            assert file is not None, "there is no file here"
            flip_a_bit(file)


def flip_a_bit(file: Path) -> None:
    """In the middle: no header, no length."""
    with file.open("r+b") as opened:
        opened.seek(file.stat().st_size // 2)
        byte = opened.read(1)[0]
        opened.seek(-1, os.SEEK_CUR)
        opened.write(bytes([byte ^ 1]))


_asked = Failpoints(os.environ.get(VARIABLE, ""))
reach, is_asked, ask, times = _asked.reach, _asked.is_asked, _asked.ask, _asked.times
