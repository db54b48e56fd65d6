import hashlib
import json
import math
import platform
from importlib.metadata import version
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load

from tests.worker.training.little import bars, last_of, pack_images, run
from worker.training import hand_over, save_checkpoint
from worker.training.checkpoint import read_checkpoint, read_tensors, save_atomically, state_metadata, write_tensors
from worker.training.snapshot import strict
from worker.training.state import State

TENSORS = {
    "b.weight": torch.arange(6.0).view(2, 3),
    "a.bias": torch.tensor([1, 2], dtype=torch.int64),
    "scalar": torch.tensor(3.5, dtype=torch.float64),
    "half": torch.ones(3, dtype=torch.bfloat16),
}


def test_the_safetensors_library_reads_what_we_write() -> None:
    file = BytesIO()
    write_tensors(file, TENSORS, {"format": "pt"})
    loaded = load(file.getvalue())
    assert loaded.keys() == TENSORS.keys()
    assert all(torch.equal(loaded[name], TENSORS[name]) for name in TENSORS)


def test_equal_content_gives_equal_bytes() -> None:
    one, two = BytesIO(), BytesIO()
    write_tensors(one, TENSORS, {"x": "1", "y": "2"})
    write_tensors(two, dict(reversed(TENSORS.items())), {"y": "2", "x": "1"})
    assert one.getvalue() == two.getvalue()


def test_a_channels_last_tensor_is_stored_in_its_logical_order() -> None:
    kernel = torch.rand(2, 3, 4, 5)
    file = BytesIO()
    write_tensors(file, {"kernel": kernel.to(memory_format=torch.channels_last)}, {})
    assert torch.equal(load(file.getvalue())["kernel"], kernel)


def test_a_checkpoint_comes_back_whole(tmp_path: Path) -> None:
    save_atomically(tmp_path / "weights", {"w": torch.ones(2)}, {"step": "3"})
    state = State({"m": torch.zeros(2)}, {"step": 3, "best": None})
    save_atomically(tmp_path / "state", state.tensors, state_metadata(state))
    resume = read_checkpoint(tmp_path / "weights", tmp_path / "state")
    assert torch.equal(resume.weights["w"], torch.ones(2))
    assert resume.state.progress == {"step": 3, "best": None}


def test_what_is_handed_over_is_the_same_file_with_its_hash(tmp_path: Path) -> None:
    (tmp_path / "packed").mkdir()
    saved = last_of(run(pack_images(tmp_path / "packed", train=bars(64)), {}))
    save_checkpoint(saved, tmp_path / "weights", tmp_path / "state")
    found = hand_over(saved, tmp_path / "handed", tmp_path / "handed.state")
    assert (tmp_path / "handed").read_bytes() == (tmp_path / "weights").read_bytes()
    assert (tmp_path / "handed.state").read_bytes() == (tmp_path / "state").read_bytes()
    names = ("weights", "state")
    assert found == tuple(hashlib.sha256((tmp_path / name).read_bytes()).hexdigest() for name in names)


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "weights"
    save_atomically(path, {"w": torch.ones(2)}, {})
    with pytest.raises(KeyError):
        save_atomically(path, {"w": torch.ones(2, dtype=torch.complex64)}, {})
    assert torch.equal(read_tensors(path)[0]["w"], torch.ones(2))
    assert list(tmp_path.iterdir()) == [path]


def test_the_file_of_the_weights_has_a_model_card(tmp_path: Path) -> None:
    packed = pack_images(tmp_path, train=bars(48))
    events = run(packed, {})
    ready = last_of(events)
    save_checkpoint(ready, tmp_path / "weights", tmp_path / "state")
    with safe_open(tmp_path / "weights", "pt") as file:
        card = file.metadata()
    spec = json.loads(card["spec"])
    assert (spec["network"]["hidden"], spec["optimizer"]["type"]) == ([16], "adam")
    assert card["data_sha256"] == hashlib.sha256((packed / "manifest.json").read_bytes()).hexdigest()
    assert json.loads(card["metrics"]) == ready.metrics
    assert json.loads(card["environment"]) == {
        "torch": torch.__version__,
        "numpy": np.__version__,
        "safetensors": version("safetensors"),
        "python": platform.python_version(),
        "machine": platform.machine(),
        "device": "cpu",
        "threads": torch.get_num_threads(),
    }
    assert json.loads(card["classes"]) == ["top", "bottom", "left", "right"]


def test_what_is_not_finite_is_null_on_the_card() -> None:
    assert strict({"train/loss": math.nan, "validation/r2": 1.0}) == {"train/loss": None, "validation/r2": 1.0}
