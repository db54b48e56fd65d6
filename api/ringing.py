"""Ringing workers without keeping anybody waiting."""

import queue
import threading
from contextlib import suppress

from models.queue import Bell, TaskName

Row = tuple[TaskName, str]
WAITING = 1000


class Ringer:
    """Rings from a thread of its own. While the broker is away rings are lost, which costs nothing but time: workers
    look by themselves every few seconds."""

    def __init__(self, bell: Bell) -> None:
        self._bell = bell
        self._rows: queue.Queue[Row | None] = queue.Queue(WAITING)
        self._thread = threading.Thread(target=self._work, name="ringer", daemon=True)
        self._started = threading.Lock()

    def ring(self, task: TaskName, row_id: str) -> None:
        """After the commit."""
        if self._started.acquire(blocking=False):
            self._thread.start()
        with suppress(queue.Full):
            self._rows.put_nowait((task, row_id))

    def check(self) -> None:
        """Raise what stands in the way of ringing."""
        self._bell.check()

    def close(self) -> None:
        if self._thread.is_alive():
            with suppress(queue.Full):
                self._rows.put(None, timeout=1)
                self._thread.join(timeout=5)
        self._bell.close()

    def _work(self) -> None:
        while (row := self._rows.get()) is not None:
            if not self._bell.ring(*row):
                self._forget()

    def _forget(self) -> None:
        """What waits would only fail the same way, a second each."""
        while True:
            try:
                if self._rows.get_nowait() is None:
                    self._rows.put(None)
                    return
            except queue.Empty:
                return
