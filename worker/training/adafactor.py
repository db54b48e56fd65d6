"""Adafactor (Shazeer & Stern 2018, arXiv:1804.04235, algorithms 4 and 5), without asking the device."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor


class Adafactor(torch.optim.Optimizer):
    """w ← w − max(smallest_scale, RMS(w)) · min(lr, 1 / √t) · u / max(1, RMS(u) / clip_threshold) with u = g / √v̂.

    Of a matrix (rows, columns), and of a kernel taken as the matrix units × inputs, v̂ is the outer product of the
    running means of g² + eps over its rows and over its columns, divided by the mean of both; the share of the newest
    is t^−decay. `torch.optim.Adafactor`, which waits for the device thrice a parameter and takes a convolution for
    many matrices of its window's size, gives the same numbers for matrices.
    """

    def __init__(
        self,
        groups: Iterable[dict[str, Any]],
        *,
        lr: float,
        decay: float,
        eps: float,
        smallest_scale: float,
        clip_threshold: float,
    ) -> None:
        defaults = {"lr": lr, "decay": decay, "eps": eps}
        super().__init__(groups, {**defaults, "smallest_scale": smallest_scale, "clip_threshold": clip_threshold})
        for group in self.param_groups:
            for parameter in group["params"]:
                self.begin(parameter)

    def begin(self, parameter: Tensor) -> None:
        state, on = self.state[parameter], parameter.device
        state["step"] = torch.zeros((), device=on)
        if parameter.dim() > 1:
            rows, columns = parameter.flatten(1).shape
            state["rows"], state["columns"] = torch.zeros(rows, 1, device=on), torch.zeros(1, columns, device=on)
        else:
            state["squares"] = torch.zeros_like(parameter)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        assert closure is None
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self.update(group, parameter, parameter.grad)

    def update(self, group: dict[str, Any], parameter: Tensor, gradient: Tensor) -> None:
        state = self.state[parameter]
        state["step"] += 1.0
        newest = state["step"] ** -group["decay"]
        matrix = gradient.flatten(1) if gradient.dim() > 1 else gradient
        step = matrix * self.variance(state, matrix.square() + group["eps"], newest).rsqrt()
        rate = state["step"].rsqrt().clamp(max=group["lr"])
        scale = root_mean_square(parameter).clamp(min=group["smallest_scale"])
        shrunk = (root_mean_square(step) / group["clip_threshold"]).clamp(min=1.0)
        parameter.sub_((step * (scale * rate / shrunk)).view(parameter.shape))

    def variance(self, state: dict[str, Tensor], squares: Tensor, newest: Tensor) -> Tensor:
        """The running mean of `squares`, of a matrix as far as those of its rows and columns tell."""
        if squares.dim() == 1:
            return state["squares"].lerp_(squares, newest)
        rows = state["rows"].lerp_(squares.mean(1, keepdim=True), newest)
        columns = state["columns"].lerp_(squares.mean(0, keepdim=True), newest)
        return rows / rows.mean() * columns


def root_mean_square(values: Tensor) -> Tensor:
    return values.square().mean().sqrt()
