"""RMSprop (Hinton's lecture 6e), in foreach passes, able to leave out a step without asking the device."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor


class RMSprop(torch.optim.Optimizer):
    """v ← alpha · v + (1 − alpha) · g²;  b ← momentum · b + g / (√v + eps);  w ← w − lr · b.

    `centered` takes √(v − m²) with m ← alpha · m + (1 − alpha) · g instead of √v.

    The same numbers as `torch.optim.RMSprop`, which has no fused form and does not know `found_inf`: where that tensor
    is 1, neither the weights nor the averages change.
    """

    found_inf: Tensor | None = None

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        *,
        lr: float,
        alpha: float,
        eps: float,
        momentum: float,
        centered: bool,
    ) -> None:
        defaults = {"lr": lr, "alpha": alpha, "eps": eps, "momentum": momentum, "centered": centered}
        super().__init__(params, defaults)
        kept = ["square_average"] + ["momentum_buffer"] * bool(momentum) + ["gradient_average"] * centered
        for group in self.param_groups:
            for parameter in group["params"]:
                for average in kept:
                    self.state[parameter][average] = torch.zeros_like(parameter)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        assert closure is None
        for group in self.param_groups:
            self.update(group)

    def update(self, group: dict[str, Any]) -> None:
        parameters = [parameter for parameter in group["params"] if parameter.grad is not None]
        if not parameters:
            return
        gradients: list[Tensor] = [parameter.grad for parameter in parameters]
        kept: Tensor | float = 1.0
        if self.found_inf is not None:
            kept = 1.0 - self.found_inf
            gradients = [torch.where(kept.bool(), gradient, 0.0) for gradient in gradients]
        squares = self.averages("square_average", parameters)
        decay, weight = 1.0 - kept * (1.0 - group["alpha"]), 1.0 - group["alpha"]
        torch._foreach_mul_(squares, decay)
        torch._foreach_addcmul_(squares, gradients, gradients, weight)
        if group["centered"]:
            means = self.averages("gradient_average", parameters)
            for mean, gradient in zip(means, gradients, strict=True):
                mean.lerp_(gradient, kept * weight)
            squares = list(torch._foreach_addcmul(squares, means, means, -1.0))
            torch._foreach_clamp_min_(squares, 0.0)
        spreads = torch._foreach_sqrt(squares)
        torch._foreach_add_(spreads, group["eps"])
        if group["momentum"]:
            buffers = self.averages("momentum_buffer", parameters)
            torch._foreach_mul_(buffers, 1.0 - kept * (1.0 - group["momentum"]))
            torch._foreach_addcdiv_(buffers, gradients, spreads)
            torch._foreach_add_(parameters, torch._foreach_mul(buffers, kept), alpha=-group["lr"])
        else:
            torch._foreach_addcdiv_(parameters, gradients, spreads, -group["lr"])

    def averages(self, name: str, parameters: list[Tensor]) -> list[Tensor]:
        return [self.state[parameter][name] for parameter in parameters]
