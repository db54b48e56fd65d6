"""Keeping what was claimed: a thread that renews a lease, and one that knows by its own clock when it can no longer be
counted on."""

import threading
import time
from collections.abc import Callable
from typing import Self

import structlog

from models import meters
from models.database import OUTAGES
from models.ownership import OwnershipLost
from models.states import Wish

log = structlog.get_logger()


class Lease:
    """Renews by calling `beat` every `heartbeat` seconds until it is left.

    The database's clock decides when others may take the row. Here the monotonic clock decides when we stop:
    `lease_seconds` after the last renewal was *begun*, so always before they do. From then on `lost` is true and
    `on_lost` has been called, from a thread that waits for nothing else: neither work nor a renewal that hangs, as it
    does when the network swallows what it is given, delays it.
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
        self._renewing = threading.Thread(target=self._renew, name="lease", daemon=True)
        self._watching = threading.Thread(target=self._watch, name="deadline", daemon=True)
        self.lost = False
        self.wish = Wish.RUN
        """What is wanted of the job, as far as the last renewal knows."""

    def __enter__(self) -> Self:
        self._renewing.start()
        self._watching.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._left.set()
        self._watching.join()
        self._renewing.join(timeout=self._heartbeat)  # one that hangs is left behind: what it writes is fenced

    def _renew(self) -> None:
        pause = self._heartbeat
        while not self._left.wait(pause):
            begun = time.monotonic()
            try:
                self.wish = self._beat() or Wish.RUN
            except OwnershipLost:
                return self._lose("taken by another attempt")
            except OUTAGES as error:
                log.warning("beat_failed", error=type(error).__name__)
                pause = min(0.5, self._heartbeat)
            else:
                self._deadline = begun + self._lease_seconds
                pause = self._heartbeat
        return None

    def _watch(self) -> None:
        while (left := self._deadline - time.monotonic()) > 0:
            if self._left.wait(left):
                return
        self._lose("not renewed in time")

    def _lose(self, reason: str) -> None:
        if not self._left.is_set():
            log.warning("lease_lost", reason=reason)
            meters.LEASES_LOST.inc()
            self.lost = True
            self._left.set()
            self._on_lost()
