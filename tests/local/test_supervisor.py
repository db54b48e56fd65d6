import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Event

import pytest

from local.supervisor import DEATHS, ChildFailed, Program, Stopped, Supervisor
from tests.local.processes import descendants, eventually, is_alive

ROOT = Path(__file__).parents[2]
STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); open('ready', 'w'); time.sleep(60)"
SLEEPER = "import os, time; open('ready', 'w').write(str(os.getpid())); time.sleep(60)"


class Stage:
    """A supervisor that runs what a test gives it, in the test's own folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.said: list[str] = []
        self.hurry = Event()
        self.supervisor = Supervisor(
            logs=folder, environment=os.environ, folder=folder, say=self.said.append, hurry=self.hurry
        )

    def start(self, script: str, stop_seconds: float = 5, stopping: Event | None = None) -> int:
        """Run it until it has made the file `ready`; the pid that the file holds."""
        ready = self.folder / "ready"
        program = Program("sleeper", [sys.executable, "-c", script], ready.exists, stop_seconds)
        self.supervisor.start(program, stopping=stopping or Event())
        return self.pid()

    def look_after(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self.supervisor.look_after()
            time.sleep(0.01)

    def pid(self) -> int:
        eventually(lambda: (self.folder / "ready").read_text() != "", 1)
        return int((self.folder / "ready").read_text() or 0)


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    stage = Stage(tmp_path)
    yield stage
    stage.hurry.set()
    stage.supervisor.stop()


def test_what_is_stopped_is_gone(stage: Stage) -> None:
    pid = stage.start(SLEEPER)
    assert is_alive(pid)
    stage.supervisor.stop()
    assert not is_alive(pid)


def test_what_dies_is_started_again(stage: Stage) -> None:
    pid = stage.start(SLEEPER)
    os.kill(pid, signal.SIGKILL)

    def lives_again() -> bool:
        stage.supervisor.look_after()
        return stage.pid() not in (0, pid)

    assert eventually(lives_again, 5)
    assert "killed by SIGKILL" in stage.said[0]


def test_what_only_dies_is_given_up_with_the_end_of_its_log(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("local.supervisor.FIRST_PAUSE_SECONDS", 0.01)
    stage.start("open('ready', 'w'); raise SystemExit('no such luck')")
    with pytest.raises(ChildFailed, match=r"keeps ending \(exit code 1\)(?s:.*)no such luck"):
        stage.look_after(seconds=10)
    assert len(stage.said) == DEATHS - 1


def test_what_never_works_is_reported_at_once(stage: Stage) -> None:
    with pytest.raises(ChildFailed, match=r"ended at once(?s:.*)out of order"):
        stage.start("raise SystemExit('out of order')")


def test_a_stop_while_starting_is_heard(stage: Stage) -> None:
    stopping = Event()
    stopping.set()
    with pytest.raises(Stopped):
        stage.start("import time; time.sleep(60)", stopping=stopping)


def test_what_does_not_stop_in_time_is_killed(stage: Stage) -> None:
    before = descendants(os.getpid())
    stage.start(STUBBORN, stop_seconds=0.2)
    pids = descendants(os.getpid()) - before
    assert pids
    stage.supervisor.stop()
    assert not any(map(is_alive, pids))


def test_a_hurry_cuts_waiting_short(stage: Stage) -> None:
    stage.start(STUBBORN, stop_seconds=60)
    stage.hurry.set()
    started = time.monotonic()
    stage.supervisor.stop()
    assert time.monotonic() - started < 2


TETHERED = {
    "by the kernel": [sys.executable, "-IS", "local/tether.py"],
    "by watching": [sys.executable, "-c", "import sys, local.tether as t; t.watch(int(sys.argv[1]), sys.argv[2:])"],
}


@pytest.mark.parametrize("how", TETHERED)
def test_a_command_ends_with_a_parent_that_is_killed(how: str) -> None:
    """The parent is a shell; it says its child's pid."""
    if how == "by the kernel" and sys.platform != "linux":
        pytest.skip("only Linux has it")
    command = [*TETHERED[how], "$$", sys.executable, "-c", "'import time; time.sleep(60)'"]
    script = " ".join(f'"{word}"' if " " in word and word[0] != "'" else word for word in command)
    with subprocess.Popen(["sh", "-c", f"{script} & wait"], cwd=ROOT) as parent:
        assert eventually(lambda: any("sleep(60)" in command_line(pid) for pid in descendants(parent.pid)), 5)
        time.sleep(0.3)
        children = descendants(parent.pid) - {parent.pid}
        parent.kill()
    assert eventually(lambda: not any(map(is_alive, children)), 2)


def command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().split("\0")[2]
    except (OSError, IndexError):
        return ""
