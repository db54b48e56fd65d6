"""Muon (Jordan et al. 2024, "Muon: an optimizer for hidden layers in neural networks")."""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal

import torch
from torch import Tensor

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Of the polynomial a · x + b · x³ + c · x⁵, the steepest at 0 that keeps singular values around 1."""

SMALLEST_NORM = 1e-7


class Muon(torch.optim.Optimizer):
    """m ← momentum · m + (1 − momentum) · g;  w ← w − lr · ratio · orthogonal(g + momentum · (m − g)), for matrices.

    A kernel of several `parts`, one below another, is as many matrices; a convolution's is units × inputs. All other
    parameters are `other`'s, whose groups and averages are also this optimizer's.
    """

    def __init__(
        self,
        groups: Iterable[dict[str, Any]],
        parts: Mapping[Tensor, int],
        other: torch.optim.Optimizer | None,
        *,
        lr: float,
        momentum: float,
        nesterov: bool,
        steps: int,
        adjust: Literal["original", "match_rms_adamw"],
    ) -> None:
        defaults = {"lr": lr, "momentum": momentum, "nesterov": nesterov, "steps": steps, "adjust": adjust}
        super().__init__(groups, defaults)
        self.parts, self.other = parts, other
        self.of_matrices = list(self.param_groups)
        for group in self.of_matrices:
            for parameter in group["params"]:
                self.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
        if other is not None:
            self.param_groups += other.param_groups
            self.state.update(other.state)
            other.state = self.state

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        assert closure is None
        for group in self.of_matrices:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self.update(group, parameter, parameter.grad)
        if self.other is not None:
            self.other.step()

    def update(self, group: dict[str, Any], parameter: Tensor, gradient: Tensor) -> None:
        buffer = self.state[parameter]["momentum_buffer"]
        buffer.lerp_(gradient, 1.0 - group["momentum"])
        direction = gradient.lerp(buffer, group["momentum"]) if group["nesterov"] else buffer
        parts = self.parts[parameter]
        matrices = direction.reshape(parts, len(direction) // parts, -1)
        step = orthogonalized(matrices, group["steps"]).reshape(parameter.shape)
        parameter.add_(step, alpha=-group["lr"] * ratio(group["adjust"], *matrices.shape[1:]))


def orthogonalized(matrices: Tensor, steps: int) -> Tensor:
    """About U · Vᵀ of the singular value decomposition U · S · Vᵀ of each of `matrices` (count, rows, columns).

    Newton and Schulz's iteration in bfloat16, as published: singular values come out around 1, not at 1.
    """
    x = matrices.bfloat16()
    tall = x.shape[1] > x.shape[2]
    x = x.mT if tall else x
    x = x / torch.linalg.matrix_norm(x, keepdim=True).clamp(min=SMALLEST_NORM)
    a, b, c = COEFFICIENTS
    for _ in range(steps):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.mT if tall else x


def ratio(adjust: Literal["original", "match_rms_adamw"], rows: int, columns: int) -> float:
    """Of a matrix's step to the learning rate: Jordan's √max(1, rows / columns), or 0.2 · √max(rows, columns), which
    makes steps as large as AdamW's (Liu et al. 2025, arXiv:2502.16982).
    """
    return math.sqrt(max(1.0, rows / columns)) if adjust == "original" else 0.2 * math.sqrt(max(rows, columns))
