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
    ({"type": "poisson"}, (Z.exp() - Y * Z).mean()),
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


@pytest.mark.parametrize("outputs", [1, 2])
def test_focal_is_its_formula_with_one_logit_and_with_two(outputs: int) -> None:
    logits, classes = torch.tensor([[0.3], [-2.0], [1.5]]), torch.tensor([1, 1, 0])
    p = torch.where(classes == 1, logits[:, 0].sigmoid(), 1 - logits[:, 0].sigmoid())
    expected = (torch.tensor([0.25, 0.25, 0.75]) * -((1 - p) ** 1.5) * p.log()).mean()
    loss = LOSS.validate_python({"type": "focal", "gamma": 1.5, "alpha": (0.75, 0.25)})
    given = logits if outputs == 1 else torch.cat([1 - logits / 2, 1 + logits / 2], dim=1)
    torch.testing.assert_close(measure(loss, given, classes), expected)


def test_focal_without_focus_is_cross_entropy_even_where_it_is_sure() -> None:
    logits = torch.tensor([[200.0, 0.0, 1.0], [1.0, 2.0, 0.5]], requires_grad=True)
    focal = measure(LOSS.validate_python({"type": "focal", "gamma": 0.0}), logits, torch.tensor([0, 2]))
    torch.testing.assert_close(focal, torch.nn.functional.cross_entropy(logits, torch.tensor([0, 2])))
    [gradient] = torch.autograd.grad(
        measure(LOSS.validate_python({"type": "focal", "gamma": 0.5}), logits, torch.tensor([0, 2])), logits
    )
    assert gradient.isfinite().all()


def test_hinge_counts_every_class_within_the_margin() -> None:
    logits, loss = torch.tensor([[1.0, 2.5, 0.5], [0.0, 0.2, 3.0]]), LOSS.validate_python({"type": "hinge"})
    expected = torch.tensor(((1 - 0 + 0.2) + (1 - 0 + 3.0)) / 3 / 2)
    torch.testing.assert_close(measure(loss, logits, torch.tensor([1, 0])), expected)
    torch.testing.assert_close(measure(loss, Z, torch.tensor([1, 1, 0])), torch.tensor((0.8 + 0 + 0) / 3))


def test_binary_cross_entropy_takes_one_logit() -> None:
    sigma = torch.sigmoid(Z[:, 0])
    expected = -torch.stack([(1 - sigma[0]).log(), sigma[1].log(), sigma[2].log()]).mean()
    loss = LOSS.validate_python({"type": "binary_cross_entropy"})
    torch.testing.assert_close(measure(loss, Z, torch.tensor([0, 1, 1])), expected)


def test_balanced_weights_are_inverse_to_the_counts_of_the_training_part() -> None:
    loss = LOSS.validate_python({"type": "cross_entropy", "class_weights": "balanced"})
    part = Part(torch.zeros(5, 1), torch.tensor([0, 0, 0, 1, 1]), torch.tensor([0, 1, 2, 3]))
    torch.testing.assert_close(class_weights(loss, part, 2), torch.tensor([4 / 6, 4 / 2]))


def test_shares_of_classes_count_by_their_weights() -> None:
    logits, shares = torch.tensor([[1.0, 2.0, 0.5], [0.0, 0.0, 3.0]]), torch.tensor([[0.7, 0.3, 0.0], [0.1, 0.1, 0.8]])
    weights = torch.tensor([3.0, 1.0, 0.5])
    expected = -(weights * shares * logits.log_softmax(1)).sum() / (weights * shares).sum()
    loss = LOSS.validate_python({"type": "cross_entropy"})
    torch.testing.assert_close(measure(loss, logits, shares, weights), expected)


@pytest.mark.parametrize("targets", [torch.tensor([1, 2]), torch.eye(3)[1:]], ids=["classes", "shares"])
def test_a_batch_of_nothing_but_classes_that_do_not_count_moves_nothing(targets: torch.Tensor) -> None:
    logits = torch.tensor([[1.0, 2.0, 0.5], [0.0, 0.0, 3.0]], requires_grad=True)
    loss = measure(LOSS.validate_python({"type": "cross_entropy"}), logits, targets, torch.tensor([1.0, 0.0, 0.0]))
    [gradient] = torch.autograd.grad(loss, logits)
    assert loss.item() == gradient.abs().sum().item() == 0.0


def test_of_labels_the_loss_is_the_mean_over_examples_and_labels() -> None:
    logits, labels = torch.tensor([[0.3, -2.0], [1.5, 0.1]]), torch.tensor([[1.0, 0.0], [1.0, 1.0]])
    p = torch.where(labels == 1, logits.sigmoid(), 1 - logits.sigmoid())
    entropy = LOSS.validate_python({"type": "binary_cross_entropy"})
    torch.testing.assert_close(measure(entropy, logits, labels), -p.log().mean())
    focal = LOSS.validate_python({"type": "focal", "gamma": 1.5, "alpha": (0.75, 0.25)})
    expected = (torch.where(labels == 1, 0.25, 0.75) * -((1 - p) ** 1.5) * p.log()).mean()
    torch.testing.assert_close(measure(focal, logits, labels), expected)


def test_a_class_that_is_not_there_has_no_balanced_weight() -> None:
    loss = LOSS.validate_python({"type": "cross_entropy", "class_weights": "balanced"})
    part = Part(torch.zeros(4, 1), torch.tensor([0, 0, 0, 1]), torch.arange(4))
    torch.testing.assert_close(class_weights(loss, part, 3), torch.tensor([4 / 9, 4 / 3, 0.0]))
