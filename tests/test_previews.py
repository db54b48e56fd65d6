"""Previews of the real service: made by a worker beside whatever its slots train, on the job's own data."""

import io
import time
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.service import DIGITS, Service

Json = dict[str, Any]


@pytest.fixture
def spec(digits_id: str) -> Json:
    return {
        "dataset": {"id": digits_id, "validation": {"split": "test"}},
        "network": {"type": "mlp", "hidden": [32, 16]},
        "augmentation": [{"type": "affine", "rotation": 20, "shift": [0.1, 0.1]}],
        "schedule": {"type": "cosine", "warmup": {"duration": "1 epochs"}},
        "training": {"epochs": 4, "batch_size": 64},
    }


def shown(installation: Service, kind: str, spec: Json) -> Json:
    answer = installation.http.post(f"/v1/previews/{kind}", params={"wait": 30}, json=spec)
    assert answer.status_code == 200, f"{answer.text}\n{installation.logs()}"
    body: Json = answer.json()
    assert body["status"] == "ready", body
    return body


def test_a_busy_worker_shows_the_rate_of_each_step_that_the_run_then_has(running_service: Service, spec: Json) -> None:
    long = running_service.submit({**spec, "training": {"epochs": 100_000, "batch_size": 64}})
    running_service.reach_step(long, 1)
    curve = shown(running_service, "schedule", spec)["result"]
    running_service.http.post(f"/v1/jobs/{long}/cancel").raise_for_status()
    job_id = running_service.submit(spec)
    assert running_service.finish(job_id)["status"] == "succeeded"
    metrics = running_service.http.get(f"/v1/jobs/{job_id}/metrics", params={"keys": "step,learning_rate"}).json()
    assert curve["steps"] == metrics["columns"]["step"]
    assert curve["learning_rate"] == metrics["columns"]["learning_rate"]


def test_a_picture_shows_examples_of_the_data_and_is_the_same_again(running_service: Service, spec: Json) -> None:
    preview = shown(running_service, "augmentation", spec)
    assert shown(running_service, "augmentation", {**spec, "name": "another"}) == preview, "the name changes nothing"
    picture = preview["result"]["picture"]
    answer = running_service.http.get(preview["urls"]["picture"])
    assert answer.headers["content-type"] == "image/png"
    pixels = np.asarray(Image.open(io.BytesIO(answer.content)).convert("L"))
    first = pixels[: picture["cell_height"] : 12, : picture["cell_width"] : 12]
    with np.load(DIGITS) as digits:
        stored = digits["train_images"][picture["cells"][0]["example"]]
    np.testing.assert_array_equal(first, stored)
    tag = {"If-None-Match": answer.headers["etag"]}
    assert running_service.http.get(preview["urls"]["picture"], headers=tag).status_code == 304


def test_a_start_is_judged(running_service: Service, spec: Json) -> None:
    healthy = shown(running_service, "initialization", spec)["result"]
    assert (healthy["verdict"], len(healthy["layers"]), healthy["examples"]) == ("healthy", 3, 64)
    narrow = {**spec, "initialization": {"type": "normal", "std": 1e-4}}
    vanishing = shown(running_service, "initialization", narrow)["result"]
    assert (vanishing["verdict"], "kaiming_normal" in vanishing["advice"]) == ("vanishing", True)


def test_a_preview_is_there_while_one_still_looks(running_service: Service, spec: Json) -> None:
    """On a worker that has made one of its kind before, as the data are there and the processes warm."""
    for kind, seconds in (("schedule", 0.5), ("augmentation", 2.0), ("initialization", 2.0)):
        shown(running_service, kind, {**spec, "seed": 1})
        begun = time.monotonic()
        shown(running_service, kind, {**spec, "seed": 2, "training": {"epochs": 3, "batch_size": 32}})
        assert time.monotonic() - begun < 4 * seconds, f"{kind}: {time.monotonic() - begun:.2f} s"
