"""LAMB (You et al. 2020, arXiv:1904.00962, algorithm 2), in foreach passes and without asking the device."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor


class Lamb(torch.optim.Optimizer):
    """w ← w − lr · ‖w‖ / ‖r‖ · r with r = m̂ / (√v̂ + eps) + weight_decay · w, one ratio for each tensor.

    The ratio is 1 in groups that are not `adapted`, and where ‖w‖ or ‖r‖ is 0, as in the authors' code.
    """

    def __init__(
        self,
        groups: Iterable[dict[str, Any]],
        *,
        lr: float,
        betas: tuple[float, float],
        eps: float,
        weight_decay: float,
    ) -> None:
        defaults = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "adapted": True}
        super().__init__(groups, defaults)
        for group in self.param_groups:
            for parameter in group["params"]:
                state = self.state[parameter]
                state["step"] = torch.zeros((), device=parameter.device)
                state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(parameter), torch.zeros_like(parameter)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        assert closure is None
        for group in self.param_groups:
            parameters = [parameter for parameter in group["params"] if parameter.grad is not None]
            if parameters:
                directions = self.directions(group, parameters)
                if group["adapted"]:
                    torch._foreach_mul_(directions, trust_ratios(parameters, directions))
                torch._foreach_add_(parameters, directions, alpha=-group["lr"])

    def directions(self, group: dict[str, Any], parameters: list[Tensor]) -> list[Tensor]:
        """The r of each parameter."""
        states = [self.state[parameter] for parameter in parameters]
        gradients: list[Tensor] = [gradient for one in parameters if (gradient := one.grad) is not None]
        steps, means, squares = ([state[key] for state in states] for key in ("step", "exp_avg", "exp_avg_sq"))
        torch._foreach_add_(steps, 1.0)
        torch._foreach_lerp_(means, gradients, 1.0 - group["betas"][0])
        torch._foreach_mul_(squares, group["betas"][1])
        torch._foreach_addcmul_(squares, gradients, gradients, 1.0 - group["betas"][1])
        first, second = ([1.0 - beta**step for step in steps] for beta in group["betas"])
        spreads = list(torch._foreach_div(squares, second))
        torch._foreach_sqrt_(spreads)
        torch._foreach_add_(spreads, group["eps"])
        directions = list(torch._foreach_div(means, first))
        torch._foreach_div_(directions, spreads)
        if group["weight_decay"]:
            torch._foreach_add_(directions, parameters, alpha=group["weight_decay"])
        return directions


def trust_ratios(parameters: list[Tensor], directions: list[Tensor]) -> list[Tensor]:
    """‖w‖ / ‖r‖ for each, 1 where one of them is 0."""
    weights, lengths = torch.stack(torch._foreach_norm(parameters)), torch.stack(torch._foreach_norm(directions))
    return list(torch.where((weights > 0.0) & (lengths > 0.0), weights / lengths, 1.0).unbind())
