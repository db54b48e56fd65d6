"""The doorbell. A message is a row's id; it may be lost, late or doubled without harm, because the claim in the
database decides.

So: acknowledged early, prefetched one at a time, JSON only, no result backend.
"""

import time
from collections.abc import Collection
from queue import Empty
from typing import Any, Literal

import structlog
from celery import Celery
from kombu.exceptions import BatchPublishError, OperationalError

from models.settings import Settings

TaskName = Literal["train", "ingest", "export", "preview"]
Row = tuple[TaskName, str]
"""What waits for a worker: the task that does it, the id."""
PREVIEWS = "trainwright.previews"
"""A queue of their own: previews never stand behind what trains for hours."""
log = structlog.get_logger()


def celery_app(settings: Settings) -> Celery:
    """The Celery application as both sides see it. A broker that is away costs a ring at most a second, never a
    request."""
    app = Celery("trainwright", broker=settings.broker_url.get_secret_value())
    app.conf.update(
        task_default_queue="trainwright",
        task_serializer="json",
        accept_content=["json"],
        result_backend=None,
        task_ignore_result=True,
        task_store_errors_even_if_ignored=False,
        worker_prefetch_multiplier=1,
        worker_disable_prefetch=True,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        worker_send_task_events=False,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,  # a worker waits for its broker as long as it takes
        broker_connection_timeout=1,
        broker_transport_options={
            "socket_connect_timeout": 1,
            "socket_timeout": 30,
            "retry_on_timeout": False,
            "max_retries": 0,  # of whoever rings
        },
        task_publish_retry=False,
        enable_utc=True,
    )
    return app


class Bell:
    """Tells workers that something waits."""

    def __init__(self, settings: Settings, app: Celery | None = None) -> None:
        self._app = app or celery_app(settings)

    def ring(self, rows: Collection[Row]) -> None:
        """Best effort, after the commit, all in one trip. What nobody heard is rung again by the reconcilers."""
        try:
            with self._app.producer_or_acquire() as producer, producer.batch():
                for task, row_id in rows:
                    queue = PREVIEWS if task == "preview" else None
                    self._app.send_task(task, args=[row_id], retry=False, queue=queue, producer=producer)
        except (BatchPublishError, OperationalError, OSError) as error:
            log.warning("ring_failed", rows=len(rows), error=type(error.__cause__ or error).__name__)

    def check(self) -> None:
        """Raise what stands in the way of ringing."""
        with self._app.connection_for_write() as connection:
            connection.ensure_connection(max_retries=0)

    def ear(self) -> "Ear":
        return Ear(self._app)

    def close(self) -> None:
        self._app.close()


class Ear:
    """Hears the bell for previews; for one thread. It only makes the wait shorter: whoever listens looks anyway."""

    def __init__(self, app: Celery) -> None:
        self._app = app
        self._connection: Any = None
        self._queue: Any = None

    def hear(self, seconds: float) -> None:
        """Return when it rings, or after so long."""
        ends = time.monotonic() + seconds
        try:
            if self._queue is None:
                self._connection = self._app.connection_for_read()
                self._queue = self._connection.SimpleQueue(PREVIEWS, no_ack=True)
            self._queue.get(timeout=seconds)
        except Empty:
            pass
        except (OperationalError, OSError, *self._connection.connection_errors) as error:
            log.warning("hearing_failed", error=type(error).__name__)
            self.close()
            time.sleep(max(0.0, ends - time.monotonic()))

    def close(self) -> None:
        if self._connection is not None:
            self._connection.release()
        self._connection = self._queue = None
