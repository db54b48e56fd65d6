"""Mixed batches in closed form: what is mixed into the inputs is mixed into the targets."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from models.spec.loss import BinaryCrossEntropy, CrossEntropy
from models.spec.task import Task
from tests.worker.training.augmentation.words import generator, operation
from tests.worker.training.little import bars, last_of, pack_images, run
from worker.training import EpochDone
from worker.training.augmentation import mix, planned
from worker.training.loss import measure, share
from worker.training.metrics import task_sums

FAMILY: list[dict[str, Any]] = [{"type": "mixup", "alpha": 1.0}, {"type": "cutmix"}]
TASK = Task("multiclass", ("a", "b", "c", "d"), 4, (1, 10, 8), 4000, 0)


def mixed(words: dict[str, Any], step: int = 0, task: Task = TASK) -> tuple[Tensor, Tensor]:
    """Images that are filled with their own class."""
    targets = torch.arange(4000) % 4
    inputs = targets.float().view(-1, 1, 1, 1).expand(4000, 1, 10, 8)
    return mix(inputs, targets, [planned(operation(words), 10, 100)], step, generator(), task)


@pytest.mark.parametrize("words", FAMILY, ids=lambda words: words["type"])
def test_targets_are_mixed_as_the_inputs_are(words: dict[str, Any]) -> None:
    inputs, targets = mixed(words)
    torch.testing.assert_close(inputs.mean((1, 2, 3)), targets @ torch.arange(4.0))
    torch.testing.assert_close(targets.sum(1), torch.ones(4000))


@pytest.mark.parametrize("words", FAMILY, ids=lambda words: words["type"])
def test_p_is_the_share_that_is_mixed_and_from_and_until_hold(words: dict[str, Any]) -> None:
    targets = mixed({**words, "p": 0.4})[1]
    assert (targets.amax(1) < 1).float().mean().item() == pytest.approx(0.4 * 3 / 4, abs=0.06)
    assert mixed({**words, "from": "5 steps"}, step=4)[1].dtype == torch.int64


@pytest.mark.parametrize("alpha", [0.2, 1.0, 8.0])
def test_the_share_is_from_the_beta_distribution(alpha: float) -> None:
    """Of those that meet another class: mean ½, variance 1 / (4 · (2 · alpha + 1))."""
    targets = mixed({"type": "mixup", "alpha": alpha})[1]
    kept = targets[torch.arange(4000), torch.arange(4000) % 4]
    kept = kept[(targets > 0).sum(1) == 2]
    assert kept.mean().item() == pytest.approx(0.5, abs=0.03)
    if alpha >= 1.0:
        assert kept.var().item() == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.1)


def test_a_cut_is_one_box_and_its_share_is_counted_after_clipping() -> None:
    inputs, targets = mixed({"type": "cutmix"})
    own = torch.arange(4000) % 4
    for image, target, label in zip(inputs[:300, 0].numpy(), targets[:300].numpy(), own[:300].tolist(), strict=True):
        rows, columns = np.nonzero(image != label)
        if len(rows):
            assert len(rows) == (np.ptp(rows) + 1) * (np.ptp(columns) + 1)
            assert target[label] == pytest.approx(1 - len(rows) / 80, abs=1e-6)


def test_soft_cross_entropy_is_the_mixture_of_the_hard_ones() -> None:
    logits, one, other = torch.randn(6, 4, generator=generator()), torch.arange(6) % 4, torch.tensor([3, 0, 0, 1, 1, 2])
    kept = torch.linspace(0, 1, 6)
    soft = torch.eye(4)[one] * kept[:, None] + torch.eye(4)[other] * (1 - kept[:, None])
    weights, surprise = torch.tensor([1.0, 2.0, 3.0, 0.5]), -logits.log_softmax(1)
    places = torch.arange(6)
    summed = kept * weights[one] * surprise[places, one] + (1 - kept) * weights[other] * surprise[places, other]
    counted = (kept * weights[one] + (1 - kept) * weights[other]).sum()
    torch.testing.assert_close(measure(CrossEntropy(), logits, soft, weights), summed.sum() / counted)
    torch.testing.assert_close(share(CrossEntropy(), soft, weights), counted)
    hard = torch.nn.functional.cross_entropy(logits, one, weights)
    torch.testing.assert_close(measure(CrossEntropy(), logits, torch.eye(4)[one], weights), hard)


def test_accuracy_is_against_the_class_with_the_larger_part() -> None:
    soft = torch.tensor([[0.6, 0.4, 0, 0], [0.1, 0.2, 0.7, 0]])
    assert task_sums(TASK, None, torch.tensor([[9.0, 0, 0, 0], [0, 9.0, 0, 0]]), soft)[0] == 1
    binary = Task("binary", ("no", "yes"), 1, (1,), 2, 0)
    assert task_sums(binary, None, torch.tensor([[-1.0], [1.0]]), torch.tensor([0.3, 0.4]))[0] == 1
    assert measure(BinaryCrossEntropy(), torch.zeros(2, 1), torch.tensor([0.3, 0.4])).item() == pytest.approx(np.log(2))


@pytest.mark.parametrize("words", FAMILY, ids=lambda words: words["type"])
def test_a_run_trains_with_it_and_other_weights_come_out(words: dict[str, Any], tmp_path: Path) -> None:
    packed = pack_images(tmp_path, train=bars(60))
    events, plain = run(packed, {"augmentation": [words]}), run(packed, {})
    assert any(isinstance(event, EpochDone) and 0 <= event.metrics["train/accuracy"] <= 1 for event in events)
    one, other = last_of(events).weights, last_of(plain).weights
    assert not all(torch.equal(one[name], other[name]) for name in one)
