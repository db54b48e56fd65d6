"""When to try again, and when not. A request that is tried again is the same request: a POST keeps its
`Idempotency-Key`, so that it takes effect once however often it arrives."""

import random
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx

__all__ = ["PATIENT_RETRIES", "RETRIES", "pause_before_retry", "retry_after"]

RETRIES = 2
PATIENT_RETRIES = 8
"""For who was connected once: a service that is started anew is back within half a minute."""
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 8.0
LONGEST_OBEYED = 60.0
"""Who is told to come back later than this gets the refusal instead of a silent wait."""


def pause_before_retry(
    outcome: httpx.Response | httpx.TransportError, retries_made: int, retries: int = RETRIES
) -> float | None:
    """Seconds to wait before the same request is sent again; None if it is not to be."""
    if retries_made >= retries:
        return None
    if isinstance(outcome, httpx.TransportError):
        return _jittered(retries_made)
    if not _is_worth_it(outcome):
        return None
    told = retry_after(outcome)
    if told is not None and told > LONGEST_OBEYED:
        return None
    return _jittered(retries_made) if told is None else told


def retry_after(response: httpx.Response) -> float | None:
    """Seconds that the reply asks to wait; None if it does not say, or not in a way that can be read."""
    text = response.headers.get("retry-after", "").strip()
    try:
        return max(float(text), 0.0) if text[:1].isdigit() else _until(text)
    except ValueError:
        return None


def _until(text: str) -> float:
    moment = parsedate_to_datetime(text)
    return max((moment - datetime.now(UTC)).total_seconds(), 0.0)


def _is_worth_it(response: httpx.Response) -> bool:
    match response.headers.get("x-should-retry"):
        case "true":
            return True
        case "false":
            return False
        case _:
            return response.status_code in (408, 429) or response.status_code >= 500


def _jittered(retries_made: int) -> float:
    pause: float = min(FIRST_PAUSE * 2.0**retries_made, LONGEST_PAUSE)
    return pause * random.uniform(0.5, 1.0)  # noqa: S311
