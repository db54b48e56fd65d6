from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx
import pytest

from client.retries import RETRIES, pause_before_retry, retry_after

REFUSED = httpx.ConnectError("refused")


def reply(status: int, **headers: str) -> httpx.Response:
    return httpx.Response(status, headers={name.replace("_", "-"): value for name, value in headers.items()})


@pytest.mark.parametrize("outcome", [REFUSED, reply(408), reply(429), reply(500), reply(503)])
def test_what_may_pass_is_tried_again_within_a_second(outcome: httpx.Response | httpx.TransportError) -> None:
    pause = pause_before_retry(outcome, 0)
    assert pause is not None
    assert 0.2 < pause < 1


@pytest.mark.parametrize("status", [200, 204, 304, 400, 401, 404, 409, 422])
def test_what_would_be_refused_again_is_not_tried_again(status: int) -> None:
    assert pause_before_retry(reply(status), 0) is None


@pytest.mark.parametrize(("status", "word", "again"), [(503, "false", False), (409, "true", True)])
def test_the_service_has_the_last_word_on_trying_again(status: int, word: str, again: bool) -> None:
    assert (pause_before_retry(reply(status, x_should_retry=word), 0) is not None) is again


def test_there_is_an_end_to_trying_again() -> None:
    assert pause_before_retry(REFUSED, RETRIES) is None


def test_retry_after_is_obeyed() -> None:
    assert pause_before_retry(reply(429, retry_after="7"), 0) == 7


def test_nobody_waits_for_an_hour_without_being_asked() -> None:
    assert pause_before_retry(reply(503, retry_after="3600"), 0) is None


def test_retry_after_may_be_a_date() -> None:
    moment = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    assert retry_after(reply(503, retry_after=moment)) == pytest.approx(30, abs=2)


@pytest.mark.parametrize("text", ["", "soon", "-1", "1 2"])
def test_a_retry_after_that_says_nothing_is_passed_over(text: str) -> None:
    assert retry_after(reply(503, retry_after=text)) is None
