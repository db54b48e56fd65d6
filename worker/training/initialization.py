"""How weights start. Every parameter is drawn from a stream of its own, (seed, its name): adding a layer does not
change the others.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Literal, assert_never

import torch
from torch import Tensor, nn

from models.spec.initialization import (
    AnyInitialization,
    BiasInitialization,
    Constant,
    ConstantStart,
    Default,
    DeltaOrthogonal,
    Dirac,
    Fan,
    Identity,
    KaimingNormal,
    KaimingUniform,
    LecunNormal,
    LecunUniform,
    Lsuv,
    Normal,
    NormalStart,
    Ones,
    Orthogonal,
    Sparse,
    TruncatedNormal,
    Uniform,
    UniformStart,
    VarianceScaling,
    XavierNormal,
    XavierUniform,
    Zeros,
    ZerosStart,
)
from models.spec.words import PADDING
from worker.training.layers import BatchNorm, BranchScale, Embedding, LearnedRows, parts_of
from worker.training.randomness import generator_for

ROWS_STD = 0.02
"""Of positions and class tokens (Dosovitskiy et al. 2021)."""
EMBEDDING_START = Normal(mean=0.0, std=1.0)
"""As `torch.nn.Embedding`: tokens enter the network as numbers do that are normalized."""
BRANCH_START = 1e-6
"""Of the scales of residual branches (Liu et al. 2022)."""


@torch.no_grad()
def initialize(
    network: nn.Module, start: AnyInitialization, seed: int, layers: Mapping[str, AnyInitialization] | None = None
) -> None:
    """Gives every parameter and buffer its first value; `layers` names the modules that have a start of their own.

    Dense and convolutional layers start as said, norms as the identity, positions and class tokens near 0.
    """
    own = layers or {}
    for name, module in network.named_modules():
        match module:
            case nn.Linear() | nn.Conv2d():
                initialize_layer(module, own.get(name, start), seed, name)
            case BatchNorm() | nn.LayerNorm() | nn.GroupNorm():
                initialize_norm(module)
            case LearnedRows():
                rows = torch.empty(module.weight.shape)
                rows.normal_(0.0, ROWS_STD, generator=generator_for(seed, "initialization", f"{name}.weight"))
                module.weight.copy_(rows)
            case Embedding():
                initialize_embedding(module, own.get(name, EMBEDDING_START), seed, name)
            case BranchScale():
                module.weight.fill_(BRANCH_START)
            case _:
                assert not list(module.parameters(recurse=False)), f"{name} has no start"


@torch.no_grad()
def empty_branches(network: nn.Module, ends: Iterable[str]) -> None:
    """Residual branches that end in these modules give 0; Goyal et al. 2017, arXiv:1706.02677, section 5.1."""
    for name in ends:
        for parameter in network.get_submodule(name).parameters(recurse=False):
            parameter.zero_()


def initialize_embedding(embedding: Embedding, start: AnyInitialization, seed: int, name: str) -> None:
    """Its fans are those of a dense layer's weight of the same shape, as in `torch.nn.init`; padding is 0."""
    weight = torch.empty(embedding.weight.shape)
    draw_kernel(weight, start, *fans(weight), generator_for(seed, "initialization", f"{name}.weight"))
    weight[PADDING] = 0.0
    embedding.weight.copy_(weight)


def initialize_norm(norm: BatchNorm | nn.LayerNorm | nn.GroupNorm) -> None:
    norm.weight.fill_(1.0)
    norm.bias.zero_()
    if isinstance(norm, BatchNorm):
        norm.running_mean.zero_()
        norm.running_var.fill_(1.0)


def initialize_layer(layer: nn.Linear | nn.Conv2d, start: AnyInitialization, seed: int, name: str) -> None:
    weight = torch.empty(layer.weight.shape)
    generator = generator_for(seed, "initialization", f"{name}.weight")
    parts = weight.chunk(parts_of(layer))
    fan_in, fan_out = fans(parts[0])
    for part in parts:
        draw_kernel(part, start, fan_in, fan_out, generator)
    layer.weight.copy_(weight)
    if layer.bias is not None:
        bias = torch.empty(layer.bias.shape)
        generator = generator_for(seed, "initialization", f"{name}.bias")
        if isinstance(start, Default):
            bias.uniform_(-1 / math.sqrt(fan_in), 1 / math.sqrt(fan_in), generator=generator)
        else:
            draw_bias(bias, start.bias, generator)
        layer.bias.copy_(bias)


def fans(weight: Tensor) -> tuple[int, int]:
    """(inputs of one unit, units that one input reaches) of a weight (outputs, inputs, *kernel)."""
    area = weight[0, 0].numel()
    return weight.shape[1] * area, weight.shape[0] * area


