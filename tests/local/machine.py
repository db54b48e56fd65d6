"""The one-machine service as its user starts it: `python -m local up`, a process of its own."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from client import Client
from tests.local.processes import descendants, eventually, is_alive
from tests.servers.process import free_port

ROOT = Path(__file__).parents[2]
FAST = {
    "TRAINWRIGHT_TRAINER_THREADS": "1",
    "TRAINWRIGHT_HEARTBEAT_SECONDS": "0.5",
    "TRAINWRIGHT_LEASE_SECONDS": "3",
    "TRAINWRIGHT_RECONCILE_SECONDS": "0.5",
    "TRAINWRIGHT_REST_SECONDS": "0.5",
}


class Machine:
    """A service that is up."""

    def __init__(self, process: subprocess.Popen[str], folder: Path, said: str) -> None:
        self.process = process
        self.folder = folder
        self.said = said
        self.url = re.findall(r"http://127\.0\.0\.1:\d+", said)[0]
        self.pids = descendants(process.pid)

    @property
    def api_key(self) -> str:
        return (self.folder / "api-key").read_text().strip()

    def client(self) -> Client:
        return Client(self.url, self.api_key)

    def end(self, number: signal.Signals) -> int:
        """Send it a signal; its exit code."""
        self.pids |= descendants(self.process.pid)
        self.process.send_signal(number)
        return self.process.wait(30)

    def kill_everything(self) -> None:
        """SIGKILL to every process of it, as nearly at once as can be."""
        for pid in sorted(descendants(self.process.pid)):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()

    def leaves_nothing(self, seconds: float = 0) -> bool:
        """Whether every process that belonged to it is gone, within so many seconds."""
        return eventually(lambda: not any(map(is_alive, self.pids)), seconds)


@contextmanager
def one_machine(folder: Path, **settings: str) -> Iterator[Machine]:
    """The service on a data folder; stopped at the end if it still runs."""
    process = start_up(folder, "--port", str(free_port()), **settings)
    assert process.stderr is not None
    try:
        machine = Machine(process, folder, _read_until(process.stderr, "Ctrl-C stops it"))
        yield machine
    finally:
        process.terminate()
        process.wait(60)
        process.stderr.close()


def start_up(folder: Path, *arguments: str, **settings: str) -> subprocess.Popen[str]:
    ours = {name: value for name, value in os.environ.items() if not name.startswith("TRAINWRIGHT_")}
    command = [sys.executable, "-m", "local", "up", "--data", str(folder), *arguments]
    return subprocess.Popen(command, cwd=ROOT, env=ours | FAST | settings, stderr=subprocess.PIPE, text=True)


def _read_until(stream: IO[str], words: str) -> str:
    said = ""
    for line in stream:
        said += line
        if words in line:
            return said
    raise AssertionError(f"it ended without saying {words!r}:\n{said}")
