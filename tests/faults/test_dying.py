"""Whatever dies while a job is trained, it ends once, with the bits of a run that nothing happened to."""

import signal
import time

import pytest

from tests.faults.conftest import quick
from tests.service import Service, descendants

PLACES = [
    "ckpt.uploaded=kill@2",
    "finish.before_commit=kill",
    *(
        pytest.param(place, marks=pytest.mark.chaos)
        for place in (
            "claim.after=kill",
            "ckpt.tmp_written=kill@2",
            "ckpt.before_commit=kill@3",
            "ckpt.after_commit=kill@2",
            "finish.after_commit=kill",
        )
    ),
]


@pytest.fixture
def undisturbed(installation: Service, dataset_id: str) -> str:
    """The hash of the weights that the run ends with when nothing happens."""
    worker = installation.start_worker()
    job_id = installation.submit(quick(dataset_id, epochs=4))
    assert installation.finish(job_id)["status"] == "succeeded"
    worker.terminate()
    worker.wait()
    return installation.last_weights(job_id)


@pytest.mark.parametrize("place", PLACES)
def test_p8_a_worker_that_dies_at_any_place_costs_no_bit(
    installation: Service, dataset_id: str, undisturbed: str, place: str
) -> None:
    worker = installation.start_worker(TRAINWRIGHT_FAILPOINTS=place)
    job_id = installation.submit(quick(dataset_id, epochs=4))
    assert worker.wait(60) == -9
    installation.start_worker()
    job = installation.finish(job_id)
    assert (job["status"], job["attempt"]) == ("succeeded", 1 if place.startswith("finish.after") else 2)
    assert installation.last_weights(job_id) == undisturbed


def test_p10_a_worker_killed_while_it_leaves_costs_no_bit(
    installation: Service, dataset_id: str, undisturbed: str
) -> None:
    worker = installation.start_worker()
    job_id = installation.submit(quick(dataset_id, epochs=4))
    installation.reach_step(job_id, 20)
    worker.send_signal(signal.SIGTERM)
    time.sleep(0.05)
    worker.kill()
    worker.wait()
    installation.start_worker()
    assert installation.finish(job_id)["status"] == "succeeded"
    assert installation.last_weights(job_id) == undisturbed


def test_p14_a_trainer_that_is_always_killed_is_out_of_memory(installation: Service, dataset_id: str) -> None:
    installation.start_worker(TRAINWRIGHT_FAILPOINTS="step=kill@5")
    job = installation.finish(installation.submit(quick(dataset_id)))
    assert (job["status"], job["failure"]["code"], job["attempt"]) == ("failed", "out_of_memory", 3)
    assert job["failure"]["owner"] == "user"


@pytest.mark.chaos
def test_p15_a_job_that_kills_its_workers_is_poison(installation: Service, dataset_id: str) -> None:
    job_id = installation.submit(quick(dataset_id))
    for _ in range(3):
        worker = installation.start_worker(TRAINWRIGHT_FAILPOINTS="claim.after=kill")
        assert worker.wait(60) == -9
    installation.start_worker()
    job = installation.finish(job_id)
    assert (job["failure"]["code"], job["attempt"]) == ("poison", 3)
    good = [installation.submit(quick(dataset_id)) for _ in range(5)]
    assert {installation.finish(job_id)["status"] for job_id in good} == {"succeeded"}


@pytest.mark.chaos
def test_p22_a_trainer_that_stands_still_is_replaced(installation: Service, dataset_id: str, undisturbed: str) -> None:
    worker = installation.start_worker(TRAINWRIGHT_STALL_SECONDS="3")
    job_id = installation.submit(quick(dataset_id, epochs=4))
    installation.reach_step(job_id, 20)
    (trainer,) = [pid for pid in descendants(worker.pid) if _threads(pid) > 2]
    import os

    os.kill(trainer, signal.SIGSTOP)
    job = installation.finish(job_id)
    assert (job["status"], job["attempt"]) == ("succeeded", 2)
    assert installation.last_weights(job_id) == undisturbed


def _threads(pid: int) -> int:
    from pathlib import Path

    return len(list(Path(f"/proc/{pid}/task").iterdir()))
