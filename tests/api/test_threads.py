"""Few threads compute at once; those that wait for something keep nobody else waiting."""

import asyncio
import threading
import time
from collections.abc import Callable
from functools import partial

import pytest
from anyio import CapacityLimiterStatistics, to_thread

from api import threads
from api.threads import AT_ONCE, MOST, few_threads


class Watched:
    """Work for threads; how many were at it when each began."""

    def __init__(self, work: Callable[[], object]) -> None:
        self.work, self.lock, self.working = work, threading.Lock(), 0
        self.seen: list[int] = []

    def __call__(self) -> None:
        with self.lock:
            self.working += 1
            self.seen.append(self.working)
        self.work()
        with self.lock:
            self.working -= 1


def compute(seconds: float) -> None:
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


async def all_of(work: Callable[[], object], times: int) -> float:
    """Seconds."""
    begun = time.monotonic()
    await asyncio.gather(*(to_thread.run_sync(work) for _ in range(times)))
    return time.monotonic() - begun


@pytest.mark.parametrize(("seconds", "times"), [(0.01, 60), (0.06, 30)])
def test_few_compute_at_once(seconds: float, times: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a core that nobody else wants: a share of one is as little to compute on as waiting leaves."""
    monkeypatch.setattr(time, "process_time", time.perf_counter)
    watched = Watched(partial(compute, seconds))

    async def serve() -> None:
        async with few_threads():
            await all_of(watched, times)

    asyncio.run(serve())
    assert len(watched.seen) == times
    assert sum(watched.seen) / times < 2 * AT_ONCE


def test_many_wait_at_once_and_then_few_work_again(monkeypatch: pytest.MonkeyPatch) -> None:
    watched = Watched(lambda: time.sleep(0.05))

    async def serve() -> float:
        async with few_threads():
            seconds = await all_of(watched, 120)
            limiter = to_thread.current_default_thread_limiter()
            for _ in range(500):
                if limiter.total_tokens == AT_ONCE:
                    return seconds
                await asyncio.sleep(0.01)
            pytest.fail("it stays at many")

    assert asyncio.run(serve()) < 120 * 0.05 / AT_ONCE / 3
    assert 2 * AT_ONCE < max(watched.seen) <= MOST


def test_who_is_stuck_keeps_nobody_else_waiting() -> None:
    release = threading.Event()

    async def serve() -> list[float]:
        async with few_threads():
            stuck = [asyncio.create_task(to_thread.run_sync(release.wait, 20)) for _ in range(MOST - AT_ONCE)]
            try:
                await asyncio.sleep(0)
                return [await asyncio.wait_for(all_of(int, 1), timeout=10) for _ in range(5)]
            finally:
                release.set()
                await asyncio.gather(*stuck)

    first, *others = asyncio.run(serve())
    assert first < 2, "it takes four if at most two more begin after each 0.2 s"
    assert sum(others) < 2


@pytest.mark.parametrize(
    ("tokens", "cores", "borrowed", "waiting", "stuck", "then"),
    [
        (2, 0.1, 2, 5, 0, 8),
        (32, 0.1, 32, 5, 0, MOST),
        (8, 0.1, 8, 0, 0, 8),
        (8, 0.65, 8, 5, 0, 8),
        (8, 0.95, 8, 5, 0, 4),
        (8, 0.95, 8, 5, 6, 6 + AT_ONCE),
        (3, 1.5, 3, 5, 0, AT_ONCE),
        (8, 0.0, 0, 0, 0, 4),
        (40, 0.95, 40, 5, 40, MOST),
    ],
)
def test_how_many_may_work_next(tokens: int, cores: float, borrowed: int, waiting: int, stuck: int, then: int) -> None:
    seen = CapacityLimiterStatistics(borrowed, tokens, (), waiting)
    assert threads._next(tokens, cores, seen, stuck) == then
