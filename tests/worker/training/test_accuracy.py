"""What makes a run faster and is not exact: the accuracy that it costs, on handwritten digits of 8 × 8 pixels."""

from pathlib import Path
from statistics import fmean
from typing import Any

import pytest

from tests.service import DIGITS
from tests.worker.training.little import last_of, run
from worker.ingest import ingest
from worker.training import boxes

WORDS: dict[str, Any] = {
    "dataset": {"id": "digits", "validation": {"split": "test"}},
    "network": {"type": "cnn", "widths": [16, 32], "head": [32], "norm": "batch", "padding": "same"},
    "augmentation": [{"type": "affine", "rotation": 10, "shift": [0.1, 0.1]}],
    "optimizer": {"type": "sgd", "learning_rate": 0.02, "momentum": 0.9},
    "schedule": {"type": "cosine"},
}
SEEDS = (1, 2, 3)


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("digits") / "packed"
    ingest(DIGITS, folder, filename=DIGITS.name)
    return folder


@pytest.fixture(scope="module")
def plain(packed: Path) -> float:
    return accuracy(packed, {})


def accuracy(packed: Path, training: dict[str, Any], **others: Any) -> float:
    """On the test set after eight epochs, unless it says others, the mean of three seeds."""
    words = {**WORDS, **others, "training": {"epochs": 8, "batch_size": 32, **training}}
    return fmean(last_of(run(packed, {**words, "seed": seed})).metrics["validation/accuracy"] for seed in SEEDS)


@pytest.mark.parametrize(
    "training",
    [
        {"replicas": 2, "precision": "bfloat16"},
        pytest.param({"replicas": 2}, marks=pytest.mark.chaos),
        pytest.param({"precision": "bfloat16"}, marks=pytest.mark.chaos),
    ],
    ids=lambda training: " ".join(map(str, training.values())),
)
def test_nothing_is_lost(packed: Path, plain: float, training: dict[str, Any]) -> None:
    """A replica's batch norm sees its part of a batch only; sixteen bits round: at most one digit in a hundred more is
    mistaken for another.
    """
    assert plain > 0.98
    assert accuracy(packed, training) > plain - 0.01


def test_boxes_of_whole_levels_lose_nothing(packed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is done with large images, done with these: what a box becomes is rounded to one of 256 levels, and knows
    nothing of what lies beyond its edge.
    """
    crops = {"augmentation": [{"type": "random_resized_crop", "scale": [0.5, 1.0]}]}
    exact = accuracy(packed, {}, **crops)
    monkeypatch.setattr(boxes, "LARGE", 0)
    assert exact > 0.97
    assert accuracy(packed, {}, **crops) > exact - 0.01
