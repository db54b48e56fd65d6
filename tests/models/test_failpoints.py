"""Faults on demand: nothing unless asked for, and then what was asked for, when it was asked for."""

import errno
import subprocess
import sys
import time
from pathlib import Path

import pytest

from models.failpoints import Failpoints, Injected


def test_nothing_happens_unless_asked_for() -> None:
    Failpoints("").reach("claim.after")


def test_a_fault_happens_at_its_time_and_once() -> None:
    points = Failpoints("claim.after=raise@2, step=sleep:0")
    points.reach("claim.after")
    with pytest.raises(Injected):
        points.reach("claim.after")
    points.reach("claim.after")
    points.reach("beat.before")


def test_a_fault_may_happen_every_time() -> None:
    points = Failpoints("ckpt.tmp_written=enospc@*")
    for _ in range(3):
        with pytest.raises(OSError, match="No space") as raised:
            points.reach("ckpt.tmp_written")
        assert raised.value.errno == errno.ENOSPC


def test_a_place_says_what_an_outage_is_there() -> None:
    with pytest.raises(TimeoutError):
        Failpoints("database.call=raise").reach("database.call", error=TimeoutError)


def test_one_bit_of_a_file_is_flipped(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(bytes(100))
    Failpoints("ckpt.uploaded=corrupt").reach("ckpt.uploaded", file=file)
    assert sum(file.read_bytes()) == 1


@pytest.mark.parametrize("asked", ["claim.after", "claim.afer=kill", "claim.after=explode", "step=kill@soon"])
def test_a_fault_that_means_nothing_is_refused(asked: str) -> None:
    with pytest.raises(ValueError):
        Failpoints(asked)


@pytest.mark.parametrize(("action", "signal"), [("kill", 9), ("stop", 19)])
def test_a_process_ends_or_stops_itself(action: str, signal: int) -> None:
    script = "from models.failpoints import reach\nreach('claim.after')\nreach('claim.after')\nprint('on')"
    process = subprocess.Popen(
        [sys.executable, "-c", script],
        env={"TRAINWRIGHT_FAILPOINTS": f"claim.after={action}@2"},
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )
    if action == "stop":
        while _state(process.pid) not in "Tt":
            time.sleep(0.01)
        process.kill()
    assert process.wait() in {-9, -signal}
    assert process.stdout is not None
    assert process.stdout.read() == b""
    process.stdout.close()


def _state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
