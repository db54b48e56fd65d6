import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.servers.process import ServerFailed, running

SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]
TELL_AND_SLEEP = [sys.executable, "-c", "import time; print('here', flush=True); time.sleep(60)"]


def is_alive(pid: int) -> bool:
    status = Path(f"/proc/{pid}/stat")
    return status.exists() and status.read_text().rsplit(")")[-1].split()[0] != "Z"


def test_a_server_ends_with_its_block(tmp_path: Path) -> None:
    with running(SLEEP, log=tmp_path / "log", is_ready=lambda: True) as process:
        assert process.poll() is None
    assert process.returncode == -signal.SIGTERM


def test_a_server_that_falls_over_says_why(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "raise SystemExit('the port is taken')"]
    with (
        pytest.raises(ServerFailed, match="the port is taken"),
        running(command, log=tmp_path / "log", is_ready=lambda: False),
    ):
        pass


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process that its parent was killed")
def test_a_server_does_not_outlive_tests_that_were_killed(tmp_path: Path) -> None:
    # It is bound to us from before its first word: whoever is killed earlier, between fork and prctl, leaves it behind.
    program = (
        "import sys, pathlib, tests.servers.process as p\n"
        f"log = pathlib.Path({str(tmp_path / 'log')!r})\n"
        f"with p.running({TELL_AND_SLEEP!r}, log=log, is_ready=lambda: 'here' in log.read_text()) as server:\n"
        "    print(server.pid, flush=True)\n"
        "    sys.stdin.read()\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as tests:
        assert tests.stdout
        server = int(tests.stdout.readline())
        assert is_alive(server)
        os.kill(tests.pid, signal.SIGKILL)
    deadline = time.monotonic() + 10
    while is_alive(server) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not is_alive(server)
