import asyncio
import json
from collections.abc import Callable

import httpx
import pytest

from client import AsyncClient, Client, Event, JobProgress
from client.errors import ConnectionFailed
from tests.client.test_connection import Script

EVENT = {
    "job_id": "job_1",
    "type": "job.created",
    "actor": "user",
    "attempt": 0,
    "data": {},
    "created_at": "2026-01-01T00:00:00Z",
}


def told(*sequences: int, cut: bytes = b"") -> httpx.Response:
    lines = [f"id: evt_{n}\ndata: {json.dumps({**EVENT, 'id': f'evt_{n}', 'sequence': n})}\n\n" for n in sequences]
    return httpx.Response(200, content="".join(lines).encode() + cut)


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("client.client.time.sleep", lambda seconds: None)


def follow(script: Script) -> list[int]:
    with Client("http://test", transport=httpx.MockTransport(script)) as client:
        return [event.sequence for event in client.jobs.stream("job_1") if isinstance(event, Event)]


def follow_in_async_code(script: Script) -> list[int]:
    async def follow() -> list[int]:
        async with AsyncClient("http://test", transport=httpx.MockTransport(script)) as client:
            return [event.sequence async for event in client.jobs.stream("job_1") if isinstance(event, Event)]

    return asyncio.run(follow())


KINDS: list[Callable[[Script], list[int]]] = [follow, follow_in_async_code]


def test_a_stream_is_over_when_the_service_says_so() -> None:
    assert follow(Script(told(1, 2), httpx.Response(204))) == [1, 2]


@pytest.mark.parametrize("follow", KINDS)
def test_a_stream_that_breaks_goes_on_behind_the_last_whole_event(follow: Callable[[Script], list[int]]) -> None:
    first = told(1, 2, cut=b"retry: 1\nid: evt_3\nda")
    script = Script(first, httpx.ConnectError("refused"), told(3), httpx.Response(204))
    assert follow(script) == [1, 2, 3]
    assert [request.headers.get("last-event-id") for request in script.requests] == [None, "evt_2", "evt_2", "evt_3"]


def test_a_service_that_stays_away_is_given_up() -> None:
    with pytest.raises(ConnectionFailed):
        follow(Script(*[httpx.ConnectError("refused")] * 20))


def test_how_far_a_job_is_comes_between_its_events() -> None:
    progress = httpx.Response(200, content=b'event: job.progress\ndata: {"job_id": "job_1", "status": "running"}\n\n')
    with Client("http://test", transport=httpx.MockTransport(Script(progress, httpx.Response(204)))) as client:
        assert list(client.jobs.stream("job_1")) == [JobProgress(job_id="job_1", status="running")]
