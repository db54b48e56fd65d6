"""Gradient clipping, and what is done about gradients that are not finite.

Everything here stays on the device: the norm, whether it was clipped and whether the step must be skipped are tensors.
"""

from collections.abc import Mapping, Sequence
from typing import assert_never

import torch
from torch import Tensor, nn

from models.spec.clipping import Adaptive, GlobalNorm, Norm, Percentile, Value
from models.spec.job import JobSpec
from worker.training.network import module_name
from worker.training.optimizer import is_known
from worker.training.regularization import kernel_modules

CLIP_EPSILON = 1e-6
"""What `torch.nn.utils.clip_grad_norm_` adds to the norm before it divides by it."""


def gradient_norm(gradients: list[Tensor], norm_type: float = 2.0) -> Tensor:
    """The norm of all gradients taken as one vector: a scalar tensor."""
    return norms([norms(gradients, norm_type)], norm_type)[0]


def norms(tensors: list[Tensor], norm_type: float) -> Tensor:
    """(tensors,) the norm of each. High powers leave float32, so those are taken of shares of the largest entry."""
    if norm_type <= 2.0 or norm_type == torch.inf:
        return torch.stack(torch._foreach_norm(tensors, norm_type))
    largest = torch.stack(torch._foreach_norm(tensors, torch.inf)).clamp(min=torch.finfo(torch.float32).tiny)
    return torch.stack(torch._foreach_norm(torch._foreach_div(tensors, list(largest.unbind())), norm_type)) * largest


def clip_by_global_norm(gradients: list[Tensor], norm: Tensor, max_norm: float) -> Tensor:
    """Scales all gradients, in place, by min(1, max_norm / (norm + 1e-6)) and says whether that was below 1 (Pascanu et
    al. 2013, 1211.5063). On a processor, where asking is not waiting, nothing is multiplied by 1.
    """
    scale = max_norm / (norm + CLIP_EPSILON)
    if not is_known(scale) or not scale >= 1.0:
        torch._foreach_mul_(gradients, scale.clamp(max=1.0))
    return scale < 1.0


def clip_by_norm(gradients: list[Tensor], max_norm: float, norm_type: float = 2.0) -> Tensor:
    """Scales each gradient, in place, by min(1, max_norm / (its norm + 1e-6)) and says whether one of these was below
    1.
    """
    scales = max_norm / (norms(gradients, norm_type) + CLIP_EPSILON)
    torch._foreach_mul_(gradients, list(scales.clamp(max=1.0).unbind()))
    return (scales < 1.0).any()


def clip_by_value(gradients: list[Tensor], clip_value: float) -> Tensor:
    """Cuts every entry off at ±clip_value, in place, and says whether one lay beyond."""
    largest = gradient_norm(gradients, torch.inf)
    torch._foreach_clamp_min_(gradients, -clip_value)
    torch._foreach_clamp_max_(gradients, clip_value)
    return largest > clip_value


def clip_adaptively(
    parameters: Sequence[Tensor], gradients: Sequence[Tensor], clip_factor: float, epsilon: float
) -> Tensor:
    """Scales the gradient of each unit, in place, to at most clip_factor · max(‖w‖, epsilon) and says whether one was
    scaled (Brock et al. 2021, 2102.06171).
    """
    clipped = [torch.zeros((), dtype=torch.bool, device=gradients[0].device)]
    for parameter, gradient in zip(parameters, gradients, strict=True):
        most = unit_norms(parameter).clamp(min=epsilon) * clip_factor
        norms = unit_norms(gradient)
        gradient.mul_(torch.where(norms > most, most / norms, 1.0))
        clipped.append((norms > most).any())
    return torch.stack(clipped).any()


def unit_norms(weights: Tensor) -> Tensor:
    """One norm for each row or filter, kept in their shape: (units, 1, …); of a vector its own."""
    dimensions = tuple(range(1, weights.dim())) or None
    norms: Tensor = torch.linalg.vector_norm(weights, dim=dimensions, keepdim=True)
    return norms


