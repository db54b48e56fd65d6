"""Noise on vectors, drawn where they are."""

from collections.abc import Sequence
from typing import assert_never

import torch
from torch import Tensor

from models.spec.vectors import FeatureDropout, GaussianNoise, Perturbation, SwapNoise
from worker.training.augmentation.draws import Draws, per_sample
from worker.training.augmentation.timing import Planned, acting, note
from worker.training.tally import Tally


def perturb(
    vectors: Tensor,
    operations: Sequence[Planned[Perturbation]],
    step: int,
    generator: torch.Generator,
    tally: Tally | None = None,
) -> Tensor:
    """Vectors (batch, features), normalized, as this step changes them; `generator` is of the CPU and of this step."""
    draws = Draws(len(vectors), generator)
    for one in acting(operations, step):
        chosen, before = draws.chosen(one.operation.p), vectors
        changed = perturbed(vectors, one.operation, draws.on(vectors.device))
        vectors = torch.where(per_sample(chosen, vectors), changed, vectors)
        note(tally, [one], [chosen], before, vectors)
    return vectors


def perturbed(vectors: Tensor, operation: Perturbation, generator: torch.Generator) -> Tensor:
    def uniform() -> Tensor:
        return torch.rand(vectors.shape, generator=generator, device=vectors.device)

    match operation:
        case GaussianNoise():
            return noisy(vectors, operation.std, generator)
        case FeatureDropout():
            return torch.where(uniform() < operation.rate, 0.0, vectors)
        case SwapNoise():
            others = (uniform() * len(vectors)).long().clamp(max=len(vectors) - 1)
            return torch.where(uniform() < operation.rate, vectors.gather(0, others), vectors)
        case _:
            assert_never(operation)


def noisy(values: Tensor, std: float, generator: torch.Generator) -> Tensor:
    return values + std * torch.randn(values.shape, generator=generator, device=values.device)
