"""RMSprop (Hinton's lecture 6e), in foreach passes, able to leave out a step without asking the device."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor


class RMSprop(torch.optim.Optimizer):
    """v ← alpha · v + (1 − alpha) · g²;  b ← momentum · b + g / (√v + epsilon);  w ← w − lr · b.

    The same numbers as `torch.optim.RMSprop`, which has no fused form and does not know `found_inf`: where that tensor is 1, neither
    the weights nor the averages change.
    """

    found_inf: Tensor | None = None

    def __init__(
        self, params: Iterable[Tensor] | Iterable[dict[str, Any]], *, lr: float, alpha: float, eps: float, momentum: float
    ) -> None:
        super().__init__(params, {"lr": lr, "alpha": alpha, "eps": eps, "momentum": momentum})
        for group in self.param_groups:
            for parameter in group["params"]:
                self.state[parameter]["square_average"] = torch.zeros_like(parameter)
                if momentum:
                    self.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        assert closure is None
        for group in self.param_groups:
            self.update(group)

    def update(self, group: dict[str, Any]) -> None:
        parameters = [parameter for parameter in group["params"] if parameter.grad is not None]
        if not parameters:
            return
        kept = 1.0 - (torch.zeros((), device=parameters[0].device) if self.found_inf is None else self.found_inf)
        gradients = [torch.where(kept.bool(), parameter.grad, 0.0) for parameter in parameters]
        averages = [self.state[parameter]["square_average"] for parameter in parameters]
        torch._foreach_mul_(averages, 1.0 - kept * (1.0 - group["alpha"]))
        torch._foreach_addcmul_(averages, gradients, gradients, 1.0 - group["alpha"])
        spreads = torch._foreach_sqrt(averages)
        torch._foreach_add_(spreads, group["eps"])
        torch._foreach_div_(gradients, spreads)
        if group["momentum"]:
            buffers = [self.state[parameter]["momentum_buffer"] for parameter in parameters]
            torch._foreach_mul_(buffers, 1.0 - kept * (1.0 - group["momentum"]))
            torch._foreach_add_(buffers, gradients)
            gradients = torch._foreach_mul(buffers, kept)
        torch._foreach_add_(parameters, gradients, alpha=-group["lr"])
