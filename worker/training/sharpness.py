"""Sharpness-aware minimization: the gradient that a step takes is that of a point uphill."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from models.spec.job import JobSpec
from models.spec.regularization import Sam, usual_rho

SMALLEST_WEIGHT = 0.01
"""What ASAM adds to |w|, so that weights of 0 move too (Kwon et al. 2021, section 3)."""

SMALLEST_NORM = 1e-12


class Ascent:
    """The way from the weights to the point within `rho` where a linear loss is highest."""

    def __init__(self, technique: Sam, network: nn.Module, others: Iterable[Tensor]) -> None:
        self.technique = technique
        self.rho = usual_rho(technique)
        self.named: list[tuple[str, Tensor]] = list(network.named_parameters())
        self.buffers: list[Tensor] = [*network.buffers(), *others]

    @contextmanager
    def uphill(self) -> Iterator[None]:
        """By the gradients that stand at the parameters: these have other values in here, and the very same afterwards;
        so have buffers, which what happens in here does not change.
        """
        moving = [(name, weights) for name, weights in self.named if weights.grad is not None]
        changed = [*(weights for _, weights in moving), *self.buffers]
        with torch.no_grad():
            before = [values.clone() for values in changed]
            self.climb(moving)
        try:
            yield
        finally:
            with torch.no_grad():
                torch._foreach_copy_(changed, before)

    def climb(self, moving: list[tuple[str, Tensor]]) -> None:
        """w ← w + rho · g / ‖g‖, or w + rho · T² · g / ‖T · g‖ with T = |w| + 0.01, which is 1 for biases."""
        scales = [self.scale(name, weights) for name, weights in moving]
        gradients = [gradient for _, weights in moving if (gradient := weights.grad) is not None]
        scaled = [gradient * scale for gradient, scale in zip(gradients, scales, strict=True)]
        length = torch.stack(torch._foreach_norm(scaled)).norm() + SMALLEST_NORM
        for (_, weights), gradient, scale in zip(moving, scaled, scales, strict=True):
            weights.add_(gradient * scale * (self.rho / length))

    def scale(self, name: str, weights: Tensor) -> Tensor | float:
        if not self.technique.adaptive or name.endswith("bias"):
            return 1.0
        return weights.abs() + SMALLEST_WEIGHT


def ascent_of(spec: JobSpec, network: nn.Module, others: Iterable[Tensor]) -> Ascent | None:
    """That of a job that asks for `sam`.

    Args:
        others: what a pass changes beside the network's buffers.
    """
    return next((Ascent(one, network, others) for one in spec.regularization if isinstance(one, Sam)), None)
