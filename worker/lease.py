"""Keeping what was claimed: a thread that renews a lease, and knows by its own clock when it can no longer count on
it."""

import threading
import time
from collections.abc import Callable
from typing import Self

import structlog

from models.database import OUTAGES
from models.ownership import OwnershipLost
from models.states import Wish

log = structlog.get_logger()


class Lease:
    """Renews by calling `beat` every `heartbeat` seconds until it is left.

    The database's clock decides when others may take the row. Here the monotonic clock decides when we stop:
    `lease_seconds` after the last renewal was *begun*, so always before they do. From then on `lost` is true and
    `on_lost` has been called, from this thread, whatever the thread that works is waiting for.
    """

    def __init__(
        self, beat: Callable[[], Wish | None], *, heartbeat: float, lease_seconds: float, on_lost: Callable[[], None]
    ) -> None:
        self._beat = beat
        self._heartbeat = heartbeat
        self._lease_seconds = lease_seconds
        self._on_lost = on_lost
        self._left = threading.Event()
        self._deadline = time.monotonic() + lease_seconds
        self._thread = threading.Thread(target=self._run, name="lease", daemon=True)
        self.lost = False
        self.cancelled = False

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._left.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._left.wait(min(self._heartbeat, max(0.0, self._deadline - time.monotonic()))):
            begun = time.monotonic()
            try:
                self.cancelled = self._beat() is Wish.CANCEL or self.cancelled
                self._deadline = begun + self._lease_seconds
            except OwnershipLost:
                return self._lose("taken by another attempt")
            except OUTAGES as error:
                log.warning("beat_failed", error=type(error).__name__)
                self._left.wait(min(0.5, self._heartbeat))
            if time.monotonic() >= self._deadline:
                return self._lose("not renewed in time")
        return None

    def _lose(self, reason: str) -> None:
        if not self._left.is_set():
            log.warning("lease_lost", reason=reason)
            self.lost = True
            self._on_lost()
