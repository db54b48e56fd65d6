"""The figures of a worker, and those of the queue that all share, for Prometheus, on a port of their own."""

from collections.abc import Iterator

import structlog
from prometheus_client import REGISTRY, CollectorRegistry, start_http_server
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from models import jobs
from models.database import OUTAGES, Database
from models.settings import Settings

log = structlog.get_logger()


class Rows(Collector):
    """Looked up whenever somebody asks; while the database is away there is nothing to say."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._settings = settings

    def describe(self) -> list[GaugeMetricFamily]:
        """Nothing, so that to register is not to ask the database."""
        return []

    def collect(self) -> Iterator[GaugeMetricFamily]:
        try:
            with self._database.read() as session:
                counts, oldest = jobs.count_by_state(session), jobs.longest_wait(session)
                workers = len(jobs.workers(session, self._settings.lease_seconds))
        except OUTAGES as error:
            log.warning("figures_missing", error=type(error).__name__)
            return
        by_state = GaugeMetricFamily("trainwright_jobs", "Jobs of all projects that are not over.", labels=["state"])
        for state, count in counts.items():
            by_state.add_metric([state], count)
        yield by_state
        yield GaugeMetricFamily("trainwright_queue_age_seconds", "How long the oldest queued job waits.", value=oldest)
        yield GaugeMetricFamily("trainwright_workers", "Workers that have reported themselves lately.", value=workers)


def tell(database: Database, settings: Settings, registry: CollectorRegistry = REGISTRY) -> int | None:
    """Answer Prometheus from now on, if a port is set and free; returns the port."""
    if settings.metrics_port is None:
        return None
    registry.register(Rows(database, settings))
    try:
        server, _ = start_http_server(settings.metrics_port, addr=settings.metrics_host, registry=registry)
    except OSError as error:  # another worker of this machine has it
        log.warning("figures_not_told", port=settings.metrics_port, error=str(error))
        return None
    return int(server.server_port)
