from typing import Any

import pytest
import torch
from torch import Tensor

from tests.worker.training.augmentation.words import generator, operation
from worker.training.augmentation import perturb, planned

FAMILY: list[dict[str, Any]] = [{"type": "gaussian_noise"}, {"type": "feature_dropout"}, {"type": "swap_noise"}]
VECTORS = torch.randn(200, 50, generator=generator(7)) + 3.0


def perturbed(words: dict[str, Any], vectors: Tensor = VECTORS, step: int = 0, seed: int = 0) -> Tensor:
    return perturb(vectors, [planned(operation(words), 10, 100)], step, generator(seed))


@pytest.mark.parametrize("words", FAMILY, ids=lambda words: words["type"])
def test_a_share_p_of_the_vectors_changes_and_repeats_itself(words: dict[str, Any]) -> None:
    once = perturbed({**words, "p": 0.3})
    assert torch.equal(once, perturbed({**words, "p": 0.3}))
    assert (once != VECTORS).any(1).float().mean().item() == pytest.approx(0.3, abs=0.1)


@pytest.mark.parametrize("words", FAMILY, ids=lambda words: words["type"])
def test_it_acts_in_its_time_only(words: dict[str, Any]) -> None:
    timed = {**words, "until": "5 steps"}
    assert not torch.equal(perturbed(timed, step=4), VECTORS)
    assert torch.equal(perturbed(timed, step=5), VECTORS)


def test_noise_is_normal_with_its_deviation() -> None:
    noise = perturbed({"type": "gaussian_noise", "std": 0.5}) - VECTORS
    assert (noise.mean().item(), noise.std().item()) == pytest.approx((0.0, 0.5), abs=0.02)


def test_a_dropped_feature_is_zero_and_the_others_are_not_scaled() -> None:
    dropped = perturbed({"type": "feature_dropout", "rate": 0.2})
    assert (dropped == 0).float().mean().item() == pytest.approx(0.2, abs=0.02)
    assert torch.equal(dropped[dropped != 0], VECTORS[dropped != 0])


def test_swapped_features_are_those_of_other_examples() -> None:
    swapped = perturbed({"type": "swap_noise", "rate": 0.25})
    assert (swapped != VECTORS).float().mean().item() == pytest.approx(0.25, abs=0.02)
    assert all(set(swapped[:, i].tolist()) <= set(VECTORS[:, i].tolist()) for i in range(50))
