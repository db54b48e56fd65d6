"""The script of a job, run as a script: it ends with the weights of the engine, to the bit."""

import contextlib
import hashlib
import io
import json
import math
import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from api.script import CannotWrite, write_script
from models.spec.manifest import CategoricalColumn, NumericColumn
from tests.worker.training.little import bars, last_of, load, pack_images, pack_table, pack_vectors
from worker.training import EpochDone, train
from worker.training.data import read_manifest

CNN = {"type": "cnn", "widths": [4, 6], "head": [8], "norm": "batch", "pooling": "each", "padding": "same"}
SEQUENTIAL = {
    "type": "sequential",
    "layers": [
        {"type": "conv", "filters": 4, "stride": 2, "activation": "gelu", "regularization": [{"type": "l1"}]},
        {"type": "batch_norm"},
        {"type": "dropout", "rate": 0.25},
        {"type": "average_pooling"},
        {"type": "group_norm", "groups": 2},
        {"type": "flatten"},
        {"type": "dense", "units": 8, "activation": "tanh"},
        {"type": "layer_norm"},
        {"type": "dense", "units": 4},
    ],
}
RUNS: dict[str, dict[str, Any]] = {
    "as it comes": {},
    "a cnn, penalized, dropped, clipped, cooled": {
        "network": CNN,
        "regularization": [
            {"type": "l2", "weight": 0.001},
            {"type": "l1", "weight": 0.0001},
            {"type": "dropout", "rate": 0.3},
            {"type": "label_smoothing", "epsilon": 0.1},
        ],
        "optimizer": {"type": "sgd", "learning_rate": 0.05, "momentum": 0.9, "nesterov": True},
        "schedule": {"type": "cosine", "warmup": {"duration": "3 steps"}},
        "clipping": {"type": "global_norm", "max_norm": 0.5},
    },
    "a sequential, decayed": {
        "network": SEQUENTIAL,
        "initialization": {"type": "xavier_uniform"},
        "regularization": [{"type": "weight_decay", "weight": 0.1}],
        "optimizer": {"type": "adamw"},
        "schedule": {"type": "step", "step_size": 1, "gamma": 0.5, "interval": "epoch"},
        "clipping": {"type": "value", "clip_value": 0.01},
    },
    "norms of layers, whole steps": {
        "network": {"type": "mlp", "hidden": [8, 8], "norm": "layer", "activation": "silu"},
        "initialization": {"type": "orthogonal"},
        "optimizer": {"type": "nadam"},
        "schedule": {"type": "linear", "end_factor": 0.1},
        "training": {"steps": 5, "batch_size": 16},
        "clipping": {"type": "norm", "max_norm": 0.1},
    },
    "single pixels": {
        "network": {
            "type": "sequential",
            "layers": [
                {"type": "conv", "filters": 3},
                {"type": "conv", "filters": 8, "kernel": 1, "stride": 2, "activation": "relu"},
                {"type": "flatten"},
                {"type": "dense", "units": 4},
            ],
        }
    },
    "starts": {"initialization": {"type": "lecun_normal"}, "optimizer": {"type": "radam"}},
    "without validation": {"dataset": {"id": "little"}, "optimizer": {"type": "adagrad"}},
    "averages of squares": {"optimizer": {"type": "rmsprop", "momentum": 0.5, "centered": True}},
}


@pytest.mark.parametrize("words", RUNS.values(), ids=list(RUNS))
def test_a_script_ends_with_the_bits_of_the_job(tmp_path: Path, words: dict[str, Any]) -> None:
    (tmp_path / "data").mkdir()
    pack_images(tmp_path / "data", train=bars(70))
    same_as_the_engine(tmp_path, words)


def test_numbers_are_learned_from_as_the_job_did(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    (tmp_path / "data").mkdir()
    inputs = random.normal(3.0, 2.0, (600, 5)).astype(np.float32)
    targets = inputs[:, :2] * 2 + 1
    pack_vectors(tmp_path / "data", inputs, targets, None)
    same_as_the_engine(tmp_path, {"loss": {"type": "huber"}, "optimizer": {"type": "adadelta"}})


def test_a_table_is_read_as_the_job_read_it(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    (tmp_path / "data").mkdir()
    rows = np.stack([random.normal(5, 3, 80), random.integers(0, 3, 80), random.integers(0, 2, 80)], 1)
    rows[::7, 0] = math.nan
    columns = (
        NumericColumn(name="n", missing=12, mean=5.0, std=3.0, minimum=-5.0, maximum=15.0, distinct=None),
        CategoricalColumn(name="c", missing=0, categories=("a", "b", "c")),
        CategoricalColumn(name="t", missing=0, categories=("no", "yes")),
    )
    pack_table(tmp_path / "data", columns, rows)
    same_as_the_engine(tmp_path, {"loss": {"type": "binary_cross_entropy"}, "optimizer": {"type": "adamax"}})


def same_as_the_engine(folder: Path, words: dict[str, Any]) -> None:
    spec, data = load(folder / "data", words)
    events = list(train(spec, data))
    script = write_script("A run", spec, read_manifest(folder / "data"), threads=torch.get_num_threads())
    (folder / "train.py").write_text(script)
    files = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in (folder / "data").glob("*.npy")}
    (folder / "data.json").write_text(json.dumps({"files": files}))
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        runpy.run_path(str(folder / "train.py"))
    told = [json.loads(line) for line in output.getvalue().splitlines()]
    for line, event in zip(told, (event for event in events if isinstance(event, EpochDone)), strict=True):
        for name, value in line.items():
            if name not in ("epoch", "step"):
                assert value == pytest.approx(event.metrics[name], rel=1e-9), name
    ended, theirs = last_of(events).weights, load_file(folder / "last.safetensors")
    assert ended.keys() == theirs.keys()
    assert {name for name in ended if not torch.equal(ended[name], theirs[name])} == set()


def test_what_cannot_be_written_is_named(tmp_path: Path) -> None:
    words = {
        "network": {"type": "resnet", "depth": 8, "width": 4},
        "augmentation": [{"type": "horizontal_flip"}],
        "regularization": [{"type": "max_norm"}],
        "optimizer": {"type": "lion"},
        "schedule": {"type": "one_cycle"},
        "training": {"epochs": 1, "compile": True},
    }
    packed = pack_images(tmp_path, train=bars(70))
    spec, _ = load(packed, words)
    with pytest.raises(CannotWrite) as refused:
        write_script("A run", spec, read_manifest(packed))
    pointers = {pointer for pointer, _ in refused.value.refusals}
    named = {"/network/type", "/augmentation", "/regularization/0", "/optimizer/type", "/schedule/type"}
    assert pointers == named | {"/training/compile"}
