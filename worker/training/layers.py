"""Layers that PyTorch does not have in the form the engine needs.

A module's children are named as `models.spec.layers` names them: a dense or convolutional layer holds its norm as
`norm`.
"""

from typing import Literal, assert_never

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.spec.network import Activation, Padding
from models.spec.words import PADDING
from worker.training.column_sums import PLACES, summed

LEAKY_SLOPE = 0.01


class BatchNorm(nn.Module):
    """Batch normalization of (examples, channels, …); Ioffe & Szegedy 2015, arXiv:1502.03167.

    PyTorch's, without its count of batches. A batch with one value per channel has no spread: it is normalized as in
    evaluation, and so is every batch while the norm is `frozen`.
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
        self.frozen = False

    def forward(self, x: Tensor) -> Tensor:
        of_batch = self.training and not self.frozen and x.numel() > x.shape[1]
        means, variances = self.running_mean, self.running_var
        return F.batch_norm(x, means, variances, self.weight, self.bias, of_batch, self.momentum, self.epsilon)


class Dense(nn.Linear):
    """W · x + b, then its norm; (examples, …, inputs) → (examples, …, outputs). Also of lists of the places of ones.

    W may be several matrices of equal size, one below another: as many `parts`, and each starts on its own.
    """

    def __init__(
        self, inputs: int, outputs: int, bias: bool = True, norm: nn.Module | None = None, parts: int = 1
    ) -> None:
        super().__init__(inputs, outputs, bias)
        self.norm = norm
        self.parts = parts

    def forward(self, x: Tensor) -> Tensor:
        x = self.plain(x)
        return x if self.norm is None else self.norm(x)

    def plain(self, x: Tensor) -> Tensor:
        """Without the norm."""
        return summed(x, self.weight, self.bias) if x.dtype == PLACES else super().forward(x)


class Convolution(nn.Conv2d):
    """A square convolution, then its norm; (examples, inputs, h, w) → (examples, outputs, h', w').

    One of single pixels that passes some over takes the others first, which on a processor leaves the same bits. oneDNN
    would do so by itself and, for less than 8 or 16 channels that lie beside each other, write the gradient of the
    weights over other memory (its issue 6035).
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        stride: int = 1,
        padding: Padding = "same",
        bias: bool = False,
        norm: nn.Module | None = None,
        groups: int = 1,
    ) -> None:
        border = (kernel - 1) // 2 if padding == "same" else 0
        super().__init__(inputs, outputs, kernel, stride, border, groups=groups, bias=bias)
        self.norm = norm

    def forward(self, x: Tensor) -> Tensor:
        x = self.plain(x)
        return x if self.norm is None else self.norm(x)

    def plain(self, x: Tensor) -> Tensor:
        """Without the norm."""
        if self.kernel_size == (1, 1) and self.stride != (1, 1):
            pixels = F.avg_pool2d(x, 1, self.stride)
            return F.conv2d(pixels, self.weight, self.bias, groups=self.groups)
        return super().forward(x)


class ChannelNorm(nn.LayerNorm):
    """Layer norm over the channels of each pixel; (examples, channels, height, width) → the same."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class LearnedRows(nn.Module):
    """Rows that are added to or put before the input: positions, a class token; (rows, width)."""

    def __init__(self, rows: int, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(rows, width))


class Embedding(nn.Embedding):
    """A row for each token, (examples, tokens) int64 → (examples, tokens, width); that of padding stays 0."""

    def __init__(self, tokens: int, width: int) -> None:
        super().__init__(tokens, width, padding_idx=PADDING)


class BranchScale(nn.Module):
    """A learned factor for each of the last dimension's features, small at the start; Touvron et al. 2021,
    arXiv:2103.17239.
    """

    def __init__(self, features: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(features))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.weight


def parts_of(layer: nn.Module) -> int:
    """How many kernels lie one below another in the weight: gates, queries and their like, groups of a convolution."""
    if isinstance(layer, nn.Conv2d):
        return layer.groups
    return layer.parts if isinstance(layer, Dense) else 1


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


class GlobalMaximum(nn.Module):
    """(examples, channels, height, width) → (examples, channels), or (examples, steps, features) → (examples, features)
    over the steps of `mask` (examples, steps).
    """

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        return x.amax((2, 3)) if mask is None else x.masked_fill(~mask[:, :, None], -torch.inf).amax(1)


class GlobalAverage(nn.Module):
    """(examples, channels, height, width) → (examples, channels), or (examples, steps, features) → (examples, features)
    over the steps of `mask` (examples, steps).
    """

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        return x.mean((2, 3)) if mask is None else step_mean(x, mask)


def step_mean(x: Tensor, mask: Tensor | None) -> Tensor:
    """Over all steps, or those of `mask` (examples, steps), of which each example has one: (examples, steps, features)
    → (examples, features).
    """
    return x.mean(1) if mask is None else (x * mask[:, :, None]).sum(1) / mask.sum(1, keepdim=True)


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
