from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.worker.training.little import bars, pack_images, run, spec_for
from worker.training import StepsDone
from worker.training.data import read_manifest
from worker.training.previews import preview_schedule
from worker.training.previews.schedule import POINTS

SCHEDULES: list[dict[str, Any]] = [
    {"type": "cosine", "warmup": {"duration": 7}},
    {"type": "step", "step_size": "1 epochs", "gamma": 0.5},
    {"type": "cosine_warm_restarts", "t_0": 5},
]


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pack_images(tmp_path_factory.mktemp("bars"), train=bars(64))


def shown(packed: Path, **words: Any) -> dict[str, Any]:
    return preview_schedule(spec_for(packed, words), read_manifest(packed))


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_the_run_then_has_the_rates_that_were_shown(packed: Path, schedule: dict[str, Any]) -> None:
    words: dict[str, Any] = {"schedule": schedule, "training": {"epochs": 4, "batch_size": 8}}
    words["training"]["averaging"] = {"type": "swa", "start": "75%", "learning_rate": 0.02}
    rates = [rate for e in run(packed, words) if isinstance(e, StepsDone) for rate in e.columns["learning_rate"]]
    curve = shown(packed, **words)
    assert curve["learning_rate"] == rates
    assert curve["steps"] == list(range(1, len(rates) + 1))


@pytest.mark.parametrize("steps", [20_000, 3_000_000])
def test_a_long_curve_keeps_its_turns(packed: Path, steps: int) -> None:
    """A tenth at 30 % and at 60 % of the run, as sharp as it is."""
    curve = shown(
        packed, schedule={"type": "multistep", "milestones": ["30%", "60%"]}, training={"steps": steps, "batch_size": 8}
    )
    assert len(curve["steps"]) <= POINTS
    falls = np.flatnonzero(np.diff(curve["learning_rate"]) < 0)
    assert len(falls) == 2
    for place, share in zip(falls, (0.3, 0.6), strict=True):
        before, after = curve["steps"][place], curve["steps"][place + 1]
        assert before / steps == pytest.approx(share, abs=1e-4)
        assert after - before <= steps // 40_000 + 1


def test_every_restart_of_a_long_run_is_there(packed: Path) -> None:
    curve = shown(
        packed,
        schedule={"type": "cosine_warm_restarts", "t_0": "5%"},
        training={"steps": 40_000, "batch_size": 8},
    )
    rates = np.array(curve["learning_rate"])
    assert ((rates[1:] - rates[:-1]) > 0.9 * rates.max()).sum() == 19


def test_what_only_the_run_knows_is_said(packed: Path) -> None:
    (note,) = shown(packed, schedule={"type": "plateau", "patience": 3})["notes"]
    assert "validation/loss" in note
    assert "3 epochs" in note
    assert shown(packed)["notes"] == []
