"""Whatever dies while a job is trained, it ends once, with the bits of a run that nothing happened to."""

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from tests.faults.conftest import quick
from tests.service import Service, forkservers, kill_all_of, trainers

WITHOUT_CHECKPOINTS = {"TRAINWRIGHT_CHECKPOINT_SECONDS": "3600"}
"""But for those at an epoch's end."""

PLACES = [
    "ckpt.uploaded=kill@2",
    *(
        pytest.param(place, marks=pytest.mark.chaos)
        for place in (
            "claim.after=kill",
            "ckpt.tmp_written=kill@2",
            "ckpt.before_commit=kill@3",
            "ckpt.after_commit=kill@2",
            "finish.before_commit=kill",
            "finish.after_commit=kill",
        )
    ),
]


def undisturbed(installation: Service, dataset_id: str) -> tuple[str, str]:
    """The hashes of weights and state that the run ends with when nothing happens."""
    job_id = installation.submit(quick(dataset_id, epochs=4))
    job = installation.finish(job_id)
    assert (job["status"], job["attempt"]) == ("succeeded", 1)
    return installation.last_bits(job_id)


@pytest.mark.parametrize("place", PLACES)
def test_p8_a_worker_that_dies_at_any_place_costs_no_bit(installation: Service, dataset_id: str, place: str) -> None:
    worker = installation.start_worker(TRAINWRIGHT_FAILPOINTS=place)
    job_id = installation.submit(quick(dataset_id, epochs=4))
    assert worker.wait(60) == -9
    installation.start_worker()
    job = installation.finish(job_id)
    assert (job["status"], job["attempt"]) == ("succeeded", 1 if place.startswith("finish.after") else 2)
    assert installation.last_bits(job_id) == undisturbed(installation, dataset_id)


@pytest.mark.chaos
def test_p7_a_job_whose_workers_die_twice_in_a_row_loses_no_bit(installation: Service, dataset_id: str) -> None:
    installation.start_worker()
    job_id = installation.submit(quick(dataset_id, epochs=4))
    for attempt in (1, 2):
        owner = installation.reach_attempt(job_id, attempt)
        installation.reach_step(job_id, 20)
        kill_all_of(owner)
        installation.start_worker()
    job = installation.finish(job_id)
    assert (job["status"], job["attempt"]) == ("succeeded", 3)
    assert installation.last_bits(job_id) == undisturbed(installation, dataset_id)


def test_p10_a_worker_killed_while_it_leaves_costs_no_bit(installation: Service, dataset_id: str) -> None:
    worker = installation.start_worker()
    job_id = installation.submit(quick(dataset_id, epochs=4))
    installation.reach_step(job_id, 20)
    worker.send_signal(signal.SIGTERM)
    time.sleep(0.05)
    worker.kill()
    worker.wait()
    installation.start_worker()
    job = installation.finish(job_id)
    assert (job["status"], job["attempt"]) == ("succeeded", 2)
    assert installation.last_bits(job_id) == undisturbed(installation, dataset_id)


def test_p14_a_trainer_that_is_always_killed_is_out_of_memory(installation: Service, dataset_id: str) -> None:
    installation.start_worker(TRAINWRIGHT_FAILPOINTS="step=kill@5", **WITHOUT_CHECKPOINTS)
    job = installation.finish(installation.submit(quick(dataset_id)))
    assert (job["status"], job["failure"]["code"], job["attempt"]) == ("failed", "out_of_memory", 3)
    assert job["failure"]["owner"] == "user"


@pytest.mark.chaos
def test_p14_whoever_is_out_of_memory_leaves_the_others_alone(installation: Service, dataset_id: str) -> None:
    worker = installation.start_worker(TRAINWRIGHT_WORKER_SLOTS="2", **WITHOUT_CHECKPOINTS)
    large = installation.submit(endless(dataset_id))
    installation.reach_attempt(large, 1)
    other, beside = installation.submit(quick(dataset_id, epochs=60)), None
    for attempt in (1, 2, 3):
        installation.reach_attempt(large, attempt)
        installation.reach_step(large, 5)
        if beside is None:
            installation.reach_step(other, 1)
            first, beside = trainers(worker)
            os.kill(first, signal.SIGKILL)
        else:
            (again,) = set(trainers(worker)) - {beside}
            os.kill(again, signal.SIGKILL)
    job = installation.finish(large)
    assert (job["status"], job["failure"]["code"], job["attempt"]) == ("failed", "out_of_memory", 3)
    ended = installation.finish(other)
    assert (ended["status"], ended["attempt"]) == ("succeeded", 1)


