"""The plans of the networks for sequences, and of the encoder that they share with the vision transformer."""

from math import prod
from typing import Literal, assert_never

from .plan import FEATURES, Plan, PlannedLayer, Shape, ShapeMismatch
from .sequences import Gru, Lstm, RecurrentNetwork, Rnn, SequenceNetwork, Transformer

EMBEDDING = 128
"""Numbers for each token unless the spec says otherwise."""
PROJECTIONS = 3
"""Queries, keys and values lie one below another in a weight."""


def steps_of(network: SequenceNetwork, input_shape: Shape) -> Shape:
    """(steps, features) as the network reads inputs of this shape. Raises ShapeMismatch where they cannot be cut."""
    length, pointer = network.sequence_length, "/network/sequence_length"
    if len(input_shape) == 3:
        channels, height, width = input_shape
        if length not in (None, height):
            detail = f"Images are read row by row: here {height} steps of {width * channels} values. Leave it out"
            raise ShapeMismatch(pointer, detail)
        return height, width * channels
    (features,) = input_shape
    if length is None:
        kind = type(network).__name__.lower()
        detail = f"`{kind}` reads sequences and gets {features:,} features: say into how many steps to cut them"
        raise ShapeMismatch(pointer, detail)
    if features % length:
        nearest = min((n for n in range(1, features + 1) if features % n == 0), key=lambda n: abs(n - length))
        detail = f"{features:,} features cannot be cut into {length:,} equal steps; into {nearest:,} they can"
        raise ShapeMismatch(pointer, detail)
    return length, features // length


def token_steps(network: SequenceNetwork, plan: Plan) -> None:
    """Raises ShapeMismatch where the network wants other steps than the tokens of the data."""
    (length,) = plan.shape
    if network.sequence_length not in (None, length):
        detail = f"The data are sequences of {length:,} tokens, each a step. Leave it out"
        raise ShapeMismatch("/network/sequence_length", detail)


def gates_of(network: Rnn | Lstm | Gru) -> int:
    """Matrices that lie one below another in each weight."""
    match network:
        case Rnn():
            return 1
        case Gru():
            return 3
        case Lstm():
            return 4
        case _:
            assert_never(network)


def projections_of(network: RecurrentNetwork) -> tuple[str, ...]:
    """The dense layers inside each recurrent layer."""
    return ("input", "recurrent", *(("reverse_input", "reverse_recurrent") if network.bidirectional else ()))


def hidden_width(width: int, ratio: float) -> int:
    """Units of the hidden dense layer of an encoder block."""
    return max(1, round(width * ratio))


def plan_recurrent(plan: Plan, network: Rnn | Lstm | Gru, outputs: int) -> None:
    if plan.vocabulary:
        token_steps(network, plan)
        plan.embed("embedding", network.embedding or EMBEDDING, "/network")
    elif network.embedding is not None:
        detail = "The data are no sequences of tokens, which alone are embedded. Leave it out"
        raise ShapeMismatch("/network/embedding", detail)
    steps, features = plan.shape if len(plan.shape) == 2 else steps_of(network, plan.shape)
    gated = gates_of(network) * network.width
    for index in range(network.layers):
        for projection in projections_of(network):
            weight = (gated, network.width if projection.endswith("recurrent") else features)
            plan.layers.append(
                PlannedLayer(f"layers.{index}.{projection}", "recurrent", (steps, gated), weight, prod(weight), gated)
            )
        features = network.width * (2 if network.bidirectional else 1)
        plan.shape = (steps, features)
        plan.layers.append(PlannedLayer(f"layers.{index}", "recurrent", plan.shape))
    plan.pool_steps(FEATURES)
    plan.project("output", outputs)


def plan_transformer(plan: Plan, network: Transformer, outputs: int) -> None:
    if plan.vocabulary:
        token_steps(network, plan)
        plan.embed("embedding", network.width, "/network")
    else:
        plan.shape = steps_of(network, plan.shape)
        plan.project("embedding", network.width)
    plan_encoder(plan, network.depth, network.mlp_ratio, network.pooling, network.positions == "learned")
    plan.project("output", outputs)


def plan_encoder(plan: Plan, depth: int, mlp_ratio: float, pooling: Literal["class", "mean"], learned: bool) -> None:
    """Class token, positions, blocks, norm and pooling: (steps, width) → (width,)."""
    steps, width = plan.shape
    if pooling == "class":
        steps += 1
        plan.shape = (steps, width)
        plan.learn("class_token", 1, width)
    if learned:
        plan.learn("positions", steps, width)
    for index in range(depth):
        _plan_block(plan, f"blocks.{index}", width, hidden_width(width, mlp_ratio))
    plan.norm_of("norm", width)
    plan.pool_steps(FEATURES)


def _plan_block(plan: Plan, name: str, width: int, hidden: int) -> None:
    entry = plan.shape
    plan.norm_of(f"{name}.norm1", width)
    plan.project(f"{name}.query_key_value", PROJECTIONS * width)
    plan.shape = entry
    plan.layers.append(PlannedLayer(f"{name}.attention", "attention", entry))
    plan.project(f"{name}.projection", width)
    plan.add(f"{name}.sum1")
    plan.norm_of(f"{name}.norm2", width)
    plan.project(f"{name}.expand", hidden)
    plan.activate(f"{name}.activation", "gelu")
    plan.project(f"{name}.contract", width)
    plan.add(f"{name}.sum2")


def encoder_places(depth: int) -> tuple[str, ...]:
    """Where a dropout may stand in the blocks: behind each of their dense layers but the first."""
    layers = ("projection", "expand", "contract")
    return tuple(f"blocks.{index}.{layer}" for index in range(depth) for layer in layers)
