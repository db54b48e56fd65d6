"""Reading a job's stream of events over as many connections as it takes."""

import httpx

from .resources import Event, JobProgress
from .retries import PATIENT_RETRIES, RETRIES, pause_before_retry
from .server_sent_events import Message, Parser

__all__ = ["EventStream"]

NO_CONTENT = 204


class EventStream:
    """Where the reading of a stream is. A new connection goes on behind the last event that was read."""

    def __init__(self, after: str | None) -> None:
        self._parser = Parser(last_event_id=after)
        self._failures = 0
        self._retries = RETRIES

    @property
    def headers(self) -> dict[str, str]:
        headers = {"Accept": "text/event-stream", "Cache-Control": "no-store"}
        if self._parser.last_event_id:
            headers["Last-Event-ID"] = self._parser.last_event_id
        return headers

    def begins(self, response: httpx.Response) -> bool:
        """Whether there is more to come on this connection; if not, the stream is over."""
        self._parser.connected()
        self._retries = PATIENT_RETRIES
        return response.status_code != NO_CONTENT

    def read(self, data: bytes) -> list[Event | JobProgress]:
        self._failures = 0
        return [_read(message) for message in self._parser.feed(data)]

    def pause(self, error: httpx.TransportError | None) -> float | None:
        """Seconds before the next connection; None if too many in a row have failed."""
        if error is None:
            return self._parser.retry_seconds
        pause = pause_before_retry(error, self._failures, self._retries)
        self._failures += 1
        return pause


def _read(message: Message) -> Event | JobProgress:
    kind = JobProgress if message.event == "job.progress" else Event
    return kind.model_validate_json(message.data)
