"""Layers that PyTorch does not have in the form the engine needs.

A module's children are named as `models.spec.layers` names them: a dense or convolutional layer holds its norm as
`norm`.
"""

from collections.abc import Mapping
from typing import Literal, assert_never

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.spec.network import Activation, Padding
from worker.training.randomness import random_mask

LEAKY_SLOPE = 0.01


class BatchNorm(nn.Module):
    """Batch normalization of (examples, channels, …); Ioffe & Szegedy 2015, arXiv:1502.03167.

    PyTorch's, without its count of batches. A batch with one value per channel has no spread: it is normalized as in
    evaluation.
    """

    def __init__(self, channels: int, epsilon: float = 1e-5, momentum: float = 0.1) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(channels))
        self.bias = nn.Parameter(torch.empty(channels))
        self.running_mean: Tensor
        self.running_var: Tensor
        self.register_buffer("running_mean", torch.empty(channels))
        self.register_buffer("running_var", torch.empty(channels))
        self.epsilon = epsilon
        self.momentum = momentum

    def forward(self, x: Tensor) -> Tensor:
        of_batch = self.training and x.numel() > x.shape[1]
        means, variances = self.running_mean, self.running_var
        return F.batch_norm(x, means, variances, self.weight, self.bias, of_batch, self.momentum, self.epsilon)


class Dense(nn.Linear):
    """W · x + b, then its norm; (examples, inputs) → (examples, outputs)."""

    def __init__(self, inputs: int, outputs: int, bias: bool = True, norm: nn.Module | None = None) -> None:
        super().__init__(inputs, outputs, bias)
        self.norm = norm

    def forward(self, x: Tensor) -> Tensor:
        x = super().forward(x)
        return x if self.norm is None else self.norm(x)


class Convolution(nn.Conv2d):
    """A square convolution, then its norm; (examples, inputs, h, w) → (examples, outputs, h', w')."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        stride: int = 1,
        padding: Padding = "same",
        bias: bool = False,
        norm: nn.Module | None = None,
    ) -> None:
        border = (kernel - 1) // 2 if padding == "same" else 0
        super().__init__(inputs, outputs, kernel, stride, border, bias=bias)
        self.norm = norm

    def forward(self, x: Tensor) -> Tensor:
        x = super().forward(x)
        return x if self.norm is None else self.norm(x)


class NamedDropout(nn.Module):
    """Inverted dropout at the places of a network that have a rate (Srivastava et al. 2014).

    One generator serves all places; the loop seeds it anew at every step, so the masks are a function of (seed, step).
    """

    def __init__(self, rates: Mapping[str, tuple[float, ...]], device: str) -> None:
        super().__init__()
        self.rates = rates
        self.generator = torch.Generator(device)

    def forward(self, x: Tensor, place: str) -> Tensor:
        """`x` of any shape; in training each value is 0 with the place's rate, else divided by 1 − rate."""
        if not self.training:
            return x
        for rate in self.rates.get(place, ()):
            kept = random_mask(x.shape, 1.0 - rate, self.generator)
            x = x * (kept.to(x.dtype) * (1.0 / (1.0 - rate)))
        return x


class Flattened(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return flatten(x)


class Activated(nn.Module):
    """An activation that leaves its input alone: whatever stands before it may need it to go backward."""

    def __init__(self, activation: Activation) -> None:
        super().__init__()
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x) if self.activation == "relu" else activate(x, self.activation)


class GlobalAverage(nn.Module):
    """(examples, channels, height, width) → (examples, channels)."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean((2, 3))


def norm_of(kind: Literal["none", "batch", "layer"], features: int) -> nn.Module | None:
    match kind:
        case "none":
            return None
        case "batch":
            return BatchNorm(features)
        case "layer":
            return nn.LayerNorm(features)
        case _:
            assert_never(kind)


def flatten(x: Tensor) -> Tensor:
    """(examples, channels, height, width) → (examples, height · width · channels); free for a channels-last tensor."""
    return x.permute(0, 2, 3, 1).flatten(1) if x.dim() == 4 else x.flatten(1)


def activate(x: Tensor, activation: Activation) -> Tensor:
    """`relu` writes over its input: what stands before it in our networks goes backward without its own output."""
    match activation:
        case "relu":
            return F.relu_(x)
        case "leaky_relu":
            return F.leaky_relu(x, LEAKY_SLOPE)
        case "elu":
            return F.elu(x)
        case "selu":
            return F.selu(x)
        case "gelu":
            return F.gelu(x)
        case "silu":
            return F.silu(x)
        case "tanh":
            return torch.tanh(x)
        case "sigmoid":
            return torch.sigmoid(x)
        case "linear":
            return x
        case _:
            assert_never(activation)


def is_monotone(activation: Activation) -> bool:
    """Whether the largest value stays the largest, so that max-pooling may come first and leave less to activate."""
    return activation not in ("gelu", "silu")
