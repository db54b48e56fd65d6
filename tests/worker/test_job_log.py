"""What is written about a job is kept for its owner, in part if it is too much, and without traces."""

import multiprocessing
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import structlog

from models import log_lines
from models.log_lines import LONGEST_LINE, Line
from tests.models.conftest import Office, office
from worker.job_log import MOST_WAITING, JobLog, collect

__all__ = ["office"]
ROOT = Path(__file__).parents[2]


def line(message: str) -> Line:
    return Line("trainer", "info", message, datetime.now(UTC))


def messages(office: Office, job_id: str, **options: Any) -> list[str]:
    with office.database.read() as session:
        wanted: dict[str, Any] = {"source": None, "after": None, "limit": 5000, **options}
        return [row.message for row in log_lines.page(session, job_id, **wanted)]


def add(office: Office, job_id: str, *said: str) -> None:
    with office.database.write() as session:
        log_lines.add(session, job_id, 1, [line(message) for message in said])


def test_only_the_newest_lines_are_kept(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_lines, "MOST_LINES", 3)
    job_id, other = office.job(), office.job()
    add(office, other, "theirs")
    add(office, job_id, "1", "2")
    assert messages(office, job_id) == ["1", "2"]
    add(office, job_id, "3", "4", "5")
    assert messages(office, job_id) == ["3", "4", "5"]
    assert messages(office, other) == ["theirs"]


def test_whatever_is_written_can_be_kept(office: Office) -> None:
    job_id = office.job()
    add(office, job_id, "a\0b", "\ud800", "x" * (LONGEST_LINE + 1))
    assert messages(office, job_id) == ["a\ufffdb", "?", "x" * LONGEST_LINE]


def test_a_job_that_is_gone_keeps_nothing(office: Office) -> None:
    add(office, "job_gone", "x")
    assert messages(office, "job_gone") == []


def test_a_worker_s_own_lines_are_there_without_traces() -> None:
    fields = {"event": "job_failed", "job": "job_a", "attempt": 2, "code": "internal", "trace": "File /secret"}
    with JobLog("job_a") as log:
        assert collect(None, "error", dict(fields)) == fields
        collect(None, "error", fields | {"job": "job_b"})
    collect(None, "error", dict(fields))
    assert [(one.source, one.level, one.message) for one in log.take()] == [
        ("worker", "error", "job_failed code=internal")
    ]


def test_lines_that_could_not_be_kept_stay_the_first_and_the_oldest_give_way() -> None:
    log = JobLog("job_a")
    log.write(line("3"))
    log.put_back([line("1"), line("2")])
    assert [one.message for one in log.take()] == ["1", "2", "3"]
    log.write(line("new"))
    log.put_back([line(str(number)) for number in range(MOST_WAITING)])
    kept = [one.message for one in log.take()]
    assert (len(kept), kept[0], kept[-1]) == (MOST_WAITING, "1", "new")


SPEAK = """
import os, sys, warnings
from multiprocessing.connection import Connection
from worker.trainer import _write_to

_write_to(Connection(int(sys.argv[1]), readable=False))
print("from Python", flush=True)
os.write(2, b"from a library \\xff, half a li")
warnings.warn("a warning", UserWarning, stacklevel=1)
os.write(1, b"y" * 200_000 + b"\\nlast")
os.abort()
"""


def test_whatever_a_trainer_writes_is_heard_to_its_end() -> None:
    ours, theirs = multiprocessing.Pipe(duplex=False)
    log = JobLog("job_a")
    command = [sys.executable, "-c", SPEAK, str(theirs.fileno())]
    process = subprocess.Popen(command, pass_fds=[theirs.fileno()], cwd=ROOT)
    theirs.close()
    log.listen(ours).join(timeout=60)
    process.wait()
    said = [one.message for one in log.take()]
    assert said[:2] == ["from Python", "from a library \ufffd, half a liUserWarning: a warning"]
    assert (sum(map(len, said[2:-1])), said[-1]) == (200_000, "last")


def test_lines_reach_the_open_log_through_structlog() -> None:
    captured = structlog.testing.capture_logs(processors=[structlog.contextvars.merge_contextvars, collect])
    with captured, JobLog("job_a") as log, structlog.contextvars.bound_contextvars(job="job_a"):
        structlog.get_logger().info("checkpoint_saved", step=3)
    assert [one.message for one in log.take()] == ["checkpoint_saved step=3"]
