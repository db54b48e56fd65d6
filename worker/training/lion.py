"""Lion (Chen et al. 2023, arXiv:2302.06675), in foreach passes."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor


class Lion(torch.optim.Optimizer):
    """w ← w − lr · sign(betas[0] · m + (1 − betas[0]) · g);  m ← betas[1] · m + (1 − betas[1]) · g."""

    def __init__(self, groups: Iterable[dict[str, Any]], *, lr: float, betas: tuple[float, float]) -> None:
        super().__init__(groups, {"lr": lr, "betas": betas})
        for group in self.param_groups:
            for parameter in group["params"]:
                self.state[parameter]["average"] = torch.zeros_like(parameter)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        assert closure is None
        for group in self.param_groups:
            parameters: list[Tensor] = [parameter for parameter in group["params"] if parameter.grad is not None]
            if not parameters:
                continue
            gradients = [gradient for parameter in parameters if (gradient := parameter.grad) is not None]
            averages = [self.state[parameter]["average"] for parameter in parameters]
            directions = list(torch._foreach_lerp(averages, gradients, 1.0 - group["betas"][0]))
            torch._foreach_sign_(directions)
            torch._foreach_add_(parameters, directions, alpha=-group["lr"])
            torch._foreach_lerp_(averages, gradients, 1.0 - group["betas"][1])
