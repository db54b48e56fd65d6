"""What happens to a job when things go wrong, with real processes: the same bits in the end, on both databases."""

import json
import random
import re
import signal
import time
from pathlib import Path
from typing import Any

import numpy
import pytest
from safetensors.numpy import load

from tests.local.processes import eventually
from tests.servers.s3 import S3
from tests.service import DIGITS, Service, descendants, kill_all_of, service, waiting_trainers

EPOCHS = 12


def spec(dataset_id: str, **changes: Any) -> dict[str, Any]:
    """A run of some seconds that uses whatever has state: momentum, dropout, augmentation, batch norm, a schedule."""
    return {
        "name": "digits",
        "seed": 3,
        "dataset": {"id": dataset_id, "validation": {"fraction": 0.1}},
        "network": {"type": "cnn", "widths": [8, 16], "head": [32], "norm": "batch"},
        "initialization": {"type": "kaiming_normal"},
        "regularization": [{"type": "l2", "weight": 1e-4}, {"type": "dropout", "rate": 0.3}],
        "augmentation": [{"type": "affine", "rotation": 10, "shift": [0.1, 0.1]}],
        "optimizer": {"type": "adamw", "learning_rate": 0.002},
        "schedule": {"type": "cosine"},
        "clipping": {"type": "global_norm", "max_norm": 1.0},
        "training": {"epochs": EPOCHS, "batch_size": 16, "averaging": {"type": "ema", "decay": 0.99}},
        **changes,
    }


@pytest.fixture(scope="module")
def undisturbed(lasting_service: Service, digits_id: str) -> str:
    """The job that others are held against."""
    lasting_service.keep_one_worker()
    job_id = lasting_service.submit(spec(digits_id))
    assert lasting_service.finish(job_id)["status"] == "succeeded"
    return job_id


def test_a_job_goes_from_a_spec_to_a_checkpoint(running_service: Service) -> None:
    job_id = running_service.submit(spec(running_service.upload(DIGITS)))
    job = running_service.finish(job_id)
    assert job["status"] == "succeeded", job
    assert job["attempt"] == 1
    assert job["summary"]["best"]["validation/accuracy"] > 0.8
    assert job["applied"]["optimizer"]["updates"] == job["progress"]["step"]
    assert job["applied"]["schedule"]["peak"] == job["resolved_spec"]["optimizer"]["learning_rate"]
    assert running_service.last_weights(job_id)
    assert running_service.events(job_id)[:3] == ["job.created", "job.claimed", "job.started"]
    assert running_service.events(job_id)[-1] == "job.succeeded"
    assert running_service.http.post(f"/v1/jobs/{job_id}/cancel").status_code == 409
    lines = running_service.http.get(f"/v1/jobs/{job_id}/logs?source=worker").json()["data"]
    assert [line["message"].split()[0] for line in (lines[0], lines[-1])] == ["job_claimed", "job_left"]
    (worker,) = running_service.workers
    assert eventually(lambda: waiting_trainers(worker) == 1, 20)


def test_pictures_in_another_size_are_made_once_and_kept_with_their_data(
    running_service: Service, digits_id: str
) -> None:
    short = {"epochs": 1, "batch_size": 64}
    words = spec(digits_id, training=short)
    words["dataset"]["image_size"] = [10, 9]
    made, bits = [], []
    for _ in range(2):
        job_id = running_service.submit(words)
        assert running_service.finish(job_id)["status"] == "succeeded"
        bits.append(running_service.last_weights(job_id))
        (file,) = running_service.folder.glob("*/datasets/*/*-10x9-*.npy")
        made.append(file.stat().st_ino)
    assert made[0] == made[1]
    assert bits[0] == bits[1]


def test_the_whole_stack_is_a_matter_of_settings(postgres_url: str, redis_url: str, s3: S3, tmp_path: Path) -> None:
    stores = {
        "TRAINWRIGHT_STORAGE_URL": s3.url,
        "TRAINWRIGHT_S3_ENDPOINT": s3.endpoint,
        "TRAINWRIGHT_S3_REGION": s3.region,
        "TRAINWRIGHT_S3_ACCESS_KEY_ID": s3.access_key,
        "TRAINWRIGHT_S3_SECRET_ACCESS_KEY": s3.secret_key,
    }
    with service(tmp_path, postgres_url, redis_url, **stores) as installation:
        installation.start_worker()
        short = {"epochs": 2, "batch_size": 64}
        job_id = installation.submit(spec(installation.upload(DIGITS), training=short))
        assert installation.finish(job_id)["status"] == "succeeded"
        assert installation.last_weights(job_id)
    assert not (tmp_path / "objects").exists()


