"""The reconciler: a thread of every worker, without a leader, that makes the rows true again.

It rings for what waits and was not heard, queues again what lost its owner, ends what was to be cancelled and cannot
answer. All of it is compare-and-set, so any number of reconcilers can run.
"""

import math
import random
import threading
import time

import structlog

from models import datasets, discarded, exports, idempotency, jobs, meters, previews, storage, uploads
from models.database import OUTAGES
from models.queue import Row
from models.tables import Worker
from worker.site import Site

log = structlog.get_logger()
TIDY_SECONDS = 3600


class Reconciler:
    """Runs `reconcile` every so often until it is stopped."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="reconciler", daemon=True)
        self._tidied = -math.inf

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        period = self._site.settings.reconcile_seconds
        while not self._stopped.is_set():
            try:
                reconcile(self._site)
                self._tidy()
            except OUTAGES as error:  # the database is away: so is everybody's; go on when it is back
                log.warning("reconcile_failed", error=type(error).__name__)
            except Exception:  # a round that goes wrong must not be the last one: nobody else may be there
                log.exception("reconcile_failed")
            self._stopped.wait(period * random.uniform(0.8, 1.2))  # noqa: S311

    def _tidy(self) -> None:
        """Look through the whole store, which takes its time: at first, and then now and again."""
        if time.monotonic() - self._tidied > TIDY_SECONDS:
            self._tidied = time.monotonic()
            try:
                cleared = self._site.storage.clear_away()
            except (*storage.OUTAGES, OSError) as error:
                log.warning("tidying_put_off", error=type(error).__name__)
            else:
                log.info("store_tidied", half_written=cleared)


def reconcile(site: Site) -> None:
    """One round."""
    settings = site.settings
    with site.database.write() as session:
        jobs.report_worker(
            session,
            Worker(
                id=site.id,
                host=site.host,
                pid=site.pid,
                slots=settings.worker_slots,
                busy=site.busy,
                device=site.device,
                state="draining" if site.leaving.is_set() else "online",
            ),
        )
        for job in jobs.recover_lost(session, fruitless_limit=settings.fruitless_attempts):
            meters.RECOVERED.inc()
            log.warning("job_recovered", job=job.id, attempt=job.attempt, state=job.state)
        datasets.recover_lost(session, fruitless_limit=settings.fruitless_attempts)
        exports.recover_lost(session, fruitless_limit=settings.fruitless_attempts)
        for dataset_id in uploads.give_up_abandoned(session, settings.upload_hours):
            log.info("upload_given_up", dataset=dataset_id)
        previews.recover_lost(session, fruitless_limit=settings.fruitless_attempts)
        previews.forget_old(session)
        idempotency.forget_old(session, settings.idempotency_hours)
        jobs.forget_workers(session)
    _ring(site)
    _sweep(site)


def _sweep(site: Site) -> None:
    """Delete what deleted jobs and data sets, and attempts that are over, have left in the store."""
    with site.database.read() as session:
        prefixes = discarded.overdue(session, limit=10)
    for prefix in prefixes:
        try:
            discarded.sweep(site.database, site.storage, prefix)
        except (*storage.OUTAGES, OSError) as error:
            log.warning("sweep_put_off", error=type(error).__name__)
            return
        with site.database.write() as session:
            discarded.forget(session, prefix)


def _ring(site: Site) -> None:
    """Ring for as many waiting rows as this worker has room for: messages never pile up behind busy workers."""
    if site.free <= 0:
        return
    patience = 2 * site.settings.reconcile_seconds
    with site.database.write() as session:
        uploads = datasets.unheard(session, older_than=patience, limit=site.free)
        asked = exports.unheard(session, older_than=patience, limit=site.free)
        waiting = jobs.unheard(session, older_than=patience, limit=site.free)
    rows: list[Row] = [
        *(("ingest", dataset_id) for dataset_id in uploads),
        *(("export", export_id) for export_id in asked),
        *(("train", job_id) for job_id in waiting),
    ]
    if rows:
        site.bell.ring(rows)
