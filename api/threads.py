"""How many threads handle requests.

Threads that compute wait for each other's turn at Python's lock, and each turn finds another one's data in the caches:
with two of them at a time a process answers half as many GETs again as with forty. One that waits for something else, a
lock in the database or a store far away, does not compute: for each that is not done within a moment another one may
begin, so that whoever waits keeps nobody else waiting.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from anyio import CapacityLimiter, to_thread

AT_ONCE = 2
MOST = 40
"""AnyIO's own number."""
MOMENT = 0.1
"""Seconds."""


@asynccontextmanager
async def few_threads() -> AsyncIterator[None]:
    """Of those that FastAPI and Starlette run in this event loop what must not block it."""
    limiter = to_thread.current_default_thread_limiter()
    limiter.total_tokens = AT_ONCE
    tending = asyncio.create_task(_tend(limiter))
    try:
        yield
    finally:
        tending.cancel()


async def _tend(limiter: CapacityLimiter) -> None:
    before: set[object] = set()
    while True:
        await asyncio.sleep(MOMENT)
        working = set(limiter.statistics().borrowers)
        limiter.total_tokens = min(AT_ONCE + len(working & before), MOST)
        before = working
