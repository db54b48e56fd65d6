"""Memories of a metric; the plateau against PyTorch's ReduceLROnPlateau."""

from typing import Literal

import pytest
import torch

from models.spec.schedule import Plateau
from models.spec.training import EarlyStopping
from worker.training.watching import PlateauMemory, StoppingMemory, is_better

LOSSES = [3.0, 2.0, 2.1, 1.9999, 2.2, 2.3, 2.0, 2.0, 1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 0.5, 0.6, 0.7, 0.8, 0.9]


@pytest.mark.parametrize("mode", ["min", "max"])
@pytest.mark.parametrize(("patience", "cooldown"), [(0, 0), (2, 0), (1, 3)])
def test_a_plateau_drops_the_rate_when_pytorch_does(mode: Literal["min", "max"], patience: int, cooldown: int) -> None:
    rule = Plateau.model_validate({"mode": mode, "patience": patience, "cooldown": cooldown, "factor": 0.5})
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer, mode, factor=0.5, patience=patience, cooldown=cooldown, eps=0.0
    )
    memory = PlateauMemory()
    for loss in LOSSES:
        theirs.step(loss)
        memory = memory.after(loss, rule)
        assert memory.scale == pytest.approx(optimizer.param_groups[0]["lr"])


def test_early_stopping_counts_evaluations_without_a_real_gain() -> None:
    rule = EarlyStopping(mode="min", patience=2, min_delta=0.5)
    memory, waited = StoppingMemory(), []
    for loss in [3.0, 2.9, 2.4, 2.3, 2.2]:
        memory = memory.after(loss, rule)
        waited.append(memory.waited)
    assert waited == [0, 1, 0, 1, 2]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_what_is_not_finite_is_never_better(value: float) -> None:
    assert not is_better("min", value, None)
    assert not is_better("max", value, 1.0)
