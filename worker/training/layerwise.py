"""What the last step of an epoch did to every layer: too costly to measure at each step, telling enough at one of many.

Nothing of it changes the step, and nothing waits for the device before the numbers are asked for.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from worker.training.regularization import kinds_of

FIGURES = ("gradient_norm", "weight_norm", "update_ratio")


class Layerwise:
    """The kernels of a network, watched once in an epoch."""

    def __init__(self, network: nn.Module) -> None:
        names = [name for name, kind in kinds_of(network).items() if kind == "kernel"]
        self.kernels = {name: network.get_parameter(name) for name in names}
        self.found: Tensor | None = None

    @contextmanager
    def measured(self, wanted: bool) -> Iterator[None]:
        """The step in here is measured, if it is wanted."""
        if not wanted or not self.kernels:
            yield
            return
        before = [kernel.detach().clone() for kernel in self.kernels.values()]
        yield
        self.found = self.measure(before)

    @torch.no_grad()
    def measure(self, before: list[Tensor]) -> Tensor:
        """(figures, kernels) on the device: the norms of the gradients that the optimizer was given and of the weights,
        and how far the step moved these, as a share of them.
        """
        after: list[Tensor] = list(self.kernels.values())
        gradients = [torch.zeros_like(kernel) if kernel.grad is None else kernel.grad for kernel in after]
        moves = [now - then for now, then in zip(after, before, strict=True)]
        gradient, weight, moved = (torch.stack(torch._foreach_norm(each)) for each in (gradients, after, moves))
        return torch.stack([gradient, weight, moved / torch.stack(torch._foreach_norm(before))])

    def take(self) -> dict[str, float]:
        """What was measured since the last time, as `gradient_norm/…`, `weight_norm/…` and `update_ratio/…`; nothing
        where the epoch ended otherwise than by its last step.
        """
        found, self.found = self.found, None
        rows = [] if found is None else found.tolist()
        return {
            f"{figure}/{name}": value
            for figure, row in zip(FIGURES, rows, strict=False)
            for name, value in zip(self.kernels, row, strict=True)
        }