@pytest.mark.chaos
def test_p15_a_job_that_kills_its_workers_is_poison_and_the_others_succeed(
    installation: Service, dataset_id: str
) -> None:
    poison = installation.submit(endless(dataset_id))
    good = [installation.submit(quick(dataset_id)) for _ in range(20)]
    for _ in range(2):
        installation.start_worker(**WITHOUT_CHECKPOINTS)
    for attempt in (1, 2, 3):
        kill_all_of(installation.reach_attempt(poison, attempt))
        installation.start_worker(**WITHOUT_CHECKPOINTS)
    job = installation.finish(poison)
    assert (job["status"], job["failure"]["code"], job["attempt"]) == ("failed", "poison", 3)
    assert {(installation.finish(one)["status"], installation.job(one)["attempt"]) for one in good} == {
        ("succeeded", 1)
    }


@pytest.mark.chaos
def test_p21_how_often_a_checkpoint_is_taken_changes_no_bit(installation: Service, dataset_id: str) -> None:
    installation.start_worker(**WITHOUT_CHECKPOINTS)
    often = ["1 steps", "7 steps", "100%"]
    jobs = [installation.submit(quick(dataset_id, checkpoints={"every": every})) for every in often]
    assert {installation.finish(job)["status"] for job in jobs} == {"succeeded"}
    assert len({tensors_of(installation, job) for job in jobs}) == 1


@pytest.mark.chaos
def test_p22_a_trainer_that_stands_still_is_replaced(installation: Service, dataset_id: str) -> None:
    worker = installation.start_worker(TRAINWRIGHT_STALL_SECONDS="3")
    job_id = installation.submit(quick(dataset_id, epochs=4))
    installation.reach_step(job_id, 20)
    (trainer,) = trainers(worker)
    os.kill(trainer, signal.SIGSTOP)
    job = installation.finish(job_id)
    assert (job["status"], job["attempt"]) == ("succeeded", 2)
    assert "no step for 3 seconds" in str(installation.http.get(f"/v1/jobs/{job_id}/events").json())
    worker.terminate()
    worker.wait()
    installation.start_worker()
    assert installation.last_bits(job_id) == undisturbed(installation, dataset_id)


@pytest.mark.chaos
def test_p22_a_supervisor_that_stood_still_finds_its_job_taken_and_writes_nothing(
    installation: Service, dataset_id: str
) -> None:
    """It was stopped for longer than its lease lasts, with a trainer that went on."""
    still = installation.start_worker()
    job_id = installation.submit(quick(dataset_id, epochs=4))
    installation.reach_step(job_id, 20)
    (trainer,) = trainers(still)
    still.send_signal(signal.SIGSTOP)
    installation.start_worker()
    installation.reach_attempt(job_id, 2)
    still.send_signal(signal.SIGCONT)
    job = installation.finish(job_id)
    assert (job["status"], job["attempt"]) == ("succeeded", 2)
    assert installation.last_bits(job_id) == undisturbed(installation, dataset_id)
    assert not Path(f"/proc/{trainer}").exists()
    assert "lease_lost" in (installation.folder / "worker-0.log").read_text()


@pytest.mark.chaos
def test_a_worker_whose_forkserver_is_killed_goes_on(installation: Service, dataset_id: str) -> None:
    worker = installation.start_worker()
    job_id = installation.submit(quick(dataset_id, epochs=4))
    installation.reach_step(job_id, 20)
    (server,) = forkservers(worker)
    os.kill(server, signal.SIGKILL)
    job = installation.finish(job_id)
    assert (job["status"], job["attempt"]) == ("succeeded", 2)
    assert installation.last_bits(job_id) == undisturbed(installation, dataset_id)


def tensors_of(installation: Service, job_id: str) -> bytes:
    """Of its last checkpoint, without the words beside them, which tell the spec."""
    last = installation.http.get(f"/v1/jobs/{job_id}/checkpoints/last").json()["id"]
    content = installation.http.get(f"/v1/checkpoints/{last}/content").raise_for_status().content
    return content[8 + int.from_bytes(content[:8], "little") :]


def endless(dataset_id: str) -> dict[str, Any]:
    """Of so many small steps that it never ends by itself, nor comes to a checkpoint."""
    return quick(dataset_id, training={"epochs": 1000, "batch_size": 1}, checkpoints={"every": "100%"})