class History:
    """The norms of the last so many steps, on the device."""

    def __init__(self, window: int, device: torch.device) -> None:
        self.norms = torch.full((window,), torch.inf, device=device)
        self.count = torch.zeros((), dtype=torch.int64, device=device)
        """Of all norms so far."""

    def add(self, norm: Tensor, skipped: Tensor) -> None:
        """Where `skipped` is 1, nothing changes."""
        place = (self.count % len(self.norms)).unsqueeze(0)
        kept = torch.where(skipped.bool(), self.norms.gather(0, place), norm)
        self.norms.scatter_(0, place, kept)
        self.count += 1 - skipped.long()

    def percentile(self, percentile: float) -> Tensor:
        """With linear interpolation between the norms on both sides; infinite where there is none."""
        ordered = self.norms.sort().values
        rank = (self.count.clamp(1, len(self.norms)) - 1).double() * (percentile / 100.0)
        around = torch.stack([rank.floor(), rank.ceil()]).long()
        low, high = ordered.gather(0, around).unbind()
        return torch.where(low == high, low, low + (high - low) * rank.frac().to(low.dtype))


class Clipper:
    """What a run does to its gradients."""

    def __init__(self, spec: JobSpec, network: nn.Module) -> None:
        self.clipping = spec.clipping
        named = dict(network.named_parameters())
        self.parameters = list(named.values())
        self.history: History | None = None
        if isinstance(spec.clipping, Adaptive):
            exempt = tuple(f"{name}." for name in exempt_modules(spec, spec.clipping, network))
            self.parameters = [value for name, value in named.items() if not name.startswith(exempt)]
        elif isinstance(spec.clipping, Percentile):
            self.history = History(spec.clipping.window, self.parameters[0].device)

    @property
    def norm_type(self) -> float:
        """Of the norm that is measured before clipping."""
        return float(self.clipping.norm_type) if isinstance(self.clipping, GlobalNorm) else 2.0

    def clip(self, gradients: list[Tensor], norm: Tensor, skipped: Tensor) -> Tensor:
        """Clips all gradients in place, given their norm; 1 if that changed anything, as a scalar tensor."""
        clipping = self.clipping
        match clipping:
            case None:
                return torch.zeros_like(norm)
            case GlobalNorm():
                clipped = clip_by_global_norm(gradients, norm, clipping.max_norm)
            case Norm():
                clipped = clip_by_norm(gradients, clipping.max_norm, float(clipping.norm_type))
            case Value():
                clipped = clip_by_value(gradients, clipping.clip_value)
            case Adaptive():
                parameters = [parameter for parameter in self.parameters if parameter.grad is not None]
                of_them = [gradient for parameter in parameters if (gradient := parameter.grad) is not None]
                if not parameters:
                    return torch.zeros_like(norm)
                clipped = clip_adaptively(parameters, of_them, clipping.clip_factor, clipping.epsilon)
            case Percentile():
                assert self.history is not None
                self.history.add(norm, skipped)
                most = self.history.percentile(clipping.percentile)
                clipped = norm > most
                torch._foreach_mul_(gradients, torch.where(clipped, most / (norm + CLIP_EPSILON), 1.0))
            case _:
                assert_never(clipping)
        return clipped.float()

    def tensors(self) -> dict[str, Tensor]:
        """What a checkpoint needs."""
        if self.history is None:
            return {}
        return {"clipping/norms": self.history.norms, "clipping/count": self.history.count}

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        if self.history is not None:
            self.history.norms.copy_(tensors["clipping/norms"])
            self.history.count.copy_(tensors["clipping/count"])


def exempt_modules(spec: JobSpec, clipping: Adaptive, network: nn.Module) -> list[str]:
    """The output layer is the last one with a kernel."""
    if clipping.exempt == "output":
        return kernel_modules(network)[-1:]
    return [module_name(spec.network, layer) for layer in clipping.exempt]