@pytest.mark.parametrize("kills", [1, pytest.param(20, marks=[pytest.mark.chaos, pytest.mark.timeout(1800)])])
def test_a_worker_killed_at_any_step_costs_no_bit(
    running_service: Service, digits_id: str, undisturbed: str, kills: int
) -> None:
    steps = running_service.job(undisturbed)["progress"]["steps"]
    running_service.start_worker()
    seed = 7
    for kill_at in random.Random(seed).sample(range(1, steps - steps // 4), kills):
        job_id = running_service.submit(spec(digits_id))
        running_service.reach_step(job_id, kill_at)
        owner = running_service.owner_of(job_id)
        trainers = descendants(owner.pid)
        kill_all_of(owner)
        assert_gone(trainers)
        running_service.start_worker()
        job = running_service.finish(job_id)
        assert (job["status"], job["attempt"]) == ("succeeded", 2), running_service.logs()
        assert running_service.last_bits(job_id) == running_service.last_bits(undisturbed)
        assert_each_step_once(running_service, job_id, steps)


def test_a_paused_job_leaves_its_worker_and_goes_on_to_the_same_bits(
    running_service: Service, digits_id: str, undisturbed: str
) -> None:
    job_id = running_service.submit(spec(digits_id))
    at = running_service.reach_step(job_id, 20)
    running_service.http.post(f"/v1/jobs/{job_id}/pause")
    paused = running_service.wait(f"/v1/jobs/{job_id}", {"paused"}, 20)
    assert paused["progress"]["step"] >= at
    another = running_service.submit(spec(digits_id, training={"epochs": 1, "batch_size": 64}))
    assert running_service.finish(another)["status"] == "succeeded"
    assert running_service.job(job_id)["status"] == "paused"
    running_service.http.post(f"/v1/jobs/{job_id}/resume")
    job = running_service.finish(job_id)
    assert (job["status"], job["attempt"]) == ("succeeded", 2)
    assert running_service.last_weights(job_id) == running_service.last_weights(undisturbed)


def test_a_cancelled_job_is_tried_again_from_where_it_was(running_service: Service, digits_id: str) -> None:
    job_id = running_service.submit(spec(digits_id))
    running_service.reach_step(job_id, 60)
    running_service.http.post(f"/v1/jobs/{job_id}/cancel")
    assert running_service.finish(job_id)["status"] == "cancelled"
    running_service.http.post(f"/v1/jobs/{job_id}/retry")
    assert running_service.finish(job_id)["status"] == "succeeded"
    assert started_at(running_service, job_id) > 0


def test_a_worker_told_to_leave_loses_at_most_a_step(
    running_service: Service, digits_id: str, undisturbed: str
) -> None:
    job_id = running_service.submit(spec(digits_id))
    at = running_service.reach_step(job_id, 20)
    leaving = running_service.owner_of(job_id)
    leaving.send_signal(signal.SIGTERM)
    assert leaving.wait(20) == 0
    left = running_service.job(job_id)
    assert left["status"] == "queued"
    running_service.start_worker()
    job = running_service.finish(job_id)
    assert (job["status"], job["attempt"]) == ("succeeded", 2)
    assert "job.released" in running_service.events(job_id)
    resumed_at = started_at(running_service, job_id)
    assert resumed_at >= max(at, left["progress"]["step"] - 1)
    assert running_service.last_bits(job_id) == running_service.last_bits(undisturbed)


def test_a_running_job_is_cancelled_within_two_beats(running_service: Service, digits_id: str) -> None:
    job_id = running_service.submit(spec(digits_id, training={"epochs": 1000, "batch_size": 16}))
    running_service.reach_step(job_id, 5)
    asked = time.monotonic()
    for _ in range(2):
        assert running_service.http.post(f"/v1/jobs/{job_id}/cancel").status_code == 202
    assert running_service.finish(job_id)["status"] == "cancelled"
    assert time.monotonic() - asked < 2 * 0.5 + 1
    assert running_service.http.post(f"/v1/jobs/{job_id}/cancel").json()["status"] == "cancelled"


def test_a_run_that_diverges_says_so(running_service: Service, digits_id: str) -> None:
    wild = spec(digits_id, optimizer={"type": "sgd", "learning_rate": 1e6}, clipping=None)
    wild |= {"network": {"type": "mlp", "hidden": [64, 64]}, "checkpoints": {"every": "1 steps"}}
    job_id = running_service.submit(wild)
    job = running_service.finish(job_id)
    assert (job["status"], job["failure"]["code"], job["attempt"]) == ("failed", "diverged", 1)
    assert re.search(r"at step \d+", job["failure"]["message"])
    assert job["failure"]["advice"]
    curves = running_service.http.get(f"/v1/jobs/{job_id}/metrics").content
    assert json.loads(curves, parse_constant=pytest.fail)["columns"]["step"]
    saved = running_service.http.get(f"/v1/jobs/{job_id}/checkpoints/last").raise_for_status().json()
    weights = running_service.http.get(f"/v1/checkpoints/{saved['id']}/content").content
    assert all(numpy.isfinite(tensor).all() for tensor in load(weights).values())


def assert_gone(pids: list[int]) -> None:
    """No orphan a second after its supervisor."""
    deadline = time.monotonic() + 1
    while alive := [pid for pid in pids if is_alive(pid)]:
        assert time.monotonic() < deadline, [Path(f"/proc/{pid}/cmdline").read_text() for pid in alive]
        time.sleep(0.02)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def started_at(installation: Service, job_id: str) -> int:
    events = installation.http.get(f"/v1/jobs/{job_id}/events?limit=100").json()["data"]
    return int([event for event in events if event["type"] == "job.started"][-1]["data"]["start_step"])


def assert_each_step_once(installation: Service, job_id: str, steps: int) -> None:
    series = installation.http.get(f"/v1/jobs/{job_id}/metrics").json()
    assert series["columns"]["step"] == list(range(1, steps + 1))
    epochs = installation.http.get(f"/v1/jobs/{job_id}/metrics?interval=epoch").json()["columns"]
    assert all(speed > 0 for speed in epochs["train/samples_per_second"])
    assert len(epochs["validation/seconds"]) == len(epochs["epoch"])
