"""Recurrent networks: plain ones, LSTM and GRU, by PyTorch's own cells."""

import math
from typing import assert_never

import torch
from torch import Tensor, nn

from models.spec.plan import FEATURES
from models.spec.sequence_layers import gates_of
from models.spec.sequences import Gru, Lstm, Rnn
from models.spec.task import Task
from worker.training.layers import Dense, NamedDropout


class RecurrentSequence(nn.Module):
    """Recurrent layers one above another, pooling over the steps, output layer."""

    def __init__(self, spec: Rnn | Lstm | Gru, task: Task, dropout: NamedDropout) -> None:
        super().__init__()
        assert spec.sequence_length is not None
        self.length, self.width, self.pooling = spec.sequence_length, spec.width, spec.pooling
        self.layers = nn.ModuleList()
        features = math.prod(task.input_shape) // self.length
        for _ in range(spec.layers):
            self.layers.append(RecurrentLayer(spec, features))
            features = spec.width * (2 if spec.bidirectional else 1)
        self.output = Dense(features, task.outputs)
        self.dropout = dropout

    def forward(self, x: Tensor) -> Tensor:
        x = steps(x, self.length)
        for index, layer in enumerate(self.layers):
            x = self.dropout(layer(x), f"layers.{index}")
        x = x.mean(1) if self.pooling == "mean" else last_states(x, self.width)
        return self.output(self.dropout(x, FEATURES))  # type: ignore[no-any-return]


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

    def forward(self, x: Tensor) -> Tensor:
        weights, both, training = self.weights(), self.spec.bidirectional, self.training
        state = x.new_zeros(2 if both else 1, len(x), self.spec.width)
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
    return x.view(len(x), length, -1)


def last_states(x: Tensor, width: int) -> Tensor:
    """The state behind the last step, of each direction: (examples, steps, features) → (examples, features)."""
    if x.shape[2] == width:
        return x[:, -1]
    return torch.cat((x[:, -1, :width], x[:, 0, width:]), 1)
