"""A worker's own ground: what it is connected to, who it is, how much it can take on, whether it is leaving."""

import fcntl
import os
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TypeVar

import structlog
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_random_exponential

from models.database import OUTAGES, Database, Session
from models.ids import new_id
from models.queue import Bell
from models.settings import Settings
from models.storage import Storage, open_storage
from worker.warm import Trainers

log = structlog.get_logger()
Result = TypeVar("Result")


class Site:
    """Everything the parts of one worker process share."""

    def __init__(self, settings: Settings, bell: Bell) -> None:
        self.settings = settings
        self.id = new_id("wrk")
        self.host = socket.gethostname()
        self.pid = os.getpid()
        self.database = Database(settings)
        self.storage: Storage = open_storage(settings)
        self.bell = bell
        self.device = "unknown"
        self.trainers = Trainers(settings.device)
        self.leaving = threading.Event()
        self._leave_by = float("inf")
        self._busy = 0
        self._lock = threading.Lock()
        self._scratch, self._scratch_lock = _own_scratch(settings.cache_dir / "scratch")

    @property
    def threads(self) -> int:
        """CPU threads of one trainer: as set, or this worker's cores shared among its slots."""
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        return self.settings.trainer_threads or max(1, cores // self.settings.worker_slots)

    @property
    def busy(self) -> int:
        return self._busy

    @property
    def free(self) -> int:
        return 0 if self.leaving.is_set() else self.settings.worker_slots - self._busy

    @property
    def seconds_to_leave(self) -> float:
        """What is left of the time to drain; infinite while nobody asks the worker to leave."""
        return self._leave_by - time.monotonic()

    def leave(self) -> None:
        """Take on nothing more, save what runs, and go."""
        if not self.leaving.is_set():
            self._leave_by = time.monotonic() + self.settings.drain_seconds
            self.leaving.set()

    @contextmanager
    def slot(self) -> Iterator[None]:
        with self._lock:
            self._busy += 1
        try:
            yield
        finally:
            with self._lock:
                self._busy -= 1

    @contextmanager
    def scratch(self, name: str) -> Iterator[Path]:
        """A folder for one piece of work, gone afterwards."""
        folder = self._scratch / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def write(self, work: Callable[[Session], Result], seconds: float | None = None) -> Result:
        """Run `work` in a transaction of its own, again while the database is away, for at most as long as a lease
        lasts.

        Raises:
            OwnershipLost: from `work`; it is never tried again.
        """
        patience = self.settings.lease_seconds if seconds is None else seconds
        for attempt in Retrying(
            retry=retry_if_exception_type(OUTAGES),
            wait=wait_random_exponential(multiplier=0.05, max=2),
            stop=stop_after_delay(patience),
            reraise=True,
        ):
            with attempt, self.database.write() as session:
                result = work(session)
        return result

    def close(self) -> None:
        self.trainers.close()
        self.database.close()
        shutil.rmtree(self._scratch, ignore_errors=True)
        self._scratch.with_suffix(".lock").unlink(missing_ok=True)
        self._scratch_lock.close()


def _own_scratch(root: Path) -> tuple[Path, IO[str]]:
    """A folder that is ours while we hold its lock; those of dead workers are cleared away."""
    root.mkdir(parents=True, exist_ok=True)
    for left_behind in root.glob("*.lock"):
        with left_behind.open("a") as lock:
            if _try_lock(lock):
                shutil.rmtree(left_behind.with_suffix(""), ignore_errors=True)
                left_behind.unlink(missing_ok=True)
    folder = Path(tempfile.mkdtemp(dir=root))
    lock = folder.with_suffix(".lock").open("a")
    _try_lock(lock)
    return folder, lock


def _try_lock(lock: IO[str]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
