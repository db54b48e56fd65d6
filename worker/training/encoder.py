"""Transformer encoders, for sequences and for images cut into patches.

Vaswani et al. 2017, "Attention is all you need", arXiv:1706.03762; Dosovitskiy et al. 2021, "An image is worth 16x16
words", arXiv:2010.11929.
"""

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.spec.images import Vit
from models.spec.plan import FEATURES
from models.spec.sequence_layers import PROJECTIONS, hidden_width
from models.spec.sequences import Transformer
from models.spec.task import Task
from worker.training.dropout import NamedDropout
from worker.training.layers import Convolution, Dense, Embedding, LearnedRows, step_mean
from worker.training.recurrent import aligned, steps

NORM_EPSILON = 1e-6
LONGEST_WAVE = 10_000.0


class Encoder(nn.Module):
    """Class token, positions, blocks, norm, pooling and output layer: (examples, steps, width) → (examples, outputs).

    What comes before it, an embedding of each step, is a subclass's.
    """

    def __init__(
        self,
        spec: Vit | Transformer,
        length: int,
        positions: Literal["sinusoidal", "learned"],
        task: Task,
        dropout: NamedDropout,
    ) -> None:
        super().__init__()
        of_class = spec.pooling == "class"
        self.class_token = LearnedRows(1, spec.width) if of_class else None
        self.positions = LearnedRows(length + of_class, spec.width) if positions == "learned" else None
        hidden = hidden_width(spec.width, spec.mlp_ratio)
        self.blocks = nn.ModuleList(EncoderBlock(spec.width, spec.heads, hidden) for _ in range(spec.depth))
        self.norm = nn.LayerNorm(spec.width, NORM_EPSILON)
        self.output = Dense(spec.width, task.outputs)
        self.dropout = dropout

    def encode(self, x: Tensor, place: str, mask: Tensor | None = None) -> Tensor:
        """`x` is embedded, (examples, steps, width); `place` is what its embedding is called; `mask` (examples, steps)
        is true for the steps that there are, if not all are.
        """
        if self.class_token is not None:
            x = torch.cat((self.class_token.weight.expand(x.shape[0], 1, -1), x), 1)
            mask = None if mask is None else F.pad(mask, (1, 0), value=True)
        x = x + (waves(x) if self.positions is None else self.positions.weight)
        x = self.dropout(x, place)
        for index, block in enumerate(self.blocks):
            x = block(x, self.dropout, f"blocks.{index}", mask)
        x = self.norm(x)
        x = step_mean(x, mask) if self.class_token is None else x[:, 0]
        return self.output(self.dropout(x, FEATURES))  # type: ignore[no-any-return]


class VisionTransformer(Encoder):
    def __init__(self, spec: Vit, task: Task, dropout: NamedDropout) -> None:
        assert spec.patch is not None
        channels, height, width = task.input_shape
        super().__init__(spec, (height // spec.patch) * (width // spec.patch), "learned", task, dropout)
        self.patches = Convolution(channels, spec.width, spec.patch, spec.patch, "valid", True)

    def forward(self, x: Tensor) -> Tensor:
        return self.encode(self.patches(x).flatten(2).transpose(1, 2), "patches")


class SequenceTransformer(Encoder):
    def __init__(self, spec: Transformer, task: Task, dropout: NamedDropout) -> None:
        assert spec.sequence_length is not None
        super().__init__(spec, spec.sequence_length, spec.positions, task, dropout)
        self.length = spec.sequence_length
        features = math.prod(task.input_shape) // self.length
        self.reads_tokens = task.vocabulary > 0
        self.embedding = Embedding(task.vocabulary, spec.width) if self.reads_tokens else Dense(features, spec.width)

    def forward(self, x: Tensor) -> Tensor:
        x, mask = aligned(x) if self.reads_tokens else (steps(x, self.length), None)
        return self.encode(self.embedding(x), "embedding", mask)


class EncoderBlock(nn.Module):
    """x ← x + projection(attention(norm(x))), then x + dense(gelu(dense(norm(x))))."""

    def __init__(self, width: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1 = nn.LayerNorm(width, NORM_EPSILON)
        self.query_key_value = Dense(width, PROJECTIONS * width, parts=PROJECTIONS)
        self.projection = Dense(width, width)
        self.norm2 = nn.LayerNorm(width, NORM_EPSILON)
        self.expand = Dense(width, hidden)
        self.contract = Dense(hidden, width)

    def forward(self, x: Tensor, dropout: NamedDropout, name: str, mask: Tensor | None = None) -> Tensor:
        y = dropout(self.projection(self.attend(self.norm1(x), mask)), f"{name}.projection")
        x = x + dropout(y, f"{name}.sum1")
        y = dropout(F.gelu(self.expand(self.norm2(x))), f"{name}.expand")
        y = dropout(self.contract(y), f"{name}.contract")
        return x + dropout(y, f"{name}.sum2")  # type: ignore[no-any-return]

    def attend(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """(examples, steps, width) → the same: softmax(Q · Kᵀ / √(width / heads)) · V of each head, side by side, over
        the steps of the mask.
        """
        examples, length, width = x.shape
        projected = self.query_key_value(x).view(examples, length, PROJECTIONS, self.heads, width // self.heads)
        queries, keys, values = projected.permute(2, 0, 3, 1, 4)
        seen = None if mask is None else mask[:, None, None, :]
        attended = F.scaled_dot_product_attention(queries, keys, values, seen)
        return attended.transpose(1, 2).reshape(examples, length, width)


def waves(x: Tensor) -> Tensor:
    """The sinusoidal positions (steps, width) of `x` (examples, steps, width): sines and cosines in turn."""
    _, length, width = x.shape
    places = torch.arange(length, device=x.device, dtype=torch.float32)[:, None]
    pairs = torch.arange(0, width, 2, device=x.device, dtype=torch.float32)
    angles = places * torch.exp(pairs * (-math.log(LONGEST_WAVE) / width))
    return torch.stack((angles.sin(), angles.cos()), 2).flatten(1)[:, :width].to(x.dtype)
