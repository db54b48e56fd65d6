"""What is done to weights right after a step: soft thresholds that make zeros, and limits to the length of a unit's
weights. Nothing here waits for the device, and nothing changes where the step was skipped.
"""

from typing import assert_never

import torch
from torch import Tensor, nn

from models.spec.job import JobSpec
from models.spec.optimizer import (
    Adadelta,
    Adafactor,
    Adagrad,
    Adam,
    Adamax,
    AdamW,
    Lamb,
    Lion,
    Muon,
    NAdam,
    Optimizer,
    RAdam,
    RMSprop,
    Sgd,
)
from models.spec.regularization import L1, MaxNorm
from worker.training.regularization import kernels_of


class Projections:
    """The proximal L1 and the max-norm limits of a job, in the list's order."""

    def __init__(self, spec: JobSpec, network: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        self.spec, self.optimizer = spec.optimizer, optimizer
        self.groups = {parameter: group for group in optimizer.param_groups for parameter in group["params"]}
        self.techniques: list[tuple[L1 | MaxNorm, list[Tensor]]] = [
            (technique, [kernel for kernel in kernels_of(spec, network, technique.target) if kernel in self.groups])
            for technique in spec.regularization
            if isinstance(technique, MaxNorm) or (isinstance(technique, L1) and technique.mode == "proximal")
        ]

    @torch.no_grad()
    def project(self, skipped: Tensor) -> None:
        """After a step; where `skipped`, a float scalar on the device, is 1, nothing changes, nor what is frozen."""
        for technique, kernels in self.techniques:
            for kernel in kernels:
                if not kernel.requires_grad:
                    continue
                match technique:
                    case L1():
                        size = step_size(self.spec, self.optimizer, kernel)
                        rate = self.groups[kernel]["lr"]
                        threshold = torch.where(skipped.bool(), 0.0, rate * technique.weight * size)
                        kernel.copy_(kernel.sign() * (kernel.abs() - threshold).clamp(min=0.0))
                    case MaxNorm():
                        limit(kernel, technique.max, skipped)
                    case _:
                        assert_never(technique)


def step_size(spec: Optimizer, optimizer: torch.optim.Optimizer, kernel: Tensor) -> Tensor:
    """How far a constant gradient of 1 beside the others moves each weight in the long run, in learning rates."""
    averages = optimizer.state[kernel]
    match spec:
        case Sgd():
            size = (1.0 - spec.dampening) / (1.0 - spec.momentum) if spec.momentum else 1.0
            return torch.full((), size, device=kernel.device)
        case Adam() | AdamW() | NAdam():
            spread: Tensor = averages["exp_avg_sq"] / (1.0 - spec.betas[1] ** averages["step"])
            return 1.0 / (spread.sqrt() + spec.epsilon)
        case RAdam():
            return rectified(spec, averages["exp_avg_sq"], averages["step"])
        case Adamax():
            largest: Tensor = averages["exp_inf"]
            return 1.0 / largest
        case Adagrad():
            total: Tensor = averages["sum"]
            return 1.0 / (total.sqrt() + spec.epsilon)
        case RMSprop():
            spread = averages["square_average"]
            if spec.centered:
                spread = (spread - averages["gradient_average"].square()).clamp(min=0.0)
            return 1.0 / ((spread.sqrt() + spec.epsilon) * (1.0 - spec.momentum))
        case Adadelta() | Adafactor() | Lion() | Muon() | Lamb():
            raise AssertionError(f"proximal L1 with {spec.type} is refused by the check")
        case _:
            assert_never(spec)


def rectified(spec: RAdam, squares: Tensor, step: Tensor) -> Tensor:
    """What RAdam divides by once it trusts its mean of squares, times its rectification; 1 until then."""
    known = 1.0 - spec.betas[1] ** step
    longest = 2.0 / (1.0 - spec.betas[1]) - 1.0
    length = longest - 2.0 * step * spec.betas[1] ** step / known
    share = (length - 4.0) * (length - 2.0) * longest / ((longest - 4.0) * (longest - 2.0) * length)
    trusted = share.clamp(min=0.0).sqrt() * known.sqrt() / (squares.sqrt() + spec.epsilon)
    return torch.where(length > 5.0, trusted, 1.0)


def limit(kernel: Tensor, longest: float, skipped: Tensor) -> None:
    """Scales each unit's weights, (units, …), down to this length."""
    lengths = torch.linalg.vector_norm(kernel, dim=tuple(range(1, kernel.dim())), keepdim=True)
    kernel.mul_(torch.where((lengths > longest) & ~skipped.bool(), longest / lengths, 1.0))
