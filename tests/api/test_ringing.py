"""Ringing workers without keeping anybody waiting."""

import base64
import json
import threading
from collections.abc import Collection
from pathlib import Path

import redis
from structlog.testing import capture_logs

from api.ringing import WAITING, Ringer
from models.queue import Bell, Row
from models.settings import Settings
from tests.servers.process import free_port


class SlowBell(Bell):
    """Counts, slowly."""

    def __init__(self) -> None:
        self.rung: list[list[str]] = []
        self.begun, self.held = threading.Event(), threading.Event()

    def ring(self, rows: Collection[Row]) -> None:
        self.begun.set()
        self.held.wait(60)
        self.rung.append([row_id for _, row_id in rows])

    def close(self) -> None:
        self.held.set()


def test_ringing_does_not_wait_for_the_bell() -> None:
    bell = SlowBell()
    ringer = Ringer(bell)
    for number in range(WAITING):
        ringer.ring("train", str(number))
    assert bell.rung == []
    bell.held.set()
    ringer.close()
    assert [row_id for rows in bell.rung for row_id in rows] == [str(number) for number in range(WAITING)]


def test_what_waits_meanwhile_is_rung_for_at_once() -> None:
    bell = SlowBell()
    ringer = Ringer(bell)
    ringer.ring("train", "0")
    assert bell.begun.wait(20)
    for number in range(1, 50):
        ringer.ring("train", str(number))
    bell.held.set()
    ringer.close()
    assert [len(rows) for rows in bell.rung] == [1, 49]


def test_a_broker_that_is_away_is_tried_once_for_all_that_wait(tmp_path: Path) -> None:
    settings = Settings(
        database_url="sqlite://", storage_url=f"file://{tmp_path}", broker_url=f"redis://127.0.0.1:{free_port()}"
    )
    bell = Bell(settings)
    with capture_logs() as lines:
        bell.ring([("train", "job_1"), ("train", "job_2")])
    bell.close()
    assert [(line["event"], line["rows"]) for line in lines] == [("ring_failed", 2)]


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
    Ringer(SlowBell()).close()
