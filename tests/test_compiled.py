"""A job whose network is compiled, through the service: paused and gone on with by another trainer, it ends with the
same bits."""

from pathlib import Path
from typing import Any

import pytest

from tests.service import DIGITS, service
from tests.worker.training.test_compilation import needs_a_compiler


def compiled(dataset_id: str) -> dict[str, Any]:
    return {
        "dataset": {"id": dataset_id, "validation": {"fraction": 0.1}},
        "network": {"type": "mlp", "hidden": [16]},
        "optimizer": {"type": "sgd", "learning_rate": 0.05},
        "training": {"epochs": 50, "batch_size": 33, "compile": True},
    }


@pytest.mark.chaos
@needs_a_compiler
def test_a_compiled_job_ends_with_the_same_bits_after_a_pause(sqlite_url: str, redis_url: str, tmp_path: Path) -> None:
    with service(tmp_path, sqlite_url, redis_url, TRAINWRIGHT_LEASE_SECONDS="30") as installation:
        installation.start_worker()
        dataset_id = installation.upload(DIGITS)
        paused, whole = (installation.submit(compiled(dataset_id)) for _ in range(2))
        installation.reach_step(paused, 200)
        installation.http.post(f"/v1/jobs/{paused}/pause").raise_for_status()
        installation.wait(f"/v1/jobs/{paused}", {"paused"})
        installation.http.post(f"/v1/jobs/{paused}/resume").raise_for_status()
        job, other = installation.finish(paused), installation.finish(whole)
        assert (job["status"], job["attempt"], other["attempt"]) == ("succeeded", 2, 1), installation.logs()
        assert installation.last_bits(paused) == installation.last_bits(whole)
        assert "compiled_for_few_steps" in {warning["code"] for warning in job["warnings"]}
        assert "job.warned" in installation.events(paused), "that a processor is no faster with it"
