"""Checkpoints in other forms, run by other people's runtime on the data they were trained on."""

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch

from tests.worker.training.little import bars, last_of, load, pack_images
from worker.export import TOLERANCE, NotExportable, export, network_of
from worker.training import read_weights, save_checkpoint, train

NETWORKS: dict[str, dict[str, Any]] = {
    "mlp": {"type": "mlp", "hidden": [8], "norm": "batch"},
    "cnn": {"type": "cnn", "widths": [4], "head": [8], "padding": "same", "pooling": "each"},
    "resnet": {"type": "resnet", "depth": 8, "width": 4},
    "vit": {"type": "vit", "width": 16, "depth": 1, "heads": 2, "patch": 4},
}


@pytest.fixture
def packed(tmp_path: Path) -> Path:
    return pack_images(tmp_path, train=bars(48))


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.filterwarnings("ignore")
def test_onnx_runtime_computes_what_the_network_does(packed: Path, name: str) -> None:
    spec, data = load(packed, {"network": NETWORKS[name], "training": {"steps": 2, "batch_size": 16}})
    save_checkpoint(last_of(list(train(spec, data))), packed / "weights", packed / "state")
    apart = export(packed / "weights", "onnx", packed / "network.onnx")
    assert apart <= TOLERANCE

    images = data.training.gather(torch.arange(20))[0].permute(0, 3, 1, 2).float().contiguous()
    session = onnxruntime.InferenceSession(str(packed / "network.onnx"), providers=["CPUExecutionProvider"])
    theirs = session.run(None, {"inputs": images.numpy()})[0]
    network, _ = network_of(read_weights(packed / "weights"))
    with torch.no_grad():
        ours = network(images).numpy()
    np.testing.assert_allclose(theirs, ours, rtol=0, atol=TOLERANCE * np.abs(ours).max())


@pytest.mark.filterwarnings("ignore")
def test_an_exported_program_computes_what_the_network_does(packed: Path) -> None:
    spec, data = load(packed, {"network": NETWORKS["cnn"]})
    save_checkpoint(last_of(list(train(spec, data))), packed / "weights", packed / "state")
    assert export(packed / "weights", "torch_export", packed / "network.pt2") <= TOLERANCE
    program = torch.export.load(packed / "network.pt2")  # our own file: it may hold a pickle
    images = torch.rand(7, 1, 8, 8) * 255
    network, _ = network_of(read_weights(packed / "weights"))
    with torch.no_grad():
        torch.testing.assert_close(program.module()(images), network(images))


def test_a_file_that_computes_something_else_is_refused(packed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec, data = load(packed, {"network": NETWORKS["mlp"]})
    save_checkpoint(last_of(list(train(spec, data))), packed / "weights", packed / "state")
    monkeypatch.setattr("worker.export._run_onnx", lambda file, batch: torch.zeros(len(batch), 4))
    with pytest.raises(NotExportable, match="away from ours"):
        export(packed / "weights", "onnx", packed / "network.onnx")
