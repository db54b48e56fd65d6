"""What makes a run faster and is not exact: the accuracy that it costs, on handwritten digits of 8 × 8 pixels."""

from pathlib import Path
from statistics import fmean
from typing import Any

import pytest

from tests.service import DIGITS
from tests.worker.training.little import last_of, run
from worker.ingest import ingest

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


def accuracy(packed: Path, training: dict[str, Any]) -> float:
    """On the test set after eight epochs, the mean of three seeds."""
    words = {**WORDS, "training": {"epochs": 8, "batch_size": 32, **training}}
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
