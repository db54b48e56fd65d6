"""Ringing workers without keeping anybody waiting."""

import queue
import threading
from contextlib import suppress

from models.queue import Bell, Row, TaskName

WAITING = 1000


class Ringer:
    """Rings from a thread of its own, at once for all that wait by then. While the broker is away rings are lost, which
    costs nothing but time: workers look by themselves every few seconds."""

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
        is_open = True
        while is_open:
            waiting = [self._rows.get()]
            while not self._rows.empty():
                waiting.append(self._rows.get())
            is_open = None not in waiting
            if rows := [row for row in waiting if row is not None]:
                self._bell.ring(rows)
