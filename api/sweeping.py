"""Deleting objects whose rows are gone, after the answer. What is not reached now, a reconciler reaches later."""

import structlog

from api.dependencies import Services
from models import discarded, storage

log = structlog.get_logger()


def sweep(services: Services, prefix: str) -> None:
    try:
        discarded.sweep(services.database, services.storage, prefix)
    except (*storage.OUTAGES, OSError) as error:
        log.warning("sweep_put_off", prefix=prefix, error=type(error).__name__)
