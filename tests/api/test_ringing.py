"""Ringing workers without keeping anybody waiting."""

import base64
import json
import threading
import time
from pathlib import Path

import redis

from api.ringing import WAITING, Ringer
from models.queue import Bell, TaskName
from models.settings import Settings


class SlowBell(Bell):
    """Counts, slowly, and hears no answer."""

    def __init__(self, *, is_heard: bool) -> None:
        self.is_heard = is_heard
        self.rung: list[str] = []
        self.held = threading.Event()

    def ring(self, task: TaskName, row_id: str) -> bool:
        self.held.wait(60)
        self.rung.append(row_id)
        return self.is_heard

    def close(self) -> None:
        self.held.set()


def test_ringing_does_not_wait_for_the_bell() -> None:
    bell = SlowBell(is_heard=True)
    ringer = Ringer(bell)
    for number in range(WAITING):
        ringer.ring("train", str(number))
    assert bell.rung == []
    bell.held.set()
    ringer.close()
    assert len(bell.rung) == WAITING


def test_what_would_fail_as_well_is_forgotten() -> None:
    bell = SlowBell(is_heard=False)
    ringer = Ringer(bell)
    for number in range(50):
        ringer.ring("train", str(number))
    bell.held.set()
    time.sleep(0.1)
    ringer.close()
    assert bell.rung == ["0"]


def test_a_ring_reaches_the_broker(redis_url: str, tmp_path: Path) -> None:
    settings = Settings(database_url="sqlite://", storage_url=f"file://{tmp_path}", broker_url=redis_url)
    ringer = Ringer(Bell(settings))
    ringer.ring("train", "job_1")
    ringer.close()
    with redis.Redis.from_url(redis_url) as broker:
        message = json.loads(broker.lindex("trainwright", 0))
    assert message["headers"]["task"] == "train"
    assert json.loads(base64.b64decode(message["body"]))[0] == ["job_1"]


def test_a_ringer_that_never_rang_closes() -> None:
    Ringer(SlowBell(is_heard=True)).close()
