"""Layers that PyTorch does not have in the form the engine needs.

A module's children are named as `models.spec.layers` names them: a dense or convolutional layer holds its norm as
`norm`.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Literal, assert_never

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.spec.network import Activation, Padding
from models.spec.places import Acting
from models.spec.regularization import Activity, AlphaDropout, DropBlock, Dropout, DropPath, SpatialDropout
from models.spec.words import PADDING
from worker.training.column_sums import PLACES, summed
from worker.training.randomness import random_mask
from worker.training.tally import Tally

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
        x = summed(x, self.weight, self.bias) if x.dtype == PLACES else super().forward(x)
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
        groups: int = 1,
    ) -> None:
        border = (kernel - 1) // 2 if padding == "same" else 0
        super().__init__(inputs, outputs, kernel, stride, border, groups=groups, bias=bias)
        self.norm = norm

    def forward(self, x: Tensor) -> Tensor:
        x = super().forward(x)
        return x if self.norm is None else self.norm(x)


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


class NamedDropout(nn.Module):
    """What acts on the numbers between the layers of a network, in training only, at the places that have something.

    One generator serves all places; the loop seeds it anew at every step, so the masks are a function of (seed, step).
    """

    def __init__(self, acting: Mapping[str, tuple[Acting, ...]], device: str) -> None:
        super().__init__()
        self.acting = acting
        self.generator = torch.Generator(device)
        self.activity: list[Tensor] = []
        self.tally = Tally(device)

    def forward(self, x: Tensor, place: str) -> Tensor:
        """`x` (examples, …): what comes from a layer, or a residual branch before its sum."""
        if not self.training:
            return x
        for technique in self.acting.get(place, ()):
            x = self.act(technique, x, place)
        return x

    def act(self, technique: Acting, x: Tensor, place: str) -> Tensor:
        if isinstance(technique, Activity):
            penalty = activity_of(x, technique.l1, technique.l2)
            self.activity.append(penalty)
            self.tally.add(f"activity/{place}/forwards", 1)
            self.tally.count(f"activity/{place}/penalty", penalty.detach())
            return x
        x, kept = self.dropped(technique, x)
        self.tally.add(f"{technique.type}/{place}/numbers", kept.numel())
        self.tally.count(f"{technique.type}/{place}/kept", kept)
        return x

    def dropped(
        self, technique: Dropout | SpatialDropout | AlphaDropout | DropPath | DropBlock, x: Tensor
    ) -> tuple[Tensor, Tensor]:
        """What is left, and the mask of what was kept."""
        match technique:
            case Dropout():
                return drop(x, technique.rate, x.shape, self.generator)
            case SpatialDropout():
                return drop(x, technique.rate, torch.Size((*x.shape[:2], *[1] * (x.dim() - 2))), self.generator)
            case AlphaDropout():
                return alpha_dropout(x, technique.rate, self.generator)
            case DropPath():
                return drop(x, technique.rate, torch.Size((len(x), *[1] * (x.dim() - 1))), self.generator)
            case DropBlock():
                return drop_block(x, technique.rate, technique.block_size, self.generator)
            case _:
                assert_never(technique)

    @contextmanager
    def counting(self, tally: Tally) -> Iterator[Tally]:
        """What happens in here is counted there."""
        own, self.tally = self.tally, tally
        try:
            yield tally
        finally:
            self.tally = own

    def take_activity(self) -> Tensor | None:
        """The activity penalties of the last forward pass as one scalar in the graph, or None if there are none."""
        if not self.activity:
            return None
        total = torch.stack(self.activity).sum()
        self.activity = []
        return total


def drop(x: Tensor, rate: float, shape: torch.Size, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Inverted dropout by a mask of `shape`, which is that of `x` with 1 where values go together."""
    kept = random_mask(shape, 1.0 - rate, generator)
    return x * (kept.to(x.dtype) * (1.0 / (1.0 - rate))), kept


SELU_FLOOR = -1.0507009873554805 * 1.6732632423543772
"""The lowest value of SELU: −scale · alpha."""


def alpha_dropout(x: Tensor, rate: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Klambauer et al. 2017, 1706.02515: dropped values take SELU's floor, then mean and variance are restored."""
    kept = random_mask(x.shape, 1.0 - rate, generator)
    scale: float = ((1.0 - rate) * (1.0 + rate * SELU_FLOOR**2)) ** -0.5
    return torch.where(kept, x, SELU_FLOOR) * scale - scale * rate * SELU_FLOOR, kept


def drop_block(x: Tensor, rate: float, block_size: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Ghiasi et al. 2018, arXiv:1810.12890; `x` (examples, channels, height, width)."""
    examples, channels, height, width = x.shape
    block = min(block_size, height, width)
    rows, columns = height - block + 1, width - block + 1
    chance = min(1.0, rate * height * width / (block**2 * rows * columns))
    corners = ~random_mask(torch.Size((examples, channels, rows, columns)), 1.0 - chance, generator)
    blocks = F.max_pool2d(F.pad(corners.to(x.dtype), (block - 1,) * 4), block, 1)
    kept = 1.0 - blocks
    return x * kept * (kept.numel() / kept.sum(dtype=torch.float32).clamp(min=1.0)).to(x.dtype), kept


def activity_of(x: Tensor, l1: float, l2: float) -> Tensor:
    """l1 · Σ|a| + l2 · Σa², as a mean over the examples."""
    x = x.float()
    total = torch.zeros((), device=x.device)
    if l1:
        total = total + l1 * x.abs().sum()
    if l2:
        total = total + l2 * x.square().sum()
    return total / len(x)


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
