"""The network of a script: an `nn.Sequential` whose entries are called as a checkpoint calls them, dots as underscores.

Only chains are written: `mlp`, `cnn` and `sequential`.
"""

import math
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import NamedTuple

from api.script.refusals import Refusals
from models.spec.job import JobSpec
from models.spec.layers import layer_name, plan_of
from models.spec.network import (
    Activation,
    ActivationLayer,
    AnyLayer,
    AveragePooling,
    BatchNorm,
    Cnn,
    Conv,
    Dense,
    DropoutLayer,
    Flatten,
    GlobalAveragePooling,
    GroupNorm,
    LayerNorm,
    MaxPooling,
    Mlp,
    Sequential,
)
from models.spec.places import acting_at
from models.spec.plan import FEATURES
from models.spec.regularization import Dropout
from models.spec.task import Task

ACTIVATIONS: dict[Activation, str] = {
    "relu": "nn.ReLU()",
    "leaky_relu": "nn.LeakyReLU(0.01)",
    "elu": "nn.ELU()",
    "selu": "nn.SELU()",
    "gelu": "nn.GELU()",
    "silu": "nn.SiLU()",
    "tanh": "nn.Tanh()",
    "sigmoid": "nn.Sigmoid()",
}
"""All but `linear`, which is none."""


class Entry(NamedTuple):
    """One line of the network."""

    name: str
    module: str
    """The expression that makes it."""


def entries_of(spec: JobSpec, task: Task, refusals: Refusals) -> list[Entry]:
    """The network from the input to the output, named as in a checkpoint."""
    match spec.network:
        case Mlp():
            entries = _mlp(spec.network, task)
        case Cnn():
            entries = _cnn(spec.network, task)
        case Sequential():
            entries = _sequential(spec.network, task, refusals)
        case network:
            refusals.refuse(
                "/network/type", f"a network of type {network.type} is not written, only mlp, cnn, sequential"
            )
            return []
    return list(_with_dropout(spec, task, entries, refusals))


class _Place(NamedTuple):
    """Behind everything that belongs to this name stands its dropout."""

    name: str


_Parts = Iterable[Entry | _Place]


def _mlp(network: Mlp, task: Task) -> _Parts:
    yield Entry("flatten", "Flatten()")
    widths = (math.prod(task.input_shape), *network.hidden)
    for index, (inputs, outputs) in enumerate(pairwise(widths)):
        name = f"hidden.{index}"
        yield Entry(name, f"nn.Linear({inputs}, {outputs}{_no_bias(network.norm == 'batch')})")
        if network.norm != "none":
            norm = f"BatchNorm({outputs}, 1e-05, 0.1)" if network.norm == "batch" else f"nn.LayerNorm({outputs})"
            yield Entry(f"{name}.norm", norm)
        yield from _activation(name, network.activation)
        yield _Place(name)
    yield Entry("output", f"nn.Linear({widths[-1]}, {task.outputs})")


