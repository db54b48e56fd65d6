"""Areas and averages of rankings against scikit-learn, which walks along the curve where we count pairs."""

import pytest
import torch
from sklearn.metrics import average_precision_score, roc_auc_score

from worker.training.ranking import rank


@pytest.mark.parametrize("levels", [None, 7, 1], ids=["few ties", "many ties", "all equal"])
@pytest.mark.parametrize("positives", [0.5, 0.01])
def test_it_is_what_scikit_learn_says(levels: int | None, positives: float) -> None:
    generator = torch.Generator().manual_seed(0)
    positive = torch.rand(3, 500, generator=generator) < positives
    scores = torch.randn(3, 500, generator=generator, dtype=torch.float64) + positive
    scores = scores if levels is None else (scores * levels).clamp(0, levels).div(levels, rounding_mode="floor")
    areas, averages = rank(scores, positive).tolist()
    for column in range(3):
        assert areas[column] == pytest.approx(roc_auc_score(positive[column], scores[column]), abs=1e-12)
        assert averages[column] == pytest.approx(average_precision_score(positive[column], scores[column]), abs=1e-12)


def test_the_order_of_the_examples_changes_no_bit() -> None:
    generator = torch.Generator().manual_seed(0)
    scores, positive = torch.randn(1, 300, generator=generator).round(decimals=1), torch.arange(300)[None] % 3 == 0
    shuffled = torch.randperm(300, generator=generator)
    assert torch.equal(rank(scores, positive)[0], rank(scores[:, shuffled], positive[:, shuffled])[0])


@pytest.mark.parametrize(
    ("scores", "positive"),
    [([0.1, 0.2], [True, True]), ([0.1, 0.2], [False, False]), ([0.1, float("nan")], [True, False])],
)
def test_there_is_nothing_to_say_of_one_kind_or_of_no_number(scores: list[float], positive: list[bool]) -> None:
    assert rank(torch.tensor([scores]), torch.tensor([positive])).isnan().all()
