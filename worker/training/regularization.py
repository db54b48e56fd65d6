"""Penalties and weight decay, applied to gradients and weights directly instead of through a sum in the graph.

The gradient of weight · Σ|w| is weight · sign(w), that of weight · Σw² is 2 · weight · w: two passes over the kernels
give exactly what autograd would. They are added before clipping, as they would be if they stood in the loss.
"""

from collections import defaultdict
from dataclasses import dataclass
from typing import assert_never

import torch
from torch import Tensor, nn

from models.spec.job import JobSpec
from models.spec.layers import layer_name
from models.spec.network import KernelLayer, Sequential
from models.spec.regularization import (
    L1,
    L1L2,
    L2,
    Activity,
    AlphaDropout,
    DropBlock,
    Dropout,
    DropPath,
    InjectedNoise,
    L1L2Penalty,
    L1Penalty,
    L2Penalty,
    LabelSmoothing,
    LayerRegularization,
    MaxNorm,
    Orthogonality,
    Sam,
    SpatialDropout,
    SpectralNorm,
    Target,
    WeightDecay,
)
from models.spec.targets import Kind
from worker.training.layers import BatchNorm, BranchScale, LearnedRows
from worker.training.network import module_name


@dataclass(frozen=True)
class Penalty:
    """l1 · Σ|w| + l2 · Σw² over these kernels."""

    l1: float
    l2: float
    kernels: list[Tensor]

    def value(self) -> Tensor:
        """A scalar on the device; what is frozen does not count."""
        value = torch.zeros((), device=self.kernels[0].device)
        kernels = trained(self.kernels)
        if self.l1 and kernels:
            value = value + self.l1 * torch.stack(torch._foreach_norm(kernels, 1)).sum()
        if self.l2 and kernels:
            value = value + self.l2 * torch.stack(torch._foreach_norm(kernels, 2)).square().sum()
        return value

    def add_gradients(self) -> None:
        """Adds the penalty's gradient to those that backward has left: none where a kernel is frozen."""
        kernels, gradients = with_gradients(self.kernels)
        if self.l2 and kernels:
            torch._foreach_add_(gradients, kernels, alpha=2.0 * self.l2)
        if self.l1 and kernels:
            torch._foreach_add_(gradients, torch._foreach_sign(kernels), alpha=self.l1)


@dataclass(frozen=True)
class OrthogonalityPenalty:
    """weight · ‖W · Wᵀ − I‖² over these kernels, taken as matrices; Wᵀ · W where that is the smaller matrix."""

    weight: float
    kernels: list[Tensor]

    def value(self) -> Tensor:
        """A scalar on the device; what is frozen does not count."""
        value = torch.zeros((), device=self.kernels[0].device)
        for kernel in trained(self.kernels):
            value = value + excess(matrix_of(kernel)).square().sum()
        return self.weight * value

    def add_gradients(self) -> None:
        """4 · weight · (W · Wᵀ − I) · W, or W · (Wᵀ · W − I)."""
        for kernel, gradient in zip(*with_gradients(self.kernels), strict=True):
            matrix = matrix_of(kernel)
            product = excess(matrix) @ matrix if len(matrix) <= matrix.shape[1] else matrix @ excess(matrix)
            gradient.add_(product.view_as(kernel), alpha=4.0 * self.weight)


def trained(kernels: list[Tensor]) -> list[Tensor]:
    """The kernels that are not frozen."""
    return [kernel for kernel in kernels if kernel.requires_grad]


