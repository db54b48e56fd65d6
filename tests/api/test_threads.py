"""Few threads compute at once; those that wait for something keep nobody else waiting."""

import asyncio
import threading
import time

import pytest
from anyio import to_thread

from api import threads
from api.threads import AT_ONCE, few_threads


def test_no_more_compute_at_once_than_may() -> None:
    lock, working, most = threading.Lock(), 0, 0

    def compute() -> None:
        nonlocal working, most
        with lock:
            working += 1
            most = max(most, working)
        time.sleep(0.002)
        with lock:
            working -= 1

    async def serve() -> None:
        async with few_threads():
            await asyncio.gather(*(to_thread.run_sync(compute) for _ in range(20)))

    asyncio.run(serve())
    assert most == AT_ONCE


def test_whoever_waits_gives_way_until_it_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "MOMENT", 0.01)
    monkeypatch.setattr(threads, "MOST", 10)
    release = threading.Event()

    async def serve() -> tuple[float, float]:
        async with few_threads():
            limiter = to_thread.current_default_thread_limiter()
            waiting = [asyncio.create_task(to_thread.run_sync(release.wait)) for _ in range(8)]
            await asyncio.wait_for(to_thread.run_sync(int), timeout=5)
            for _ in range(500):
                if limiter.total_tokens == threads.MOST:
                    break
                await asyncio.sleep(0.01)
            at_worst = limiter.total_tokens
            release.set()
            await asyncio.gather(*waiting)
            for _ in range(500):
                if limiter.total_tokens == AT_ONCE:
                    break
                await asyncio.sleep(0.01)
            return at_worst, limiter.total_tokens

    assert asyncio.run(serve()) == (8 + AT_ONCE, AT_ONCE)
