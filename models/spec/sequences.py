"""Networks for sequences, (steps, features). Their output layer comes from the task.

Images are read row by row: as many steps as rows, and the pixels of a row (columns · channels) are a step's features.
Vectors are cut into `sequence_length` steps of equally many features. Texts that are read as tokens have a step for
each token, begin with an `embedding` of it, and what is behind the end of a text is not seen.
"""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from .images import check_heads
from .technique import Technique, Width


class SequenceNetwork(Technique):
    """What every network for sequences has."""

    sequence_length: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    """Into how many steps vectors are cut; it divides the number of features. Of images it is the number of rows and of
    texts that of tokens, and need not be said.
    """


class RecurrentNetwork(SequenceNetwork):
    """What the recurrent ones have in common."""

    width: Width = 128
    """Units of each layer and direction."""
    layers: Annotated[int, Field(ge=1, le=32)] = 1
    bidirectional: bool = False
    """A second set of units reads each sequence from its end; their outputs stand side by side."""
    embedding: Width | None = None
    """Of tokens: numbers for each; 128 unless said. They start from N(0, 1)."""
    pooling: Literal["last", "mean"] = "last"
    """What the output layer sees: the state after the last step (of each direction), or the mean over the steps."""


class Rnn(RecurrentNetwork):
    """Plain recurrent network: h_t = activation(W · x_t + b + U · h_(t−1) + c), from h_0 = 0; then pooling and the
    output layer.

    Layers are called `layers.0.input` (W, b), `layers.0.recurrent` (U, c), with `reverse_input` and `reverse_recurrent`
    where it reads both ways, …, `features`, `output`. Gradients grow or vanish with the steps: see `global_norm`.

    Reference: Elman 1990, "Finding structure in time".
    """

    type: Literal["rnn"] = "rnn"
    activation: Literal["tanh", "relu"] = "tanh"


class Lstm(RecurrentNetwork):
    """Long short-term memory: c_t = f ⊙ c_(t−1) + i ⊙ g, h_t = o ⊙ tanh(c_t), with the gates i, f, o = sigmoid(W · x_t
    + b + U · h_(t−1) + c) and g the same with tanh; then pooling and the output layer.

    Layers are called `layers.0.input` (W, b), `layers.0.recurrent` (U, c), with `reverse_input` and `reverse_recurrent`
    where it reads both ways, …, `features`, `output`. The gates i, f, g, o lie one below another in a weight, and each
    starts as a matrix of its own.

    Reference: Hochreiter & Schmidhuber 1997, "Long short-term memory"; Gers et al. 2000 for the forget gate.
    """

    type: Literal["lstm"] = "lstm"


class Gru(RecurrentNetwork):
    """Gated recurrent unit: h_t = (1 − z) ⊙ n + z ⊙ h_(t−1), n = tanh(W · x_t + b + r ⊙ (U · h_(t−1) + c)), with the
    gates r, z = sigmoid(W · x_t + b + U · h_(t−1) + c); then pooling and the output layer.

    Layers are called `layers.0.input` (W, b), `layers.0.recurrent` (U, c), with `reverse_input` and `reverse_recurrent`
    where it reads both ways, …, `features`, `output`. The gates r, z, n lie one below another in a weight, and each
    starts as a matrix of its own.

    Reference: Cho et al. 2014, arXiv:1406.1078.
    """

    type: Literal["gru"] = "gru"


class Transformer(SequenceNetwork):
    """Transformer encoder: an embedding of each step (of tokens, from N(0, 1)), positions, pre-norm blocks, norm,
    pooling, output layer.

    A block is norm → attention → add, norm → dense → GELU → dense → add; every step attends to every other. Layers are
    called `embedding`, (`class_token`, `positions`,) `blocks.0.query_key_value`, `blocks.0.projection`,
    `blocks.0.expand`, `blocks.0.contract`, …, `features`, `output`. Sinusoidal positions are sin(t / 10000^(2i /
    width)) and the cosine of the same, in turn, and nothing in them is learned.

    Formula: x ← x + attention(norm(x)), x ← x + W₂ · gelu(W₁ · norm(x)), with softmax(Q · Kᵀ / √d) · V in every head.

    Reference: Vaswani et al. 2017, "Attention is all you need", arXiv:1706.03762; Xiong et al. 2020, arXiv:2002.04745,
    for the place of the norms.
    """

    type: Literal["transformer"] = "transformer"
    width: Width = 128
    depth: Annotated[int, Field(ge=1, le=100)] = 2
    """Encoder blocks."""
    heads: Annotated[int, Field(ge=1, le=256)] = 4
    """Attention heads; they divide the width."""
    mlp_ratio: Annotated[float, Field(gt=0.0, le=16.0)] = 4.0
    """Width of a block's hidden dense layer over `width`, to the nearest whole number."""
    positions: Literal["sinusoidal", "learned"] = "sinusoidal"
    pooling: Literal["mean", "class"] = "mean"
    """What the output layer sees: the mean over the steps, or a class token of its own."""

    @model_validator(mode="after")
    def _heads_divide(self) -> Self:
        check_heads(self.width, self.heads)
        return self
