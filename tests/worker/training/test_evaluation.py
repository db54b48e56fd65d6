"""The end of an epoch: everything that is measured is told, and the report belongs to the best weights."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from models.spec.metrics import measured_on
from tests.worker.training.little import bars, load, pack_images, pack_vectors, run
from worker.training import CheckpointReady, EpochDone, Event, Finished, read_checkpoint, save_checkpoint
from worker.training.network import build_network

LONG = {"training": {"epochs": 6, "batch_size": 8}, "optimizer": {"type": "sgd", "learning_rate": 0.3}}


def finished(events: list[Event]) -> Finished:
    assert isinstance(events[-1], Finished)
    return events[-1]


def vectors(folder: Path, kind: str) -> Path:
    random = np.random.default_rng(0)
    inputs = random.normal(size=(120, 6)).astype(np.float32)
    marks = (inputs[:, :3] > 0.3).astype(np.int64)
    match kind:
        case "two classes":
            return pack_vectors(folder, inputs, marks[:, 0], ("no", "yes"))
        case "seven classes":
            return pack_vectors(folder, inputs, marks @ np.array([1, 2, 3]), tuple("abcdefg"))
        case "labels":
            return pack_vectors(folder, inputs, marks.astype(np.uint8), tuple("abc"))
        case _:
            return pack_vectors(folder, inputs, inputs[:, :2] * 3, None)


KINDS: list[tuple[str, dict[str, Any]]] = [
    ("two classes", {}),
    ("two classes", {"loss": {"type": "binary_cross_entropy"}}),
    ("two classes", {"loss": {"type": "cross_entropy", "class_weights": "balanced"}}),
    ("two classes", {"dataset": {"id": "little"}}),
    ("seven classes", {"evaluation": {"top_k": 2}}),
    ("seven classes", {"loss": {"type": "hinge"}}),
    ("seven classes", {"loss": {"type": "focal"}}),
    ("labels", {}),
    ("numbers", {}),
    ("numbers", {"loss": {"type": "huber"}}),
]


@pytest.mark.parametrize(("kind", "words"), KINDS)
def test_an_epoch_tells_exactly_what_its_task_measures(tmp_path: Path, kind: str, words: dict[str, Any]) -> None:
    packed = vectors(tmp_path, kind)
    spec, data = load(packed, words)
    events = run(packed, words)
    [*_, epoch] = [event for event in events if isinstance(event, EpochDone)]
    of_steps = {"penalty", "gradient_norm", "clipped_share", "skipped_share", "weight_norm", "sparsity"}
    promised = measured_on(data.task, spec.loss, spec.evaluation.top_k)
    assert set(epoch.metrics) == {*promised, *(f"train/{name}" for name in of_steps)}
    report = finished(events).report
    assert (report is None) == (data.validation is None)
    assert json.loads(json.dumps(report, allow_nan=False)) == report


def test_the_report_is_of_the_best_weights(tmp_path: Path) -> None:
    packed = pack_images(tmp_path, train=bars(60))
    spec, data = load(packed, LONG)
    events = run(packed, LONG)
    best = [event for event in events if isinstance(event, CheckpointReady) and event.is_best][-1]
    report = finished(events).report
    assert report is not None
    assert data.validation is not None
    assert report["epoch"] == finished(events).best["epoch"] == best.epoch
    network = build_network(spec, data.task, "cpu")
    network.load_state_dict(dict(best.weights))
    pixels, targets = data.validation.gather(torch.arange(len(data.validation)))
    [mean], [std] = data.normalization.mean, data.normalization.std
    inputs = (pixels.float().permute(0, 3, 1, 2) / data.normalization.divisor - mean) / std
    guesses = network.eval()(inputs).argmax(1)
    matrix = [[int(((targets == a) & (guesses == b)).sum()) for b in range(4)] for a in range(4)]
    assert report["confusion"]["matrix"] == matrix
    assert data.validation.rows is not None
    wrong = dict(
        zip(data.validation.rows[guesses != targets].tolist(), guesses[guesses != targets].tolist(), strict=True)
    )
    assert {one["example"]: one["predicted"] for one in report["mistaken"]} == {
        example: data.task.classes[guess] for example, guess in wrong.items()
    }
    assert {one["split"] for one in report["mistaken"]} <= {"train"}


@pytest.mark.parametrize("stop", [4, 11, 20])
def test_a_run_that_was_interrupted_reports_the_same(tmp_path: Path, stop: int) -> None:
    packed = pack_images(tmp_path, train=bars(60))
    words = {**LONG, "checkpoints": {"every": f"{stop} steps"}}
    whole = run(packed, words)
    saved = next(event for event in whole if isinstance(event, CheckpointReady) and event.step == stop)
    files = tmp_path / "w.safetensors", tmp_path / "s.safetensors"
    save_checkpoint(saved, *files)
    resumed = run(packed, words, read_checkpoint(*files))
    assert finished(resumed).report == finished(whole).report
    assert finished(resumed).last == finished(whole).last


def test_the_size_of_the_evaluation_batch_changes_next_to_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed = pack_images(tmp_path, train=bars(200))
    large = finished(run(packed, LONG)).last
    monkeypatch.setattr("worker.training.evaluation.EVALUATION_BATCH", 8)
    assert finished(run(packed, LONG)).last == pytest.approx(dict(large), rel=1e-6)


def test_the_clock_is_not_among_the_metrics(tmp_path: Path) -> None:
    [epoch, *_] = [event for event in run(pack_images(tmp_path, train=bars(40)), {}) if isinstance(event, EpochDone)]
    assert epoch.samples_per_second > 0
    assert epoch.evaluation_seconds > 0
    assert not [name for name in epoch.metrics if "second" in name]


@pytest.mark.parametrize("metric", ["validation/f1_macro", "validation/roc_auc", "validation/calibration_error"])
def test_a_new_metric_is_watched_like_any_other(tmp_path: Path, metric: str) -> None:
    words = {
        **LONG,
        "checkpoints": {"keep_best": {"metric": metric}},
        "schedule": {"type": "plateau", "metric": metric, "patience": 1},
    }
    events = run(pack_images(tmp_path, train=bars(60)), words)
    values = [event.metrics[metric] for event in events if isinstance(event, EpochDone)]
    better = min if metric.endswith("error") else max
    assert finished(events).best[metric] == better(values)
    assert finished(events).best["epoch"] == values.index(better(values)) + 1
