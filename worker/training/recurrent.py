"""Recurrent networks: plain ones, LSTM and GRU, by PyTorch's own cells."""

import math
from typing import assert_never

import torch
from torch import Tensor, nn

from models.spec.plan import FEATURES
from models.spec.sequence_layers import gates_of
from models.spec.sequences import Gru, Lstm, Rnn
from models.spec.task import Task
from models.spec.words import PADDING
from worker.training.dropout import NamedDropout
from worker.training.layers import Dense, Embedding, step_mean


class RecurrentSequence(nn.Module):
    """Recurrent layers one above another, pooling over the steps, output layer."""

    def __init__(self, spec: Rnn | Lstm | Gru, task: Task, dropout: NamedDropout) -> None:
        super().__init__()
        assert spec.sequence_length is not None
        self.length, self.width, self.pooling = spec.sequence_length, spec.width, spec.pooling
        features = spec.embedding or math.prod(task.input_shape) // self.length
        self.embedding = Embedding(task.vocabulary, features) if task.vocabulary else None
        self.layers = nn.ModuleList()
        for _ in range(spec.layers):
            self.layers.append(RecurrentLayer(spec, features))
            features = spec.width * (2 if spec.bidirectional else 1)
        self.output = Dense(features, task.outputs)
        self.dropout = dropout

    def forward(self, x: Tensor) -> Tensor:
        if self.embedding is None:
            x, mask = steps(x, self.length), None
        else:
            x, mask = aligned(x)
            x = self.dropout(self.embedding(x), "embedding")
        for index, layer in enumerate(self.layers):
            x = self.dropout(layer(x, mask), f"layers.{index}")
        return self.output(self.dropout(self.pooled(x, mask), FEATURES))  # type: ignore[no-any-return]

    def pooled(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """(examples, steps, features) → (examples, features)."""
        return step_mean(x, mask) if self.pooling == "mean" else last_states(x, self.width, mask)


class RecurrentLayer(nn.Module):
    """(examples, steps, features) → (examples, steps, width), or twice the width where it reads both ways.

    Its weights are those of dense layers, so that starts and penalties find them as they find others.
    """

    def __init__(self, spec: Rnn | Lstm | Gru, features: int) -> None:
        super().__init__()
        self.spec = spec
        gates = gates_of(spec)
        gated = gates * spec.width
        self.input = Dense(features, gated, parts=gates)
        self.recurrent = Dense(spec.width, gated, parts=gates)
        self.reverse_input = Dense(features, gated, parts=gates) if spec.bidirectional else None
        self.reverse_recurrent = Dense(spec.width, gated, parts=gates) if spec.bidirectional else None

    def weights(self) -> list[Tensor]:
        """In PyTorch's order: W, U, b, c of each direction."""
        weights = [self.input.weight, self.recurrent.weight, self.input.bias, self.recurrent.bias]
        if self.reverse_input is not None and self.reverse_recurrent is not None:
            weights += [self.reverse_input.weight, self.reverse_recurrent.weight]
            weights += [self.reverse_input.bias, self.reverse_recurrent.bias]
        return weights

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """`mask` (examples, steps) is true for the steps that there are, which come first."""
        weights, both = self.weights(), self.spec.bidirectional
        if mask is None or not both:
            return self.run(x, weights, both)
        half = len(weights) // 2
        backwards = self.run(reversed_within(x, mask), weights[half:], False)
        return torch.cat((self.run(x, weights[:half], False), reversed_within(backwards, mask)), 2)

    def run(self, x: Tensor, weights: list[Tensor], both: bool) -> Tensor:
        """One direction or both, over every step."""
        training = self.training
        state = x.new_zeros(2 if both else 1, x.shape[0], self.spec.width)
        match self.spec:
            case Lstm():
                return torch.lstm(x, (state, state), weights, True, 1, 0.0, training, both, True)[0]
            case Gru():
                return torch.gru(x, state, weights, True, 1, 0.0, training, both, True)[0]
            case Rnn(activation="relu"):
                return torch.rnn_relu(x, state, weights, True, 1, 0.0, training, both, True)[0]
            case Rnn():
                return torch.rnn_tanh(x, state, weights, True, 1, 0.0, training, both, True)[0]
            case _:
                assert_never(self.spec)


def steps(x: Tensor, length: int) -> Tensor:
    """Images (examples, channels, height, width) row by row, or vectors cut into equal steps: (examples, steps,
    features).
    """
    if x.dim() == 4:
        return x.permute(0, 2, 3, 1).flatten(2)
    return x.view(x.shape[0], length, -1)


def aligned(tokens: Tensor) -> tuple[Tensor, Tensor]:
    """Tokens (examples, steps) with all padding at the end, and a mask that is true for the others, of which each
    example has one.
    """
    present = tokens != PADDING
    places = torch.arange(tokens.shape[1], device=tokens.device)
    order = (places + present.int().argmax(1, keepdim=True)) % tokens.shape[1]
    return tokens.gather(1, order), places < present.sum(1, keepdim=True)


def reversed_within(x: Tensor, mask: Tensor) -> Tensor:
    """Each example's own steps from the last to the first, and behind them what was behind them."""
    places = torch.arange(x.shape[1], device=x.device)
    order = torch.where(mask, mask.sum(1, keepdim=True) - 1 - places, places)
    return x.gather(1, order[:, :, None].expand_as(x))


def last_states(x: Tensor, width: int, mask: Tensor | None = None) -> Tensor:
    """The state behind the last step, of each direction: (examples, steps, features) → (examples, features)."""
    last = x[:, -1] if mask is None else x[torch.arange(x.shape[0], device=x.device), mask.sum(1) - 1]
    return last if x.shape[2] == width else torch.cat((last[:, :width], x[:, 0, width:]), 1)