def fan(mode: Fan, fan_in: int, fan_out: int) -> float:
    match mode:
        case "fan_in":
            return fan_in
        case "fan_out":
            return fan_out
        case "fan_avg":
            return (fan_in + fan_out) / 2
        case _:
            assert_never(mode)


def draw_kernel(
    weight: Tensor, start: AnyInitialization, fan_in: int, fan_out: int, generator: torch.Generator
) -> None:
    """Fills `weight` (outputs, inputs, *kernel) in place."""
    match start:
        case Uniform():
            weight.uniform_(start.low, start.high, generator=generator)
        case Normal():
            weight.normal_(start.mean, start.std, generator=generator)
        case Zeros():
            weight.zero_()
        case Ones():
            weight.fill_(1.0)
        case Constant():
            weight.fill_(start.value)
        case XavierNormal():
            weight.normal_(0.0, start.gain / math.sqrt(fan(start.mode, fan_in, fan_out)), generator=generator)
        case XavierUniform():
            bound = start.gain * math.sqrt(3.0 / fan(start.mode, fan_in, fan_out))
            weight.uniform_(-bound, bound, generator=generator)
        case KaimingNormal():
            gain = nn.init.calculate_gain(start.nonlinearity, start.negative_slope)
            weight.normal_(0.0, gain / math.sqrt(fan(start.mode, fan_in, fan_out)), generator=generator)
        case KaimingUniform():
            gain = nn.init.calculate_gain(start.nonlinearity, start.negative_slope)
            bound = gain * math.sqrt(3.0 / fan(start.mode, fan_in, fan_out))
            weight.uniform_(-bound, bound, generator=generator)
        case Lsuv():
            nn.init.orthogonal_(weight, generator=generator)
        case Orthogonal():
            nn.init.orthogonal_(weight, start.gain, generator=generator)
        case TruncatedNormal():
            draw_truncated(weight, start.mean, start.std, generator)
        case LecunNormal():
            scale_variance(weight, 1.0 / fan_in, "truncated_normal", generator)
        case LecunUniform():
            scale_variance(weight, 1.0 / fan_in, "uniform", generator)
        case VarianceScaling():
            variance = start.scale / fan(start.mode, fan_in, fan_out)
            scale_variance(weight, variance, start.distribution, generator)
        case DeltaOrthogonal():
            nn.init.orthogonal_(centre(weight.zero_()), start.gain, generator=generator)
        case Identity():
            nn.init.eye_(centre(weight.zero_())).mul_(start.gain)
        case Dirac():
            nn.init.eye_(centre(weight.zero_()))
        case Sparse():
            nn.init.sparse_(weight.flatten(1), start.sparsity, start.std, generator=generator)
        case Default():
            weight.uniform_(-1 / math.sqrt(fan_in), 1 / math.sqrt(fan_in), generator=generator)
        case _:
            assert_never(start)


TRUNCATED_SPREAD = 0.8796256610342398
"""The standard deviation of a standard normal that is cut at −2 and 2."""


def draw_truncated(weight: Tensor, mean: float, std: float, generator: torch.Generator) -> None:
    nn.init.trunc_normal_(weight, mean, std, mean - 2.0 * std, mean + 2.0 * std, generator=generator)


def scale_variance(
    weight: Tensor,
    variance: float,
    distribution: Literal["normal", "truncated_normal", "uniform"],
    generator: torch.Generator,
) -> None:
    """Mean 0 and this variance."""
    match distribution:
        case "normal":
            weight.normal_(0.0, math.sqrt(variance), generator=generator)
        case "truncated_normal":
            draw_truncated(weight, 0.0, math.sqrt(variance) / TRUNCATED_SPREAD, generator)
        case "uniform":
            bound = math.sqrt(3.0 * variance)
            weight.uniform_(-bound, bound, generator=generator)
        case _:
            assert_never(distribution)


def centre(weight: Tensor) -> Tensor:
    """The matrix (outputs, inputs) at the middle of a kernel; a dense layer's weight itself."""
    middle: tuple[slice | int, ...] = (slice(None), slice(None), *(size // 2 for size in weight.shape[2:]))
    return weight[middle]


def draw_bias(bias: Tensor, start: BiasInitialization, generator: torch.Generator) -> None:
    """Fills `bias` (outputs,) in place."""
    match start:
        case ZerosStart():
            bias.zero_()
        case ConstantStart():
            bias.fill_(start.value)
        case UniformStart():
            bias.uniform_(start.low, start.high, generator=generator)
        case NormalStart():
            bias.normal_(start.mean, start.std, generator=generator)
        case _:
            assert_never(start)
