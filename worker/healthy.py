"""`python -m worker.healthy`: exit 0 while this machine's worker reports itself. For health checks of containers."""

import socket
import sys

from models import jobs
from models.database import Database
from models.settings import Settings


def is_healthy(settings: Settings) -> bool:
    """Whether a worker of this host has reported itself within the time that a lease lasts."""
    database = Database(settings)
    try:
        with database.read() as session:
            return any(worker.host == socket.gethostname() for worker in jobs.workers(session, settings.lease_seconds))
    finally:
        database.close()


if __name__ == "__main__":
    sys.exit(0 if is_healthy(Settings()) else 1)