def with_gradients(kernels: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
    """The kernels that are not frozen, and their gradients."""
    held = [(kernel, gradient) for kernel in kernels if (gradient := kernel.grad) is not None]
    return [kernel for kernel, _ in held], [gradient for _, gradient in held]


def matrix_of(kernel: Tensor) -> Tensor:
    """(units, their inputs)."""
    return kernel.flatten(1)


def excess(matrix: Tensor) -> Tensor:
    """What the smaller product of a matrix with itself has beyond the identity."""
    product = matrix @ matrix.T if len(matrix) <= matrix.shape[1] else matrix.T @ matrix
    return product - torch.eye(len(product), device=product.device)


def penalties_of(spec: JobSpec, network: nn.Module) -> list[Penalty | OrthogonalityPenalty]:
    """One penalty for every set of kernels that is penalized alike."""
    weights: dict[str, tuple[float, float]] = defaultdict(lambda: (0.0, 0.0))
    for name, l1, l2 in penalized_modules(spec, kernel_modules(network)):
        weights[name] = (weights[name][0] + l1, weights[name][1] + l2)
    alike: dict[tuple[float, float], list[Tensor]] = defaultdict(list)
    for name, pair in weights.items():
        if any(pair):
            alike[pair].append(network.get_parameter(f"{name}.weight"))
    sums = [Penalty(l1, l2, kernels) for (l1, l2), kernels in alike.items()]
    products = [
        OrthogonalityPenalty(technique.weight, kernels_of(spec, network, technique.target))
        for technique in spec.regularization
        if isinstance(technique, Orthogonality) and technique.weight
    ]
    return [*sums, *products]


def kernels_of(spec: JobSpec, network: nn.Module, target: Target) -> list[Tensor]:
    """The kernels that a technique of the job targets."""
    names = targeted(spec, kernel_modules(network), target)
    return [network.get_parameter(f"{name}.weight") for name in names]


def targeted(spec: JobSpec, kernels: list[str], target: Target) -> list[str]:
    return kernels if target == "kernels" else [module_name(spec.network, layer) for layer in target]


def kernel_modules(network: nn.Module) -> list[str]:
    return [name for name, module in network.named_modules() if isinstance(module, nn.Linear | nn.Conv2d)]


def penalized_modules(spec: JobSpec, kernels: list[str]) -> list[tuple[str, float, float]]:
    """(module, l1, l2) of every penalty on every module, the job's and the layers' own."""
    found = []
    for technique in spec.regularization:
        match technique:
            case L1() | L2() | L1L2():
                if isinstance(technique, L1) and technique.mode == "proximal":
                    continue
                targets = targeted(spec, kernels, technique.target)
                found += [(name, *weights_of(technique)) for name in targets]
            case (
                Dropout()
                | SpatialDropout()
                | AlphaDropout()
                | DropPath()
                | DropBlock()
                | Activity()
                | MaxNorm()
                | Orthogonality()
                | SpectralNorm()
                | InjectedNoise()
                | LabelSmoothing()
                | WeightDecay()
                | Sam()
            ):
                pass
            case _:
                assert_never(technique)
    if isinstance(spec.network, Sequential):
        for index, layer in enumerate(spec.network.layers):
            if isinstance(layer, KernelLayer):
                name = module_name(spec.network, layer_name(layer, index))
                found += [(name, *weights_of(penalty)) for penalty in layer.regularization]
    return found


def weights_of(penalty: LayerRegularization) -> tuple[float, float]:
    """(l1, l2)."""
    match penalty:
        case L1Penalty():
            return penalty.weight, 0.0
        case L2Penalty():
            return 0.0, penalty.weight
        case L1L2Penalty():
            return penalty.l1, penalty.l2
        case _:
            assert_never(penalty)


def smoothing_of(spec: JobSpec) -> float:
    """What is left of certainty is the product of (1 − epsilon) over the list; this is the rest."""
    certain = 1.0
    for technique in spec.regularization:
        if isinstance(technique, LabelSmoothing):
            certain *= 1.0 - technique.epsilon
    return 1.0 - certain


def decays_of(spec: JobSpec, network: nn.Module) -> dict[str, float]:
    """The decoupled weight decay of every parameter, by name, from the list of regularizations."""
    kinds = kinds_of(network)
    decays = dict.fromkeys(kinds, 0.0)
    for technique in spec.regularization:
        if isinstance(technique, WeightDecay):
            for name, kind in kinds.items():
                decays[name] += 0.0 if kind in technique.exempt else technique.weight
    return decays


def kinds_of(network: nn.Module) -> dict[str, Kind]:
    """`kernel`, `bias` or `norm` for every parameter; the shift of a norm is a norm's, and so are positions, class
    tokens and the scales of branches.
    """
    kinds: dict[str, Kind] = {}
    for name, module in network.named_modules():
        of_norm = isinstance(module, BatchNorm | nn.LayerNorm | nn.GroupNorm | LearnedRows | BranchScale)
        for parameter, _ in module.named_parameters(recurse=False):
            kind: Kind = "norm" if of_norm else "bias" if parameter == "bias" else "kernel"
            kinds[f"{name}.{parameter}"] = kind
    return kinds
