"""What is running: for tests that nothing is left running."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and waits to be asked for its exit code does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def descendants(pid: int) -> set[int]:
    """A process and everything it started, directly or not."""
    if not Path("/proc/self").exists():
        pytest.skip("only Linux tells who started whom, in /proc")
    parents = {int(entry.name): _parent(entry) for entry in Path("/proc").iterdir() if entry.name.isdigit()}
    found = {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def naming(text: str) -> set[int]:
    """Processes whose command line has this in it; its words are divided by NUL."""
    mine = os.getpid()
    entries = (entry for entry in Path("/proc").iterdir() if entry.name.isdigit() and int(entry.name) != mine)
    return {int(entry.name) for entry in entries if text.encode() in _command_line(entry) and is_alive(int(entry.name))}


def eventually(condition: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def _parent(entry: Path) -> int:
    try:
        return int((entry / "stat").read_text().rpartition(")")[2].split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return 0


def _command_line(entry: Path) -> bytes:
    try:
        return (entry / "cmdline").read_bytes()
    except OSError:
        return b""
