"""`python -m worker train`, as somebody without a service runs it."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.worker.training.little import SMALL_RUN, bars, pack_images


def command(folder: Path, words: dict[str, Any], *more: str) -> subprocess.CompletedProcess[str]:
    (folder / "job.json").write_text(json.dumps({**SMALL_RUN, **words}))
    line = [sys.executable, "-m", "worker", "train", str(folder / "job.json"), "--out", str(folder / "run")]
    return subprocess.run([*line, "--threads", "1", *more], capture_output=True, text=True, check=False)


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "run" / "metrics.jsonl").read_text().splitlines()]


def test_a_packed_folder_trains_and_leaves_curves_checkpoints_and_a_result(tmp_path: Path) -> None:
    (tmp_path / "packed").mkdir()
    packed = pack_images(tmp_path / "packed", train=bars(40))
    done = command(tmp_path, {}, "--data", str(packed))
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "run" / "result.json").read_text())["reason"] == "completed"
    assert {line["type"] for line in lines(tmp_path)} == {"started", "steps", "epoch", "applied"}
    assert (tmp_path / "run" / "best.safetensors").exists()


def test_an_upload_is_packed_first(tmp_path: Path) -> None:
    images, classes = bars(40)
    np.savez(tmp_path / "bars.npz", train_images=images[..., 0], train_labels=classes)
    done = command(tmp_path, {}, "--data", str(tmp_path / "bars.npz"))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run" / "packed" / "manifest.json").exists()


def test_a_run_goes_on_where_it_was_left(tmp_path: Path) -> None:
    (tmp_path / "packed").mkdir()
    packed = str(pack_images(tmp_path / "packed", train=bars(40)))
    assert command(tmp_path, {}, "--data", packed).returncode == 0
    weights = (tmp_path / "run" / "last.safetensors").read_bytes()
    assert command(tmp_path, {}, "--data", packed, "--resume").returncode == 0
    assert (tmp_path / "run" / "last.safetensors").read_bytes() == weights
    told = [step for line in lines(tmp_path) if line["type"] == "steps" for step in line["columns"]["step"]]
    assert told == list(range(1, len(told) + 1))


def test_a_run_starts_from_a_file_of_weights(tmp_path: Path) -> None:
    (tmp_path / "packed").mkdir()
    packed = str(pack_images(tmp_path / "packed", train=bars(40)))
    assert command(tmp_path, {}, "--data", packed).returncode == 0
    weights = tmp_path / "weights.safetensors"
    (tmp_path / "run" / "last.safetensors").rename(weights)
    words = {"warm_start": {"checkpoint": "before", "freeze": "body"}}
    done = command(tmp_path, words, "--data", packed, "--checkpoint", str(weights))
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "run" / "result.json").read_text())["warm_start"]
    assert (report["checkpoint"], report["loaded"]) == ("before", ["hidden.0", "output"])
    assert report["sha256"] == hashlib.sha256(weights.read_bytes()).hexdigest()
    assert json.loads((tmp_path / "run" / "spec.json").read_text())["warm_start"]["sha256"] == report["sha256"]


def test_a_start_and_its_file_go_together(tmp_path: Path) -> None:
    (tmp_path / "packed").mkdir()
    packed = str(pack_images(tmp_path / "packed", train=bars(40)))
    assert command(tmp_path, {}, "--data", packed).returncode == 0
    weights, state = (str(tmp_path / "run" / f"last{end}.safetensors") for end in ("", ".state"))
    start: dict[str, Any] = {"warm_start": {"checkpoint": "before"}}
    wider = {**start, "network": {"type": "mlp", "hidden": [17]}}
    for words, given, said in (
        (start, [], "--checkpoint"),
        ({}, ["--checkpoint", weights], "warm_start"),
        (start, ["--checkpoint", state], "no checkpoint"),
        (start, ["--checkpoint", str(tmp_path / "job.json")], "header"),
        (wider, ["--checkpoint", weights], "17 × 64 here and 16 × 64 in the checkpoint"),
    ):
        done = command(tmp_path, words, "--data", packed, *given)
        assert done.returncode == 1
        assert said in done.stderr
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"optimiser": {}}, "/optimiser"),
        ({"clipping": {"type": "by_hand"}}, "Unknown type (global_norm, norm, value, adaptive, percentile)"),
        ({"dataset": {"id": "x", "validation": {"split": "tset"}}}, "/validation/split"),
    ],
)
def test_a_wrong_spec_is_refused_with_its_place(tmp_path: Path, words: dict[str, Any], said: str) -> None:
    (tmp_path / "packed").mkdir()
    done = command(tmp_path, words, "--data", str(pack_images(tmp_path / "packed", train=bars(40))))
    assert done.returncode == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr
