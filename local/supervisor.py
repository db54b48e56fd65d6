"""Processes that are one service: started in order, watched, started again when they die, stopped in reverse order.

They end with the process that supervises them, even if it is killed (`tether.py`). On Linux that bond is with the
*thread* that starts them, so all of a supervisor's methods belong in one thread that outlives the service.
"""

import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event

TETHER = Path(__file__).with_name("tether.py")
LOOK_SECONDS = 0.05
START_SECONDS = 60
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.5, 10.0
DEATHS, DEATHS_WITHIN_SECONDS = 5, 60.0
"""So many deaths within so many seconds, and the service stops: a process that only starts helps nobody."""
LOG_BYTES = 10 * 1024 * 1024
LAST_LINES = 15

Say = Callable[[str], None]


@dataclass(frozen=True)
class Program:
    """What to run, how to tell that it works, and how long it may take to stop after SIGTERM."""

    name: str
    command: Sequence[str]
    is_ready: Callable[[], bool]
    stop_seconds: float


class ChildFailed(Exception):
    """A part of the service cannot be kept running; the message ends with the last lines of its log."""

    def __init__(self, name: str, what: str, log: Path) -> None:
        super().__init__(f"The {name} {what}. The end of {log}:\n\n{_last_lines(log)}")


class Stopped(Exception):
    """The service was asked to stop before it was up."""


@dataclass
class _Child:
    program: Program
    log: Path
    process: subprocess.Popen[bytes]
    deaths: deque[float] = field(default_factory=lambda: deque(maxlen=DEATHS))
    restart_at: float | None = None

    def pause(self) -> float:
        """Seconds to wait before it is started again: twice as long with every recent death."""
        return min(FIRST_PAUSE_SECONDS * 2.0 ** (len(self.deaths) - 1), LONGEST_PAUSE_SECONDS)

    def is_hopeless(self) -> bool:
        return len(self.deaths) == DEATHS and self.deaths[-1] - self.deaths[0] < DEATHS_WITHIN_SECONDS


class Supervisor:
    """Runs programs until `stop`. `hurry` cuts waiting for them to stop short."""

    def __init__(self, *, logs: Path, environment: Mapping[str, str], folder: Path, say: Say, hurry: Event) -> None:
        self._logs = logs
        self._environment = dict(environment)
        self._folder = folder
        self._say = say
        self._hurry = hurry
        self._children: list[_Child] = []

    def start(self, *programs: Program, stopping: Event) -> None:
        """Start them together and return when all of them work.

        Raises:
            ChildFailed: one ended, or took too long.
            Stopped: `stopping` was set meanwhile.
        """
        started = [self._add(program) for program in programs]
        deadline = time.monotonic() + START_SECONDS
        for child in started:
            while not child.program.is_ready():
                self._refuse_unready(child, deadline, stopping)
                time.sleep(LOOK_SECONDS)

    def look_after(self) -> None:
        """Start again what has died.

        Raises:
            ChildFailed: it dies whenever it is started.
        """
        now = time.monotonic()
        for child in self._children:
            if child.restart_at is None and child.process.poll() is not None:
                self._mourn(child, now)
            elif child.restart_at is not None and now >= child.restart_at:
                child.process, child.restart_at = self._spawn(child.program, child.log), None

    def stop(self) -> None:
        """Ask each to stop, the last started first; kill what takes longer than it may. Nothing of them is left."""
        while self._children:
            child = self._children.pop()
            if child.process.poll() is None:
                child.process.send_signal(signal.SIGTERM)
            self._wait(child)
            _kill_group(child.process)
            child.process.wait()

    def _add(self, program: Program) -> _Child:
        log = self._logs / f"{program.name}.log"
        if log.exists() and log.stat().st_size > LOG_BYTES:
            log.replace(log.with_suffix(".log.1"))
        child = _Child(program, log, self._spawn(program, log))
        self._children.append(child)
        return child

    def _spawn(self, program: Program, log: Path) -> subprocess.Popen[bytes]:
        """In a session of its own, so that a Ctrl-C in the terminal reaches only us."""
        with log.open("ab") as output:
            return subprocess.Popen(
                [sys.executable, "-IS", str(TETHER), str(os.getpid()), *program.command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=self._folder,
                env=self._environment,
                start_new_session=True,
            )

    def _refuse_unready(self, child: _Child, deadline: float, stopping: Event) -> None:
        if stopping.is_set():
            raise Stopped
        if child.process.poll() is not None:
            raise ChildFailed(child.program.name, f"ended at once ({_ending(child.process)})", child.log)
        if time.monotonic() > deadline:
            raise ChildFailed(child.program.name, f"was not ready within {START_SECONDS} s", child.log)

    def _mourn(self, child: _Child, now: float) -> None:
        _kill_group(child.process)  # what it started must not meet its successor
        child.deaths.append(now)
        if child.is_hopeless():
            raise ChildFailed(child.program.name, f"keeps ending ({_ending(child.process)})", child.log)
        child.restart_at = now + child.pause()
        name, ending = child.program.name, _ending(child.process)
        self._say(f"The {name} ended ({ending}) and is started again in {child.pause():g} s; its log is {child.log}")

    def _wait(self, child: _Child) -> None:
        deadline = time.monotonic() + child.program.stop_seconds
        while child.process.poll() is None and time.monotonic() < deadline and not self._hurry.is_set():
            time.sleep(LOOK_SECONDS)


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _ending(process: subprocess.Popen[bytes]) -> str:
    code = process.returncode
    return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


def _last_lines(log: Path) -> str:
    return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-LAST_LINES:])
