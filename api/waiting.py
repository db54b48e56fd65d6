"""Waiting for a row to change, without keeping a thread or a connection while nothing happens."""

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

from fastapi import Request
from starlette.concurrency import run_in_threadpool

SHORTEST = 0.05
LONGEST = 0.5
"""Seconds between two looks: short at first, for what changes soon is usually waited for most."""
Seen = TypeVar("Seen")


async def until(request: Request, look: Callable[[], Seen], is_enough: Callable[[Seen], bool], seconds: float) -> Seen:
    """What `look` saw when it was enough, or when the time was over, or when the caller has gone."""
    deadline = time.monotonic() + seconds
    pause = SHORTEST
    while True:
        seen = await run_in_threadpool(look)
        left = deadline - time.monotonic()
        if left <= 0 or is_enough(seen) or await request.is_disconnected():
            return seen
        await asyncio.sleep(min(pause, left))
        pause = min(pause * 1.3, LONGEST)
