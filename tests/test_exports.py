"""A job of the real service as ONNX and as a program: asked for, made by the worker, run on the job's own data."""

import hashlib
import json
import time
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import onnxruntime
from safetensors import safe_open

from tests.service import DIGITS, Service


def test_a_checkpoint_is_downloaded_in_every_form(running_service: Service, digits_id: str, tmp_path: Path) -> None:
    spec: dict[str, Any] = {
        "dataset": {"id": digits_id, "validation": {"fraction": 0.2}},
        "network": {"type": "mlp", "hidden": []},
        "training": {"epochs": 3, "batch_size": 64},
    }
    job_id = running_service.submit(spec)
    assert running_service.finish(job_id)["status"] == "succeeded"
    last = running_service.http.get(f"/v1/jobs/{job_id}/checkpoints/last").json()
    path = last["urls"]["content"]
    (tmp_path / "weights").write_bytes(running_service.http.get(path).content)

    first = running_service.http.get(path, params={"format": "onnx"})
    assert (first.status_code, first.headers["retry-after"]) == (202, "1")
    assert first.json()["status"] in ("queued", "processing")
    onnx = made(running_service, path, "onnx")
    assert onnx.headers["etag"] == f'"{hashlib.sha256(onnx.content).hexdigest()}"'
    part = running_service.http.get(path, params={"format": "onnx"}, headers={"Range": "bytes=10-29"})
    assert (part.status_code, part.content) == (206, onnx.content[10:30])
    program = made(running_service, path, "torch_export")
    assert program.headers["content-disposition"].endswith('.pt2"')
    assert running_service.http.get(path, params={"format": "pickle"}).status_code == 422

    with safe_open(tmp_path / "weights", "pt") as file:
        card = json.loads(file.metadata()["normalization"])
        weights = {name: file.get_tensor(name) for name in ("output.weight", "output.bias")}
    with np.load(DIGITS) as digits:
        pixels = next(array for array in digits.values() if array.dtype == np.uint8 and array.ndim >= 3)
    images = pixels[:50].reshape(50, 1, *pixels.shape[1:3]).astype(np.float32)
    session = onnxruntime.InferenceSession(onnx.content, providers=["CPUExecutionProvider"])
    logits = session.run(None, {"inputs": images})[0]
    # a network without a hidden layer, by hand: normalized as the card says, multiplied, added
    scaled = (images.reshape(50, -1) / card["divisor"] - card["mean"][0]) / card["std"][0]
    by_hand = scaled @ weights["output.weight"].numpy().T + weights["output.bias"].numpy()
    np.testing.assert_allclose(logits, by_hand, rtol=0, atol=1e-4 * np.abs(by_hand).max())


def made(installation: Service, path: str, form: str) -> httpx.Response:
    deadline = time.monotonic() + 120
    while (answer := installation.http.get(path, params={"format": form})).status_code == 202:
        assert time.monotonic() < deadline, installation.logs()
        time.sleep(0.2)
    assert answer.status_code == 200, f"{answer.text}\n{installation.logs()}"
    return answer
