import socket
from typing import NoReturn

import kombu.utils.functional
import pytest
from structlog.testing import capture_logs

from models.queue import Bell
from models.settings import Settings


def test_a_ring_does_not_wait_for_a_broker_that_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    def sleep(seconds: float) -> NoReturn:
        pytest.fail(f"it slept for {seconds} s")

    monkeypatch.setattr(kombu.utils.functional, "sleep", sleep)
    with socket.socket() as taken:  # nobody listens to it
        taken.bind(("127.0.0.1", 0))
        broker = f"redis://127.0.0.1:{taken.getsockname()[1]}/0"
        bell = Bell(Settings(broker_url=broker, database_url="sqlite://", storage_url="file:///"))
        with capture_logs() as logs:
            bell.ring([("train", "job_1"), ("train", "job_2")])
    assert [(line["event"], line["rows"]) for line in logs] == [("ring_failed", 2)]
