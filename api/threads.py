"""How many threads handle requests.

Threads that compute wait for each other's turn at Python's lock, and each turn finds another one's data in the caches:
few of them at a time answer no less than forty do, and the slowest in half to 0.7 of the time. Threads that wait for
something else, a lock in the database or a store far away, do not compute: there may be many of them. Which of the two
is the case shows in the processor time of this process, as Python's lock lets its threads compute on one core only, all
of them together. Where they left half of it alone during a tick, though somebody waits for a thread, four times as many
may work; where they kept it busy, half as many, but always a few beside those that have been at it for half a second:
whoever is stuck keeps nobody else waiting. Where other processes leave this one less than half of a core, its threads
seem to wait, and there are many of them.

How late the loop's own timer comes does not tell it: calls that compute let go of the lock so often that it is on time.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from anyio import CapacityLimiter, CapacityLimiterStatistics, to_thread

AT_ONCE = 2
MOST = 40
"""AnyIO's own number."""
TICK = 0.05
"""Seconds."""
STUCK = 10
"""Ticks of one request's work in a thread."""
IDLE, BUSY = 0.5, 0.8
"""Of a core. Calls that compute take 0.9 and more if nobody else wants it."""


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
    before: deque[set[object]] = deque([set()], maxlen=STUCK)
    then, spent = time.perf_counter(), time.process_time()
    while True:
        await asyncio.sleep(TICK)
        elapsed, computed = time.perf_counter() - then, time.process_time() - spent
        then, spent = then + elapsed, spent + computed
        seen = limiter.statistics()
        working = set(seen.borrowers)
        stuck = len(working.intersection(*before))
        before.append(working)
        limiter.total_tokens = _next(int(limiter.total_tokens), computed / elapsed, seen, stuck)


def _next(tokens: int, cores: float, seen: CapacityLimiterStatistics, stuck: int) -> int:
    """How many may work after a tick in which so many cores were computed on."""
    if cores > BUSY or not seen.borrowed_tokens:
        tokens //= 2
    elif cores < IDLE and seen.tasks_waiting:
        tokens *= 4
    return min(max(tokens, AT_ONCE + stuck), MOST)
