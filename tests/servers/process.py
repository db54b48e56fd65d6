"""A server that a test run starts for itself: on a free loopback port, ended by its pid, gone when the run is."""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

START_SECONDS = 60
STOP_SECONDS = 10


class ServerMissing(Exception):
    """This machine does not have the server; the message says how to get it."""


class ServerFailed(Exception):
    """The server is here and did not come up; the message ends with its log."""


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(
    command: Sequence[str | Path],
    *,
    log: Path,
    is_ready: Callable[[], bool],
    user: str | None = None,
    stop_signal: signal.Signals = signal.SIGTERM,
    environment: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """Run `command` until the block ends. `user` is who to become, for servers that refuse to be root.

    The environment is ours and the working folder is the log's, unless they are given.
    """
    with log.open("ab") as output:
        process = subprocess.Popen(
            [*_bound_to_this_process(stop_signal), *command],
            stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=cwd or log.parent, start_new_session=True,
            env=environment,
            user=user, group=group_of(user), extra_groups=None if user is None else [],
        )  # fmt: skip
    try:
        _wait_until_ready(process, is_ready, log)
        yield process
    finally:
        _end(process, stop_signal)


def group_of(user: str | None) -> int | None:
    """The group to take with `user`: without it a process would keep ours."""
    import pwd  # absent on Windows

    return None if user is None else pwd.getpwnam(user).pw_gid


def _bound_to_this_process(stop_signal: signal.Signals) -> list[str]:
    """On Linux the kernel ends the server when we are killed and cannot do it ourselves."""
    setpriv = shutil.which("setpriv") if os.uname().sysname == "Linux" else None
    return [setpriv, "--pdeathsig", stop_signal.name.removeprefix("SIG")] if setpriv else []


def _wait_until_ready(process: subprocess.Popen[bytes], is_ready: Callable[[], bool], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not is_ready():
        if process.poll() is not None:
            raise ServerFailed(f"{process.args!r} ended with {process.returncode}:\n{_tail(log)}")
        if time.monotonic() > deadline:
            raise ServerFailed(f"{process.args!r} was not ready within {START_SECONDS} s:\n{_tail(log)}")
        time.sleep(0.02)


def _end(process: subprocess.Popen[bytes], stop_signal: signal.Signals) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGCONT)  # a test may have stopped it
        process.send_signal(stop_signal)
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _tail(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-20:])
