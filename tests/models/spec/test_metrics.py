"""What is measured, what may be watched, and what the documentation says of it."""

from pathlib import Path
from typing import Any, get_args

import pytest

from models.spec import Task, resolve
from models.spec.loss import CrossEntropy, Hinge, Loss
from models.spec.manifest import Manifest
from models.spec.metrics import MEASURES, MOST_SCORES, Measure, better, measured_on
from models.spec.technique import Metric
from tests.models.spec.manifests import WINE, images, vectors
from tests.models.spec.specs import HELD_BACK, conflicts, errors_of, raw, spec

PAGE = Path(__file__).parents[3] / "docs/reference/metrics.md"
CLASSES = Task("multiclass", ("a", "b", "c", "d", "e", "f"), 6, (1,), 100, 20)


def row(measure: Measure) -> str:
    parts = "both" if measure.in_training else "validation"
    return (
        f"| `{measure.name}` | {', '.join(measure.kinds)} | {parts} | {measure.range} | {measure.better} "
        f"| {measure.formula} |"
    )


def test_every_measure_has_a_name_that_a_spec_knows_and_no_name_is_empty() -> None:
    names = {f"validation/{measure.name}" for measure in MEASURES}
    names |= {f"train/{measure.name}" for measure in MEASURES if measure.in_training}
    assert names == set(get_args(Metric))


def test_every_measure_is_documented_in_its_own_words() -> None:
    rows = [line for line in PAGE.read_text().splitlines() if " | min | " in line or " | max | " in line]
    assert rows == [row(measure) for measure in MEASURES]


@pytest.mark.parametrize(
    ("metric", "way"),
    [
        ("validation/loss", "min"),
        ("validation/calibration_error", "min"),
        ("validation/rmse", "min"),
        ("train/mae", "min"),
        ("validation/f1_macro", "max"),
        ("validation/roc_auc", "max"),
        ("train/r2", "max"),
    ],
)
def test_which_way_is_better(metric: Metric, way: str) -> None:
    assert better(metric) == way


def test_a_validation_metric_needs_a_validation_part() -> None:
    nothing_held_back = Task("binary", ("no", "yes"), 1, (1,), 100, 0)
    assert measured_on(nothing_held_back, CrossEntropy(), None) == ("train/loss", "train/accuracy")


@pytest.mark.parametrize(
    ("task", "loss", "missing"),
    [
        (CLASSES, Hinge(), "validation/calibration_error"),
        (CLASSES, CrossEntropy(), "validation/f1"),
        (Task("binary", ("no", "yes"), 1, (1,), 1, MOST_SCORES + 1), CrossEntropy(), "validation/roc_auc"),
        (Task("multi_label", ("a", "b"), 2, (1,), 1, 9), CrossEntropy(), "validation/f1_weighted"),
    ],
    ids=["hinge", "many classes", "too many to rank", "labels"],
)
def test_what_makes_no_sense_is_not_measured(task: Task, loss: Loss, missing: Metric) -> None:
    assert missing not in measured_on(task, loss, 5)
    assert "validation/f1_macro" in measured_on(task, loss, 5)


WATCHERS: list[tuple[str, dict[str, Any]]] = [
    ("/checkpoints/keep_best/metric", {"checkpoints": {"keep_best": {"metric": "validation/f1_macro"}}}),
    ("/schedule/metric", {"schedule": {"type": "plateau", "metric": "validation/f1_macro"}}),
    (
        "/training/early_stopping/metric",
        {"training": {"epochs": 2, "early_stopping": {"metric": "validation/f1_macro"}}},
    ),
]


@pytest.mark.parametrize(("pointer", "families"), WATCHERS, ids=[pointer for pointer, _ in WATCHERS])
def test_whatever_watches_may_watch_what_the_task_measures(pointer: str, families: dict[str, Any]) -> None:
    assert conflicts(images(), dataset=HELD_BACK, **families) == {}
    refused = conflicts(WINE, dataset=HELD_BACK, **families)[pointer]
    assert refused.code == "metric_does_not_fit"
    assert refused.allowed == (
        "train/loss",
        "train/mae",
        "train/rmse",
        "train/r2",
        "validation/loss",
        "validation/mae",
        "validation/rmse",
        "validation/r2",
    )


@pytest.mark.parametrize(
    ("sent", "meant"),
    [("validation/f1-macro", "validation/f1_macro"), ("validation/auc", "validation/roc_auc")],
)
def test_an_unknown_metric_is_refused_with_the_nearest_one(sent: str, meant: str) -> None:
    [error] = errors_of(raw(dataset=HELD_BACK, checkpoints={"keep_best": {"metric": sent}}))
    assert (error.pointer, error.suggestion) == ("/checkpoints/keep_best/metric", meant)
    assert error.allowed is not None
    assert set(error.allowed) == set(get_args(Metric))


REFUSALS: list[tuple[Manifest, str, str]] = [
    (images(), "validation/f1", "10 classes"),
    (images(), "validation/f1_micro", "`accuracy` is the same"),
    (images(), "validation/rmse", "the targets are classes"),
    (vectors(2), "validation/top_k_accuracy", "2 classes"),
    (WINE, "validation/roc_auc", "numbers"),
]


@pytest.mark.parametrize(("manifest", "metric", "reason"), REFUSALS, ids=[metric for _, metric, _ in REFUSALS])
def test_a_refusal_says_why(manifest: Manifest, metric: str, reason: str) -> None:
    [error] = conflicts(manifest, dataset=HELD_BACK, checkpoints={"keep_best": {"metric": metric}}).values()
    assert reason in error.detail


def test_calibration_is_refused_under_a_loss_without_probabilities() -> None:
    watched = {"keep_best": {"metric": "validation/calibration_error"}}
    [error] = conflicts(images(), dataset=HELD_BACK, loss={"type": "hinge"}, checkpoints=watched).values()
    assert "no probabilities" in error.detail


@pytest.mark.parametrize(("manifest", "code"), [(images(), "top_k_too_large"), (WINE, "metric_does_not_fit")])
def test_a_top_k_that_says_nothing_is_refused(manifest: Manifest, code: str) -> None:
    assert conflicts(manifest, evaluation={"top_k": 10})["/evaluation/top_k"].code == code


@pytest.mark.parametrize(("manifest", "top_k"), [(images(), 5), (vectors(5), None), (WINE, None)])
def test_a_resolved_spec_says_the_top_k(manifest: Manifest, top_k: int | None) -> None:
    assert resolve(spec(), manifest).evaluation.top_k == top_k
    assert resolve(spec(evaluation={"top_k": 3}), images()).evaluation.top_k == 3
