"""An installation whose jobs are over in a second or two."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.service import DIGITS, Service, service


@pytest.fixture(params=["postgres", pytest.param("sqlite", marks=pytest.mark.chaos)])
def kept_in(request: pytest.FixtureRequest) -> str:
    """Where rows are kept: on many machines, and on one."""
    return str(request.param)


@pytest.fixture
def installation(request: pytest.FixtureRequest, kept_in: str, redis_url: str, tmp_path: Path) -> Iterator[Service]:
    """Without a worker yet. Whatever a test does to it, the invariants hold afterwards, and nothing of it is left."""
    url = request.getfixturevalue(f"{kept_in}_url")
    with service(tmp_path, url, redis_url, TRAINWRIGHT_CHECKPOINT_SECONDS="0.2") as made:
        yield made
        assert made.violations() == [], made.logs()


@pytest.fixture
def dataset_id(installation: Service) -> str:
    """The digits."""
    return installation.take_in(DIGITS)


def quick(dataset_id: str, *, epochs: int = 1, **changes: Any) -> dict[str, Any]:
    """A run with whatever has state: momentum, dropout, averages, a schedule."""
    return {
        "seed": 5,
        "dataset": {"id": dataset_id, "validation": {"fraction": 0.1}},
        "network": {"type": "mlp", "hidden": [32]},
        "regularization": [{"type": "dropout", "rate": 0.2}],
        "optimizer": {"type": "adamw", "learning_rate": 0.002},
        "schedule": {"type": "cosine"},
        "training": {"epochs": epochs, "batch_size": 16, "averaging": {"type": "ema", "decay": 0.9}},
        **changes,
    }
