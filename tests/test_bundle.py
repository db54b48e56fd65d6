"""A bundle of a job of the real service, unpacked and run without it: the same weights, to the bit."""

import hashlib
import io
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import torch
from safetensors.torch import load

from tests.service import Service


def test_a_bundle_does_the_job_again_without_the_service(
    running_service: Service, digits_id: str, tmp_path: Path
) -> None:
    spec = {
        "seed": 3,
        "dataset": {"id": digits_id, "validation": {"fraction": 0.1}},
        "network": {"type": "cnn", "widths": [8], "head": [16], "norm": "batch"},
        "regularization": [{"type": "l2", "weight": 1e-4}, {"type": "dropout", "rate": 0.3}],
        "optimizer": {"type": "adamw", "learning_rate": 0.002},
        "schedule": {"type": "cosine"},
        "clipping": {"type": "global_norm", "max_norm": 1.0},
        "training": {"epochs": 2, "batch_size": 64},
    }
    job_id = running_service.submit(spec)
    job = running_service.finish(job_id)
    assert job["status"] == "succeeded", job
    answer = running_service.http.get(job["urls"]["bundle"], params={"data": "true"}).raise_for_status()
    last = running_service.http.get(f"/v1/jobs/{job_id}/checkpoints/last").json()
    weights = running_service.http.get(last["urls"]["content"]).raise_for_status().content
    refused = running_service.submit({**spec, "augmentation": [{"type": "affine", "rotation": 10}]})
    running_service.finish(refused)
    path = f"/v1/jobs/{refused}/bundle"
    problem = running_service.http.get(path)
    assert (problem.status_code, problem.json()["errors"][0]["pointer"]) == (409, "/augmentation")
    without = zipfile.ZipFile(io.BytesIO(running_service.http.get(path, params={"script": "false"}).content))
    assert "train.py" not in without.namelist()

    folder = tmp_path / "bundle"
    with zipfile.ZipFile(io.BytesIO(answer.content)) as bundle:
        assert bundle.testzip() is None
        bundle.extractall(folder)
    assert json.loads((folder / "spec.json").read_text()) == spec
    assert f"torch=={torch.__version__.partition('+')[0]}\n" in (folder / "requirements.txt").read_text()
    data = json.loads((folder / "data.json").read_text())
    assert hashlib.sha256((folder / "data" / "manifest.json").read_bytes()).hexdigest() == data["content_sha256"]
    assert last["sha256"] in {one["sha256"] for one in json.loads((folder / "checkpoints.json").read_text())}

    command = [sys.executable, "-I", "train.py"]
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder)}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert told[-1]["validation/accuracy"] == job["summary"]["last"]["validation/accuracy"]
    ours, theirs = load((folder / "last.safetensors").read_bytes()), load(weights)
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
