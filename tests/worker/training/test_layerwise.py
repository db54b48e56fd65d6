"""What the last step of an epoch did to every layer."""

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.worker.training.little import bars, last_of, pack_images, run
from worker.training import EpochDone
from worker.training.layerwise import FIGURES, Layerwise

SGD = {"optimizer": {"type": "sgd", "learning_rate": 0.3}}


def epochs(packed: Path, words: dict[str, Any]) -> list[EpochDone]:
    return [event for event in run(packed, words) if isinstance(event, EpochDone)]


def test_a_step_is_measured_as_it_was_made() -> None:
    torch.manual_seed(0)
    first = torch.nn.Linear(3, 4)
    network = torch.nn.Sequential(first, torch.nn.LayerNorm(4), torch.nn.Linear(4, 2))
    layerwise, before = Layerwise(network), first.weight.detach().clone()
    network(torch.randn(5, 3)).square().sum().backward()
    with layerwise.measured(True), torch.no_grad():
        assert first.weight.grad is not None
        first.weight.sub_(first.weight.grad, alpha=0.1)
    found, gradient = layerwise.take(), first.weight.grad.norm().item()
    assert found["gradient_norm/0.weight"] == pytest.approx(gradient)
    assert found["weight_norm/0.weight"] == pytest.approx(first.weight.norm().item())
    assert found["update_ratio/0.weight"] == pytest.approx(0.1 * gradient / before.norm().item(), rel=1e-4)
    assert found["update_ratio/2.weight"] == 0.0
    assert {name.partition("/")[2] for name in found} == {"0.weight", "2.weight"}
    assert layerwise.take() == {}


def test_every_epoch_tells_of_every_kernel(tmp_path: Path) -> None:
    found = epochs(pack_images(tmp_path, train=bars(64)), SGD)
    assert [len(epoch.layers) for epoch in found] == [len(FIGURES) * 2] * 2
    assert all(value > 0 for epoch in found for value in epoch.layers.values())
    total = sum(value**2 for name, value in found[-1].layers.items() if name.startswith("weight_norm/")) ** 0.5
    assert total == pytest.approx(found[-1].metrics["train/weight_norm"], rel=0.05)  # which has the biases too


def test_measuring_changes_no_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packed = pack_images(tmp_path, train=bars(64))
    measured = last_of(run(packed, SGD)).weights
    monkeypatch.setattr(Layerwise, "measured", lambda *_: nullcontext())
    unmeasured = last_of(run(packed, SGD)).weights
    assert all(torch.equal(measured[name], unmeasured[name]) for name in measured)
