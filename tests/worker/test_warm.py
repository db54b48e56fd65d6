"""A trainer that is ready waits for the next job."""

import multiprocessing
import os
import platform
import re
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.local.processes import eventually
from tests.service import name_of
from tests.worker.training.little import bars, pack_images, spec_for
from worker import warm
from worker.arenas import ARENA_BYTES
from worker.order import Order
from worker.warm import Trainer, Trainers

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")


@pytest.fixture(scope="module")
def _server(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What trainers are forked from."""
    warm.start_server(1, tmp_path_factory.mktemp("warm"))


@pytest.fixture
def trainers(_server: None) -> Iterator[Trainers]:
    trainers = Trainers("cpu")
    trainers.prepare()
    yield trainers
    trainers.close()


def pids() -> set[int]:
    return {child.pid for child in multiprocessing.active_children() if child.pid is not None}


def wait_until_ready(pid: int) -> None:
    assert eventually(lambda: name_of(pid) == "trainer, waits", 20)


def order(folder: Path) -> Order:
    """One that no trainer can do, so that it soon says so."""
    return Order(spec={}, packed=str(folder), scratch=str(folder), threads=1)


def last_word(trainer: Trainer) -> dict[str, Any]:
    said = trainer.hear(20)
    assert said is not None
    trainer.close()
    trainer.output.close()
    return said


def test_the_one_that_waits_gets_the_job(trainers: Trainers, tmp_path: Path) -> None:
    (waiting,) = pids()
    wait_until_ready(waiting)
    trainers.prepare()
    assert pids() == {waiting}, "one is enough"
    trainer = trainers.begin(order(tmp_path))
    assert pids() == {waiting}
    assert last_word(trainer)["type"] == "failed"


def test_where_none_waits_one_is_made(trainers: Trainers, tmp_path: Path) -> None:
    (waiting,) = pids()
    first, second = trainers.begin(order(tmp_path)), trainers.begin(order(tmp_path))
    assert len(pids() - {waiting}) == 1
    assert {last_word(first)["type"], last_word(second)["type"]} == {"failed"}


def test_one_that_died_waiting_costs_no_job(trainers: Trainers, tmp_path: Path) -> None:
    (waiting,) = pids()
    wait_until_ready(waiting)
    os.kill(waiting, signal.SIGKILL)
    assert eventually(lambda: name_of(waiting) is None, 20)
    trainer = trainers.begin(order(tmp_path))
    assert waiting not in pids()
    assert last_word(trainer)["type"] == "failed"


def test_it_does_not_outlive_whom_it_waits_for(trainers: Trainers) -> None:
    (waiting,) = pids()
    wait_until_ready(waiting)
    trainers.close()
    assert eventually(lambda: name_of(waiting) is None, 20)
    assert not pids()


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
@pytest.mark.usefixtures("_server")
def test_a_device_that_is_not_there_is_for_the_job_to_complain_of(tmp_path: Path) -> None:
    trainers = Trainers("cuda")
    trainers.prepare()
    (waiting,) = pids()
    wait_until_ready(waiting)
    assert last_word(trainers.begin(order(tmp_path)))["type"] == "failed"
    assert waiting not in pids()


def arenas(pid: int) -> int:
    """How many glibc has mapped for threads other than the process's first: each begins at a multiple of its length,
    and its beginning can be written to.
    """
    maps = Path(f"/proc/{pid}/maps").read_text()
    found = re.findall(r"^([0-9a-f]+)-([0-9a-f]+) (rw-|---)p 00000000 00:00 0 *$", maps, re.MULTILINE)
    spans = [(int(start, 16), int(end, 16)) for start, end, _ in found]
    count = 0
    for (start, end), (_, _, access) in zip(spans, found, strict=True):
        for begin in range(-(-start // ARENA_BYTES) * ARENA_BYTES, end, ARENA_BYTES):
            reached = begin
            for first, last in spans:
                reached = last if first <= reached < last else reached
            count += access == "rw-" and reached >= begin + ARENA_BYTES
    return count


SHALLOW: dict[str, Any] = {"type": "mlp", "hidden": [40_000]}
DEEP: dict[str, Any] = {
    "type": "sequential",
    "layers": [
        *({"type": "conv", "filters": 64, "kernel": 1} for _ in range(20)),
        {"type": "flatten"},
        {"type": "dense", "units": 4},
    ],
}


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc")
@pytest.mark.parametrize(
    ("network", "shared"), [(SHALLOW, True), (DEEP, False)], ids=["large blocks", "many small blocks"]
)
def test_replicas_share_a_heap_where_blocks_are_large(
    trainers: Trainers, tmp_path: Path, network: dict[str, Any], shared: bool
) -> None:
    packed = pack_images(tmp_path, train=bars(2048))
    training = {"epochs": 1000, "batch_size": 1024, "replicas": 2}
    spec = spec_for(packed, {"network": network, "training": training})
    (waiting,) = pids()
    trainer = trainers.begin(Order(spec.model_dump(mode="json"), str(packed), str(tmp_path), threads=2))
    try:
        said: dict[str, Any] | None = {"type": ""}
        while said is not None and said["type"] not in {"epoch", "failed"}:
            said = trainer.hear(60)
        assert said is not None
        assert said["type"] == "epoch", said
        assert (arenas(waiting) == 0) == shared
    finally:
        trainer.kill()
        trainer.close()
        trainer.output.close()
