"""Previews, one after the other, beside the slots: the supervisor of `worker.preview`.

They have a thread and a queue of their own. A worker whose slots train for hours makes them all the same, and they take
no slot from what trains.
"""

import threading
from pathlib import Path

import structlog

from models import checkpoints, datasets, previews, storage
from models.database import OUTAGES
from models.ownership import OwnershipLost
from models.storage import Damaged, NotThere, get_file
from models.tables import Preview
from worker import cache, warm
from worker.lease import Lease
from worker.order import PreviewOrder
from worker.site import Site

log = structlog.get_logger()
SECONDS = 30
"""A preview that takes longer is refused."""
LOOK_SECONDS = 1.0
"""Between two looks, if no bell is heard."""


class Previewer:
    """Makes what is asked for until the worker leaves."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._thread = threading.Thread(target=self._run, name="previewer", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Once the site is left."""
        self._thread.join(timeout=5)

    def _run(self) -> None:
        ear = self._site.bell.ear()
        while not self._site.leaving.is_set():
            try:
                while run_preview(self._site):
                    pass
            except OUTAGES as error:
                log.warning("previewing_failed", error=type(error).__name__)
            except Exception:  # one that goes wrong must not be the last one
                log.exception("previewing_failed")
            ear.hear(LOOK_SECONDS)
        ear.close()


class _Interrupted(Exception):
    """Somebody else, or somebody later, is to make it."""


class _Impossible(Exception):
    """There is no such preview; the message says why."""


def run_preview(site: Site) -> bool:
    """Claim the preview that has waited longest and see it through. Whether there may be more to do at once."""
    with site.database.read() as session:
        if site.leaving.is_set() or not previews.is_waited_for(session):
            return False
    with site.database.write() as session:
        preview = previews.claim(session, worker_id=site.id, lease_seconds=site.settings.lease_seconds)
    if preview is None:
        return False
    with structlog.contextvars.bound_contextvars(preview=preview.id, attempt=preview.attempt):
        log.info("preview_claimed", kind=preview.kind, dataset=preview.dataset_id)
        try:
            with site.scratch(f"{preview.id}-{preview.attempt}") as scratch:
                return _make(site, preview, scratch)
        except OwnershipLost:
            log.warning("preview_ownership_lost")
            return True


def _make(site: Site, preview: Preview, scratch: Path) -> bool:
    owned = (preview.id, preview.attempt)
    lease_seconds = site.settings.lease_seconds

    def beat() -> None:
        site.write(lambda session: previews.beat(session, *owned, lease_seconds), seconds=0)

    with Lease(
        beat, heartbeat=site.settings.heartbeat_seconds, lease_seconds=lease_seconds, on_lost=lambda: None
    ) as lease:

        def look() -> None:
            if lease.lost:
                raise OwnershipLost(preview.id)
            if site.leaving.is_set():
                raise _Interrupted

        try:
            order, packed = _order(site, preview, scratch, look)
            answer = warm.preview(order, look)
            if packed is not None:
                packed.keep_derived()
        except (_Interrupted, *storage.OUTAGES) as error:
            log.warning("preview_put_off", error=type(error).__name__)
            site.write(lambda session: previews.release(session, *owned))
            return False
        except (warm.Unanswered, _Impossible) as error:
            answer = {"reason": str(error)}
        if (reason := answer.get("reason")) is not None:
            log.warning("preview_failed", reason=reason, trace=answer.get("trace"))
            site.write(lambda session: previews.fail(session, *owned, reason))
            return True
        file = scratch / "picture"
        picture = file.read_bytes() if file.exists() else None
        site.write(lambda session: previews.ready(session, *owned, result=answer["result"], picture=picture))
        log.info("preview_ready")
    return True


def _order(site: Site, preview: Preview, scratch: Path, look: cache.Look) -> tuple[PreviewOrder, cache.Packed | None]:
    """What the process needs, brought to this machine."""
    with site.database.read() as session:
        dataset = datasets.find(session, preview.dataset_id)
    if dataset is None or dataset.manifest is None:
        raise _Impossible("its data set is gone")
    try:
        needs_data = preview.kind != "schedule"
        packed = cache.packed(site, dataset, scratch, look) if needs_data else None
        start = _start(site, preview, scratch, look) if needs_data else None
    except (Damaged, NotThere) as error:
        raise _Impossible("an object of its data set or checkpoint is missing or damaged") from error
    order = PreviewOrder(
        kind=preview.kind,
        spec=preview.spec,
        manifest=dataset.manifest,
        packed=None if packed is None else str(packed.folder),
        picture=str(scratch / "picture"),
        threads=site.threads,
        seconds=SECONDS,
        start_weights=start,
    )
    return order, packed


def _start(site: Site, preview: Preview, scratch: Path, look: cache.Look) -> str | None:
    """The weights that its run would start from, if it would start from any."""
    wanted = preview.spec.get("warm_start")
    if wanted is None:
        return None
    with site.database.read() as session:
        checkpoint = checkpoints.find(session, wanted["checkpoint"])
    if checkpoint is None:
        raise _Impossible("the checkpoint that it starts from is gone")
    get_file(site.storage, checkpoint.weights_key, scratch / "start", wanted["sha256"], look)
    return str(scratch / "start")
