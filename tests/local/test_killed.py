"""P30: one machine whose plug is pulled, again and again."""

import random
import time
from pathlib import Path
from typing import Any

import pytest

from client import Client
from tests.local.machine import ROOT, one_machine

DIGITS = ROOT / "local" / "digits.npz"
SETTINGS = {"TRAINWRIGHT_CHECKPOINT_SECONDS": "0.2", "TRAINWRIGHT_FRUITLESS_ATTEMPTS": "100"}


def spec(dataset_id: str) -> dict[str, Any]:
    """Some seconds, with whatever has state."""
    return {
        "seed": 5,
        "dataset": {"id": dataset_id, "validation": {"fraction": 0.1}},
        "network": {"type": "mlp", "hidden": [32]},
        "regularization": [{"type": "dropout", "rate": 0.2}],
        "optimizer": {"type": "adamw", "learning_rate": 0.002},
        "schedule": {"type": "cosine"},
        "training": {"epochs": 12, "batch_size": 16, "averaging": {"type": "ema", "decay": 0.9}},
    }


@pytest.mark.parametrize("kills", [2, pytest.param(50, marks=[pytest.mark.chaos, pytest.mark.timeout(3600)])])
def test_p30_a_machine_killed_at_any_moment_goes_on_to_the_same_bits(tmp_path: Path, kills: int) -> None:
    seed = 11
    chance = random.Random(seed)
    with one_machine(tmp_path, **SETTINGS) as machine, machine.client() as client:
        dataset = client.datasets.wait(client.datasets.upload(DIGITS), 120).id
        undisturbed = client.jobs.create(spec(dataset)).id
        client.jobs.wait(undisturbed, 120)
        wanted = client.checkpoints.last(undisturbed).sha256
        submitted = [client.jobs.create(spec(dataset)).id]
    attempts = 0
    for _ in range(kills):
        with one_machine(tmp_path, **SETTINGS) as machine, machine.client() as client:
            if client.jobs.get(submitted[-1]).status == "succeeded":
                submitted.append(client.jobs.create(spec(dataset)).id)
            time.sleep(chance.uniform(0, 4))
            machine.kill_everything()
            assert machine.leaves_nothing(seconds=2)
    with one_machine(tmp_path, **SETTINGS) as machine, machine.client() as client:
        for job in submitted:
            ended = client.jobs.wait(job, 120)
            attempts += ended.attempt
            assert ended.status == "succeeded"
            assert client.checkpoints.last(job).sha256 == wanted
            assert_each_step_once(client, job)
    print(f"{kills} kills (seed {seed}), {len(submitted)} jobs, {attempts} attempts, none lost, every hash the same")  # noqa: T201


def assert_each_step_once(client: Client, job: str) -> None:
    steps = client.jobs.metrics(job, keys=["train/loss"]).columns["step"]
    assert steps == list(range(1, len(steps) + 1))
