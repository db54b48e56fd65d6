from typing import Any

import pytest
import torch
from pydantic import TypeAdapter

from models.spec.loss import Loss
from worker.training.data import Part
from worker.training.loss import class_weights, measure

LOSS: TypeAdapter[Any] = TypeAdapter(Loss)
Z, Y = torch.tensor([[0.2], [3.0], [-1.0]]), torch.tensor([[0.0], [0.5], [2.0]])
D = (Z - Y).abs()
FAMILY = [
    ({"type": "mse"}, D.square().mean()),
    ({"type": "mae"}, D.mean()),
    ({"type": "huber", "delta": 0.5}, torch.where(D <= 0.5, D.square() / 2, 0.5 * (D - 0.25)).mean()),
]


@pytest.mark.parametrize(
    ("words", "expected"), FAMILY, ids=lambda value: value["type"] if isinstance(value, dict) else ""
)
def test_losses_of_numbers_follow_their_formulas(words: dict[str, Any], expected: torch.Tensor) -> None:
    torch.testing.assert_close(measure(LOSS.validate_python(words), Z, Y), expected)


def test_cross_entropy_is_minus_the_logarithm_of_the_right_classs_share() -> None:
    logits, classes = torch.tensor([[1.0, 2.0, 0.5], [0.0, 0.0, 3.0]]), torch.tensor([1, 0])
    expected = -logits.softmax(1)[torch.arange(2), classes].log()
    loss = LOSS.validate_python({"type": "cross_entropy"})
    torch.testing.assert_close(measure(loss, logits, classes), expected.mean())
    weights = torch.tensor([3.0, 1.0, 1.0])
    torch.testing.assert_close(measure(loss, logits, classes, weights), (expected * torch.tensor([1.0, 3.0])).sum() / 4)


def test_binary_cross_entropy_takes_one_logit() -> None:
    sigma = torch.sigmoid(Z[:, 0])
    expected = -torch.stack([(1 - sigma[0]).log(), sigma[1].log(), sigma[2].log()]).mean()
    loss = LOSS.validate_python({"type": "binary_cross_entropy"})
    torch.testing.assert_close(measure(loss, Z, torch.tensor([0, 1, 1])), expected)


def test_balanced_weights_are_inverse_to_the_counts_of_the_training_part() -> None:
    loss = LOSS.validate_python({"type": "cross_entropy", "class_weights": "balanced"})
    part = Part(torch.zeros(5, 1), torch.tensor([0, 0, 0, 1, 1]), torch.tensor([0, 1, 2, 3]))
    torch.testing.assert_close(class_weights(loss, part, 2), torch.tensor([4 / 6, 4 / 2]))
