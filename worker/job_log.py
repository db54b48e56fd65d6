"""What is written about a job: by its trainer, on whatever it takes for standard output and error, and by the worker
itself. The supervisor puts it into the database now and then."""

import os
import threading
from collections import deque
from collections.abc import MutableMapping
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from typing import Any

import structlog

from models.log_lines import LONGEST_LINE, Line

MOST_WAITING = 1000
"""Lines of one job that wait to be written; older ones are dropped. A trainer is never held up."""
NOT_FOR_USERS = {"trace", "exc_info", "exception", "stack_info", "level", "timestamp", "event", "job", "attempt"}
Fields = MutableMapping[str, Any]
_open: dict[str, "JobLog"] = {}


class JobLog:
    """The lines of one job that have not been taken away yet. While it is open, what the worker logs with this job's id
    is among them."""

    def __init__(self, job_id: str) -> None:
        self._job_id = job_id
        self._lines: deque[Line] = deque(maxlen=MOST_WAITING)

    def __enter__(self) -> "JobLog":
        _open[self._job_id] = self
        return self

    def __exit__(self, *_: object) -> None:
        _open.pop(self._job_id, None)

    def write(self, line: Line) -> None:
        self._lines.append(line)

    def take(self) -> list[Line]:
        taken = []
        while self._lines:
            taken.append(self._lines.popleft())
        return taken

    def put_back(self, lines: list[Line]) -> None:
        """Lines that could not be kept now; those for which there is no more room are dropped."""
        self._lines.extendleft(reversed(lines[max(0, len(lines) + len(self._lines) - MOST_WAITING) :]))

    def listen(self, output: Connection) -> threading.Thread:
        """Take in what a trainer writes, until it has ended."""
        thread = threading.Thread(target=self._listen, args=[output], name="job-log", daemon=True)
        thread.start()
        return thread

    def _listen(self, output: Connection) -> None:
        with os.fdopen(os.dup(output.fileno()), "rb") as file:
            output.close()
            while text := file.readline(LONGEST_LINE):
                message = text.decode(errors="replace").rstrip()
                if message:
                    self.write(Line("trainer", "info", message, datetime.now(UTC)))


def collect(_logger: Any, method: str, fields: Fields) -> Fields:
    """A structlog processor: lines about a job whose log is open are put there too, without traces."""
    log = _open.get(str(fields.get("job")))
    if log is not None:
        shown = " ".join(f"{name}={value}" for name, value in fields.items() if name not in NOT_FOR_USERS)
        log.write(Line("worker", method, f"{fields['event']} {shown}".strip(), datetime.now(UTC)))
    return fields


def configure() -> None:
    """After `configure_logging`."""
    processors = structlog.get_config()["processors"]
    structlog.configure(processors=[structlog.contextvars.merge_contextvars, collect, *processors])