def _cnn(network: Cnn, task: Task) -> _Parts:
    channels, *size = task.input_shape
    border = (network.kernel - 1) // 2 if network.padding == "same" else 0
    for index, width in enumerate(network.widths):
        name = f"convolutions.{index}"
        has_norm = network.norm == "batch"
        words = f"{channels}, {width}, {network.kernel}, 1, {border}{_no_bias(has_norm)}"
        yield Entry(name, f"nn.Conv2d({words})")
        if has_norm:
            yield Entry(f"{name}.norm", f"BatchNorm({width}, 1e-05, 0.1)")
        pooled = network.pooling == "each" or (network.pooling == "last" and index == len(network.widths) - 1)
        pooling = [Entry(f"{name}.pooling", "nn.MaxPool2d(2)")] if pooled else []
        activation = list(_activation(name, network.activation))
        smooth = network.activation in ("gelu", "silu")  # the others keep the order of numbers: pool first, it is less
        yield from activation + pooling if smooth else pooling + activation
        yield _Place(name)
        size = [(side + 2 * border - network.kernel + 1) // (2 if pooled else 1) for side in size]
        channels = width
    yield Entry("flatten", "Flatten()")
    yield _Place(FEATURES)
    widths = (channels * math.prod(size), *network.head)
    for index, (inputs, outputs) in enumerate(pairwise(widths)):
        yield Entry(f"head.{index}", f"nn.Linear({inputs}, {outputs})")
        yield from _activation(f"head.{index}", network.activation)
        yield _Place(f"head.{index}")
    yield Entry("output", f"nn.Linear({widths[-1]}, {task.outputs})")


def _sequential(network: Sequential, task: Task, refusals: Refusals) -> _Parts:
    shapes = {layer.name: layer.output for layer in plan_of(network, task)}
    shape = task.input_shape
    for index, layer in enumerate(network.layers):
        name, pointer = f"layers.{index}", f"/network/layers/{index}"
        module = _module_of(layer, shape)
        if module is None:
            refusals.refuse(pointer, f"a layer of type {layer.type} is not written")
        elif module:
            if isinstance(layer, Conv) and layer.kernel == 1 and layer.stride > 1:
                yield Entry(f"{name}.pixels", f"nn.AvgPool2d(1, {layer.stride})")
            yield Entry(name, module)
        if isinstance(layer, Dense | Conv):
            refusals.unless(
                layer.initialization is None, f"{pointer}/initialization", "a start of its own is not written"
            )
            yield from _activation(name, layer.activation)
        yield _Place(layer_name(layer, index))
        shape = shapes.get(layer_name(layer, index), shape)


def _module_of(layer: AnyLayer, shape: tuple[int, ...]) -> str | None:
    """The expression that makes it, empty where it needs none; None where there is none."""
    match layer:
        case Dense():
            return f"nn.Linear({shape[0]}, {layer.units}{_no_bias(not layer.bias)})"
        case Conv(groups=1):
            border = (layer.kernel - 1) // 2 if layer.padding == "same" else 0
            stride = layer.stride if layer.kernel > 1 else 1  # its pixels have been taken before
            window = f"{layer.kernel}, {stride}, {border}"
            return f"nn.Conv2d({shape[0]}, {layer.filters}, {window}{_no_bias(not layer.bias)})"
        case MaxPooling():
            return f"nn.MaxPool2d({layer.size}, {layer.stride or layer.size})"
        case AveragePooling():
            return f"nn.AvgPool2d({layer.size}, {layer.stride or layer.size})"
        case GlobalAveragePooling() if len(shape) == 3:
            return "GlobalAverage()"
        case BatchNorm():
            return f"BatchNorm({shape[0]}, {layer.epsilon}, {layer.momentum})"
        case GroupNorm():
            return f"nn.GroupNorm({layer.groups}, {shape[0]}, {layer.epsilon})"
        case LayerNorm():
            return f"nn.LayerNorm({shape}, {layer.epsilon})"
        case Flatten():
            return "Flatten()"
        case ActivationLayer():
            return ACTIVATIONS.get(layer.activation, "")
        case DropoutLayer():
            return ""
        case _:
            return None


def _activation(name: str, activation: Activation) -> Iterator[Entry]:
    if activation != "linear":
        yield Entry(f"{name}.activation", ACTIVATIONS[activation])


def _no_bias(is_so: bool) -> str:
    return ", bias=False" if is_so else ""


def _with_dropout(spec: JobSpec, task: Task, parts: _Parts, refusals: Refusals) -> Iterator[Entry]:
    acting = acting_at(spec.network, plan_of(spec.network, task), spec.regularization)
    for part in parts:
        if isinstance(part, Entry):
            yield part
            continue
        for number, technique in enumerate(acting.get(part.name, ())):
            if isinstance(technique, Dropout):
                yield Entry(f"{part.name}.dropout{number or ''}", f"Dropout({technique.rate})")
            else:
                refusals.refuse("/regularization", f"{technique.type} is not written")
