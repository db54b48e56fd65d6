"""What a person sees, and what Ctrl-C does: the command line in a pseudo-terminal."""

import os
import pty
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

from client import Client, Job
from tests.client.command_line.conftest import Shell

ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
COLOR = re.compile(r"\x1b\[[0-9;]*3[1-7]m|\x1b\[[0-9;]*9[1-7]m")


class Terminal:
    """A command whose standard error is a terminal, and what is on it."""

    def __init__(self, process: "subprocess.Popen[str]", descriptor: int) -> None:
        self.process = process
        self._descriptor = descriptor
        self.seen = ""

    def read_until(self, words: str, seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while words not in ESCAPES.sub("", self.seen):
            assert time.monotonic() < deadline, self.seen
            self.seen += self._read()

    def finish(self) -> int:
        while piece := self._read():
            self.seen += piece
        return self.process.wait(60)

    def _read(self) -> str:
        try:
            return os.read(self._descriptor, 4096).decode(errors="replace")
        except OSError:  # the other end is closed
            return ""


def _hear_ctrl_c() -> None:
    """As in any terminal; what a shell runs in the background, as these tests may be, ignores it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@contextmanager
def terminal(shell: Shell, *words: object, **variables: str) -> Iterator[Terminal]:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        shell.command(*words), cwd=shell.home, env=shell.environment | variables, stdin=theirs, stdout=subprocess.PIPE,
        stderr=theirs, text=True, preexec_fn=_hear_ctrl_c,
    )  # fmt: skip
    os.close(theirs)
    with process:
        try:
            yield Terminal(process, ours)
        finally:
            process.kill()
            os.close(ours)


def test_a_watched_job_has_a_bar_and_curves_that_move(shell: Shell, endless: Job) -> None:
    with terminal(shell, "watch", endless.id) as screen:
        screen.read_until("samples/s")
        screen.read_until("validation/accuracy  ▁")
        screen.process.send_signal(signal.SIGINT)
        assert screen.finish() == 130
    assert "━" in screen.seen


def test_ctrl_c_leaves_the_job_to_itself_and_says_so(shell: Shell, endless: Job, client: Client) -> None:
    with terminal(shell, "watch", endless.id) as screen:
        screen.read_until("running")
        screen.process.send_signal(signal.SIGINT)
        assert screen.finish() == 130
    said = ESCAPES.sub("", screen.seen).replace("\r\n", " ")
    assert f"Detached: {endless.id} goes on." in said
    assert f"trainwright cancel {endless.id}" in said
    assert client.jobs.get(endless).status in ("starting", "running")


def test_ctrl_c_on_a_run_detaches_from_what_it_started(shell: Shell, finished: Job, client: Client) -> None:
    spec = shell.write_spec(name="left alone", training={"epochs": 100_000})
    with terminal(shell, "run", spec, "--set", f"dataset.id={finished.dataset_id}") as screen:
        screen.read_until("samples/s")
        screen.process.send_signal(signal.SIGINT)
        assert screen.finish() == 130
    job = next(client.jobs.list(name="left alone"))
    assert job.status == "running"
    client.jobs.cancel(job)


def test_colors_are_for_terminals_that_want_them(shell: Shell, finished: Job) -> None:
    with terminal(shell, "watch", finished.id) as screen:
        screen.finish()
    assert COLOR.search(screen.seen)
    with terminal(shell, "watch", finished.id, NO_COLOR="1") as plain:
        plain.finish()
    assert not COLOR.search(plain.seen)
    assert "succeeded" in plain.seen
