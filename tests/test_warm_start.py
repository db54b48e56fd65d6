"""A job that starts from another one's checkpoint, with real processes."""

from typing import Any

import pytest

from models import checkpoints
from tests.service import Service, kill_all_of

FROZEN_STEPS = 40


def spec(dataset_id: str, epochs: int, **changes: Any) -> dict[str, Any]:
    return {
        "dataset": {"id": dataset_id, "validation": {"fraction": 0.2}},
        "network": {"type": "cnn", "widths": [8, 16], "head": [32], "norm": "batch"},
        "optimizer": {"type": "adamw", "learning_rate": 0.001},
        "training": {"epochs": epochs, "batch_size": 32},
        **changes,
    }


@pytest.fixture(scope="module")
def source(lasting_service: Service, digits_id: str) -> str:
    """The job whose checkpoints others start from."""
    lasting_service.keep_one_worker()
    return trained(lasting_service, digits_id)


def trained(installation: Service, dataset_id: str) -> str:
    job_id = installation.submit(spec(dataset_id, 5))
    assert installation.finish(job_id)["status"] == "succeeded"
    return job_id


def best_of(installation: Service, job_id: str) -> dict[str, Any]:
    checkpoint: dict[str, Any] = installation.http.get(f"/v1/jobs/{job_id}/checkpoints/best").json()
    return checkpoint


def test_a_job_goes_on_from_another_ones_best_and_is_better_than_one_from_scratch(
    running_service: Service, digits_id: str, source: str
) -> None:
    scratch = running_service.finish(running_service.submit(spec(digits_id, 1)))
    start = {"checkpoint": {"job": source}, "freeze": ["convolutions"], "freeze_until": f"{FROZEN_STEPS} steps"}
    warm_id = running_service.submit(spec(digits_id, 1, warm_start=start))
    warm = running_service.finish(warm_id)
    assert warm["status"] == "succeeded", warm
    accuracies = [job["summary"]["last"]["validation/accuracy"] for job in (warm, scratch)]
    assert accuracies[0] > accuracies[1] + 0.02

    best = best_of(running_service, source)
    report = warm["summary"]["warm_start"]
    assert (report["checkpoint"], report["sha256"]) == (best["id"], best["sha256"])
    assert (report["replaced"], report["left"], report["frozen_until_step"]) == ([], [], FROZEN_STEPS)
    assert "output" in report["loaded"]
    events = running_service.http.get(f"/v1/jobs/{warm_id}/events").json()["data"]
    assert [event["data"] for event in events if event["type"] == "job.warm_started"] == [report]


@pytest.mark.chaos
@pytest.mark.parametrize("kill_at", [50, 120])
def test_a_worker_killed_on_either_side_of_the_thaw_costs_no_bit(
    running_service: Service, digits_id: str, source: str, kill_at: int
) -> None:
    start = {"checkpoint": best_of(running_service, source)["id"], "freeze": "body"}
    thawing = {**start, "freeze_until": "100 steps"}
    undisturbed = running_service.submit(spec(digits_id, 16, warm_start=thawing))
    running_service.finish(undisturbed)
    job_id = running_service.submit(spec(digits_id, 16, warm_start=thawing))
    running_service.reach_step(job_id, kill_at)
    kill_all_of(running_service.owner_of(job_id))
    running_service.start_worker()
    job = running_service.finish(job_id)
    assert (job["status"], job["attempt"]) == ("succeeded", 2), running_service.logs()
    assert running_service.last_weights(job_id) == running_service.last_weights(undisturbed)
    assert job["summary"]["warm_start"]["checkpoint"] == start["checkpoint"]


def test_weights_that_were_damaged_end_the_job_and_are_not_served_again(
    running_service: Service, digits_id: str
) -> None:
    best = best_of(running_service, trained(running_service, digits_id))
    damage(running_service, best["id"])
    job = running_service.finish(running_service.submit(spec(digits_id, 1, warm_start={"checkpoint": best["id"]})))
    assert (job["status"], job["failure"]["code"]) == ("failed", "checkpoint_error")
    assert best["id"] in job["failure"]["message"]
    assert job["failure"]["owner"] == "user"
    assert running_service.http.get(f"/v1/checkpoints/{best['id']}").status_code == 404
    again = running_service.http.post("/v1/jobs", json=spec(digits_id, 1, warm_start={"checkpoint": best["id"]}))
    assert again.status_code == 422


def damage(installation: Service, checkpoint_id: str) -> None:
    """One bit in the middle of the weights."""
    with installation.database() as database, database.read() as session:
        checkpoint = checkpoints.find(session, checkpoint_id)
    assert checkpoint is not None
    file = installation.folder / "objects" / checkpoint.weights_key
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.chmod(0o600)
    file.write_bytes(content)
