"""Deleting objects whose rows are gone, after the answer. What is not reached now, a reconciler reaches later."""

import structlog

from api.dependencies import Services
from models import database, discarded, storage

log = structlog.get_logger()


def sweep(services: Services, prefix: str) -> None:
    try:
        discarded.sweep(services.database, services.storage, prefix)
    except (*database.OUTAGES, *storage.OUTAGES, OSError) as error:
        log.warning("sweep_put_off", prefix=prefix, error=type(error).__name__)


def sweep_below(services: Services, prefix: str) -> None:
    """What was given up so far below a prefix."""
    with services.database.read() as session:
        given_up = discarded.below(session, prefix)
    for one in given_up:
        sweep(services, one)


def discard(services: Services, key: str) -> None:
    """Give up an object that no row came to point at."""
    try:
        with services.database.write() as session:
            discarded.add(session, key)
    except database.OUTAGES as error:
        log.warning("discard_put_off", prefix=key, error=type(error).__name__)
    sweep(services, key)
