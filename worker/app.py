"""The Celery worker: three tasks that take an id, a pool of threads in which supervisors wait, and beside it a
reconciler and a previewer."""

from typing import Any

import structlog
from celery import Celery
from celery.signals import setup_logging, worker_shutting_down

from models.logs import configure_logging
from models.queue import Bell, celery_app
from models.settings import Settings
from worker import figures, job_log, warm
from worker.exporting import run_export
from worker.intake import run_ingest
from worker.mlflow import Teller
from worker.previewing import Previewer
from worker.reconcile import Reconciler
from worker.run import run_job
from worker.site import Site

log = structlog.get_logger()


def serve(settings: Settings) -> None:
    """Run a worker until it is told to leave. SIGTERM: save what runs, give it back, go."""
    configure_logging()
    job_log.configure()
    app = celery_app(settings)
    site = Site(settings, Bell(settings, app))
    site.device = warm.start_server(site.threads, settings.cache_dir)["device"]
    add_tasks(app, site)

    @setup_logging.connect(weak=False)  # type: ignore[untyped-decorator]
    def keep_our_logging(**_: Any) -> None:
        """Celery sets up its own unless somebody listens."""

    @worker_shutting_down.connect(weak=False)  # type: ignore[untyped-decorator]
    def leave(**_: Any) -> None:
        site.leave()

    reconciler, previewer = Reconciler(site), Previewer(site)
    reconciler.start()
    teller = None if settings.mlflow_url is None else Teller(site)
    if teller is not None:
        teller.start()
    previewer.start()
    figures.tell(site.database, settings)
    site.trainers.prepare()
    log.info("worker_started", worker=site.id, slots=settings.worker_slots, device=site.device)
    try:
        worker = app.Worker(
            pool="threads",
            concurrency=settings.worker_slots,
            hostname=f"{site.id}@{site.host}",
            without_gossip=True,
            without_mingle=True,
            without_heartbeat=True,
            quiet=True,
        )
        worker.start()
    finally:
        site.leave()
        previewer.stop()
        reconciler.stop()
        if teller is not None:
            teller.stop()
        site.close()
        log.info("worker_left", worker=site.id)


def add_tasks(app: Celery, site: Site) -> None:
    """Register the tasks. Each may run twice, late or never: the claim decides."""

    @app.task(name="train")  # type: ignore[untyped-decorator]
    def train(_job_id: str) -> None:
        if not site.leaving.is_set():
            with site.slot():
                run_job(site)

    @app.task(name="ingest")  # type: ignore[untyped-decorator]
    def ingest(dataset_id: str) -> None:
        if not site.leaving.is_set():
            with site.slot():
                run_ingest(site, dataset_id)

    @app.task(name="export")  # type: ignore[untyped-decorator]
    def export(export_id: str) -> None:
        if not site.leaving.is_set():
            with site.slot():
                run_export(site, export_id)
