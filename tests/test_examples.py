"""Specs as their authors would send them, on the data they were written for, over HTTP."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.larger import larger_file
from tests.service import Service


def example(name: str, dataset_id: str) -> dict[str, Any]:
    spec: dict[str, Any] = json.loads(larger_file(f"examples/{name}").read_text())
    spec["dataset"]["id"] = dataset_id
    return spec


def begins(installation: Service, spec: dict[str, Any], steps: int) -> None:
    """It trains for some steps, and stops when it is told to."""
    job_id = installation.submit(spec)
    installation.reach_step(job_id, steps, seconds=120)
    installation.http.post(f"/v1/jobs/{job_id}/cancel")
    assert installation.finish(job_id)["status"] == "cancelled"


def test_the_fashion_spec_trains_as_written(running_service: Service) -> None:
    dataset_id = running_service.upload(larger_file("data/fashion-mnist.npz"))
    begins(running_service, example("fashion-mnist.json", dataset_id), steps=20)


def test_the_image_folder_spec_trains_as_written(running_service: Service) -> None:
    dataset_id = running_service.upload(larger_file("data/cifar10-small.zip"))
    begins(running_service, example("article-image-folder.json", dataset_id), steps=1)


def test_the_vector_spec_trains_as_written_and_learns(running_service: Service, tmp_path: Path) -> None:
    """Ten thousand words, of which the first hundred tell the classes apart."""
    draw = np.random.default_rng(0)
    targets = draw.integers(0, 2, 4000)
    inputs = (draw.random((4000, 10_000)) < 0.005).astype(np.uint8)
    inputs[:, :100] |= (draw.random((4000, 100)) < 0.1 * targets[:, None]).astype(np.uint8)
    np.savez_compressed(tmp_path / "words.npz", train_inputs=inputs, train_targets=targets)
    dataset_id = running_service.upload(tmp_path / "words.npz")
    job = running_service.finish(running_service.submit(example("article-vectors.json", dataset_id)))
    assert job["status"] == "succeeded", job["failure"]
    assert job["summary"]["best"]["validation/accuracy"] > 0.9


@pytest.mark.parametrize(
    ("file", "target", "class_mode", "metric", "at_least"),
    [
        ("pima-indians-diabetes.csv", "outcome", "binary", "validation/accuracy", 0.7),
        ("winequality-red.csv", "quality", "regression", "validation/r2", 0.1),
        ("winequality-red.csv", "quality", "categorical", "validation/accuracy", 0.5),
    ],
)
def test_a_table_trains_as_classes_and_as_numbers(
    running_service: Service, file: str, target: str, class_mode: str, metric: str, at_least: float
) -> None:
    dataset_id = running_service.upload(larger_file(f"data/{file}"))
    spec = {
        "dataset": {"id": dataset_id, "target": target, "class_mode": class_mode, "validation": {"fraction": 0.2}},
        "network": {"type": "mlp", "hidden": [32]},
        "optimizer": {"type": "adam", "learning_rate": 0.01},
        "training": {"epochs": 20, "batch_size": 32},
        "checkpoints": {"keep_best": {"metric": metric}},
    }
    job = running_service.finish(running_service.submit(spec))
    assert job["status"] == "succeeded", job["failure"]
    assert job["summary"]["best"][metric] > at_least
