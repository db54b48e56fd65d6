"""Faults are injected by a transport of the tests' own; everything else is tested against the real API."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from client import AsyncClient, Client
from client.errors import (
    APIError,
    AuthenticationError,
    ConflictError,
    ConnectionFailed,
    NotFoundError,
    PermissionDenied,
    RateLimited,
    ServerError,
    ValidationError,
)

DATASET = {"id": "ds_1", "name": "d", "status": "uploading", "status_reason": "", "created_at": "2026-01-01T00:00:00Z"}
Outcome = httpx.Response | Exception


class Script:
    """Answers with one outcome after another and keeps what was asked."""

    def __init__(self, *outcomes: Outcome) -> None:
        self._outcomes = iter(outcomes)
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        outcome = next(self._outcomes)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def create(self) -> str:
        with Client("http://test", "tw_a_b", transport=httpx.MockTransport(self)) as client:
            return client.datasets.create("d").id

    async def create_async(self) -> str:
        async with AsyncClient("http://test", "tw_a_b", transport=httpx.MockTransport(self)) as client:
            return (await client.datasets.create("d")).id

    def create_in_async_code(self) -> str:
        return asyncio.run(self.create_async())


KINDS: list[Callable[[Script], str]] = [Script.create, Script.create_in_async_code]


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr("client.connection.time.sleep", slept.append)
    monkeypatch.setattr("client.connection.asyncio.sleep", sleep)
    return slept


def created() -> httpx.Response:
    return httpx.Response(201, json=DATASET)


@pytest.mark.parametrize("create", KINDS)
def test_a_request_that_is_sent_again_keeps_its_idempotency_key(create: Callable[[Script], str]) -> None:
    script = Script(httpx.ConnectError("refused"), httpx.Response(503), created())
    assert create(script) == "ds_1"
    assert len({request.headers["idempotency-key"] for request in script.requests}) == 1
    assert [json.loads(request.content) for request in script.requests] == [{"name": "d"}] * 3


def test_two_requests_have_two_keys() -> None:
    script = Script(created(), created())
    script.create()
    script.create()
    assert len({request.headers["idempotency-key"] for request in script.requests}) == 2


@pytest.mark.parametrize("create", KINDS)
def test_after_two_retries_the_fault_is_told(create: Callable[[Script], str]) -> None:
    script = Script(*[httpx.ReadError("reset")] * 3)
    with pytest.raises(ConnectionFailed, match="http://test"):
        create(script)
    assert len(script.requests) == 3


def test_the_pause_is_the_one_that_the_service_asks_for(no_pauses: list[float]) -> None:
    Script(httpx.Response(429, headers={"Retry-After": "3"}), created()).create()
    assert no_pauses == [3]


def test_a_conflict_is_not_sent_again() -> None:
    script = Script(httpx.Response(409, headers={"X-Should-Retry": "false"}))
    with pytest.raises(ConflictError):
        script.create()
    assert len(script.requests) == 1


REFUSALS: list[tuple[int, type[APIError]]] = [
    (400, APIError), (401, AuthenticationError), (403, PermissionDenied), (404, NotFoundError), (409, ConflictError),
    (413, APIError), (422, ValidationError), (429, RateLimited), (500, ServerError), (503, ServerError),
]  # fmt: skip


@pytest.mark.parametrize(("status", "kind"), REFUSALS)
def test_each_refusal_has_its_exception(status: int, kind: type[APIError]) -> None:
    with pytest.raises(APIError) as caught:
        Script(*[httpx.Response(status, html="<h1>no</h1>")] * 3).create()
    assert type(caught.value) is kind


def test_a_refusal_shows_every_mistake_and_what_was_probably_meant() -> None:
    item = {
        "pointer": "/seeed",
        "code": "unknown",
        "detail": "unknown key",
        "suggestion": "seed",
    }
    problem: dict[str, Any] = {"title": "Unprocessable", "status": 422, "detail": "1 mistake", "errors": [item]}
    with pytest.raises(ValidationError) as caught:
        Script(httpx.Response(422, json=problem)).create()
    assert caught.value.errors[0].suggestion == "seed"
    assert "/seeed: unknown key (did you mean seed?)" in str(caught.value)


def test_something_else_that_answers_is_not_taken_for_the_service() -> None:
    with pytest.raises(ConnectionFailed, match="not this service"):
        Script(httpx.Response(200, html="<h1>It works!</h1>")).create()


def test_the_address_and_the_key_may_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRAINWRIGHT_URL", "http://elsewhere:1234")
    monkeypatch.setenv("TRAINWRIGHT_API_KEY", "tw_c_d")
    script = Script(created())
    with Client(transport=httpx.MockTransport(script)) as client:
        client.datasets.create("d")
    request = script.requests[0]
    assert (request.url.host, request.headers["authorization"]) == ("elsewhere", "Bearer tw_c_d")


def test_a_spec_that_json_cannot_say_is_refused_before_it_is_sent() -> None:
    script = Script()
    with (
        Client("http://test", transport=httpx.MockTransport(script)) as client,
        pytest.raises(ValueError, match="JSON"),
    ):
        client.jobs.create({"seed": float("nan")})
    assert script.requests == []
