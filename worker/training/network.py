"""Networks. Parameters are named after the layers of the spec: `convolutions.0.weight`, `head.0.bias`, `output.weight`.

Images come as (examples, channels, height, width) in channels-last memory, vectors as (examples, features), texts as
tokens (examples, tokens) int64; what comes out is (examples, outputs): logits, or the values of a regression.
"""

import math
from itertools import pairwise
from typing import assert_never

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.spec.images import Convnext, Vgg, Vit, WideResnet
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
    DepthwiseConv,
    DropoutLayer,
    Embedding,
    Flatten,
    GlobalAveragePooling,
    GlobalMaxPooling,
    GroupNorm,
    KernelLayer,
    LayerNorm,
    MaxPooling,
    Mlp,
    Network,
    Resnet,
    Sequential,
)
from models.spec.places import acting_at
from models.spec.plan import FEATURES
from models.spec.sequences import Gru, Lstm, Rnn, Transformer
from models.spec.starts import branch_ends, starts_of
from models.spec.task import Task
from models.spec.words import PADDING
from worker.training import layers
from worker.training.convnext import ConvnextNetwork
from worker.training.dropout import NamedDropout
from worker.training.encoder import SequenceTransformer, VisionTransformer
from worker.training.initialization import empty_branches, initialize
from worker.training.layers import activate, flatten, is_monotone, norm_of
from worker.training.recurrent import RecurrentSequence
from worker.training.resnet import ResidualNetwork
from worker.training.vgg import VggNetwork
from worker.training.wide_resnet import WideResidualNetwork

Shape = tuple[int, ...]
"""(channels, height, width) or (features,)."""


def build_network(spec: JobSpec, task: Task, device: str = "cpu") -> nn.Module:
    """The network of a resolved spec, with its first weights; its `dropout` is a `NamedDropout`."""
    plan = plan_of(spec.network, task)
    network = outline(spec, task, device).to_empty(device=device)
    assert spec.initialization is not None
    starts = starts_of(spec.initialization, spec.network, plan)
    own = {module_name(spec.network, layer): start for layer, start in starts.items()}
    initialize(network, spec.initialization, spec.seed, own)
    if spec.initialization.zero_residual:
        empty_branches(network, (end.name for end in branch_ends(plan)))
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def on_the_same_weights(spec: JobSpec, task: Task, network: nn.Module, device: str = "cpu") -> nn.Module:
    """Another network like this one: the parameters share their memory, buffers and dropout are its own."""
    other = outline(spec, task, device)
    other.load_state_dict(network.state_dict(), assign=True)
    for buffer in other.buffers():
        buffer.data = buffer.clone()
    return other


def outline(spec: JobSpec, task: Task, device: str) -> nn.Module:
    """The network without memory for its weights."""
    dropout = NamedDropout(acting_at(spec.network, plan_of(spec.network, task), spec.regularization), device)
    with torch.device("meta"):
        return assemble(spec, task, dropout)


def assemble(spec: JobSpec, task: Task, dropout: NamedDropout) -> nn.Module:
    match spec.network:
        case Mlp():
            return MultilayerPerceptron(spec.network, task, dropout)
        case Cnn():
            return ConvolutionalNetwork(spec.network, task, dropout)
        case Resnet():
            return ResidualNetwork(spec.network, task, dropout)
        case WideResnet():
            return WideResidualNetwork(spec.network, task, dropout)
        case Vgg():
            return VggNetwork(spec.network, task, dropout)
        case Convnext():
            return ConvnextNetwork(spec.network, task, dropout)
        case Vit():
            return VisionTransformer(spec.network, task, dropout)
        case Rnn() | Lstm() | Gru():
            return RecurrentSequence(spec.network, task, dropout)
        case Transformer():
            return SequenceTransformer(spec.network, task, dropout)
        case Sequential():
            return LayerSequence(spec.network, task, dropout)
        case _:
            assert_never(spec.network)


def module_name(network: Network, layer: str) -> str:
    """What the network calls a layer, whatever its author does."""
    if not isinstance(network, Sequential):
        return layer
    names = [layer_name(one, index) for index, one in enumerate(network.layers)]
    return f"layers.{names.index(layer)}"


class MultilayerPerceptron(nn.Module):
    """For each width dense → norm → activation → dropout, then the output layer."""

    def __init__(self, spec: Mlp, task: Task, dropout: NamedDropout) -> None:
        super().__init__()
        self.activation = spec.activation
        widths = (math.prod(task.input_shape), *spec.hidden)
        self.hidden = nn.ModuleList(
            layers.Dense(inputs, outputs, spec.norm != "batch", norm_of(spec.norm, outputs))
            for inputs, outputs in pairwise(widths)
        )
        self.output = layers.Dense(widths[-1], task.outputs)
        self.dropout = dropout

    def forward(self, x: Tensor) -> Tensor:
        x = flatten(x)
        for index, dense in enumerate(self.hidden):
            x = self.dropout(activate(dense(x), self.activation), f"hidden.{index}")
        return self.output(x)  # type: ignore[no-any-return]


class ConvolutionalNetwork(nn.Module):
    """For each width convolution → norm → activation → pooling → dropout, then the dense head and the output layer."""

    def __init__(self, spec: Cnn, task: Task, dropout: NamedDropout) -> None:
        super().__init__()
        assert spec.pooling != "auto"
        self.activation = spec.activation
        channels, *size = task.input_shape
        self.convolutions = nn.ModuleList()
        self.pooled: list[bool] = []
        for index, width in enumerate(spec.widths):
            norm = norm_of(spec.norm, width)
            self.convolutions.append(
                layers.Convolution(channels, width, spec.kernel, 1, spec.padding, norm is None, norm)
            )
            pooled = spec.pooling == "each" or (spec.pooling == "last" and index == len(spec.widths) - 1)
            lost = spec.kernel - 1 if spec.padding == "valid" else 0
            size = [(side - lost) // (2 if pooled else 1) for side in size]
            self.pooled.append(pooled)
            channels = width
        widths = (channels * math.prod(size), *spec.head)
        self.head = nn.ModuleList(layers.Dense(inputs, outputs) for inputs, outputs in pairwise(widths))
        self.output = layers.Dense(widths[-1], task.outputs)
        self.dropout = dropout

    def forward(self, x: Tensor) -> Tensor:
        for index, (convolution, pooled) in enumerate(zip(self.convolutions, self.pooled, strict=True)):
            x = convolution(x)
            x = activate_and_pool(x, self.activation) if pooled else activate(x, self.activation)
            x = self.dropout(x, f"convolutions.{index}")
        x = self.dropout(flatten(x), FEATURES)
        for index, dense in enumerate(self.head):
            x = self.dropout(activate(dense(x), self.activation), f"head.{index}")
        return self.output(x)  # type: ignore[no-any-return]


def activate_and_pool(x: Tensor, activation: Activation) -> Tensor:
    """Pools first where that gives the same numbers: a quarter is left to activate."""
    if is_monotone(activation):
        return activate(F.max_pool2d(x, 2), activation)
    return F.max_pool2d(activate(x, activation), 2)


class LayerSequence(nn.Module):
    """The layers of a `sequential`, one after another, each with its activation and the dropout behind it."""

    def __init__(self, spec: Sequential, task: Task, dropout: NamedDropout) -> None:
        super().__init__()
        modules = []
        shape = task.input_shape
        for layer in spec.layers:
            module, shape = module_of(layer, shape, task.vocabulary)
            modules.append(module)
        self.layers = nn.ModuleList(modules)
        self.activations = [activation_of(layer) for layer in spec.layers]
        self.places = [layer_name(layer, index) for index, layer in enumerate(spec.layers)]
        self.dropout = dropout

    def forward(self, x: Tensor) -> Tensor:
        mask = x != PADDING if isinstance(self.layers[0], layers.Embedding) else None
        for layer, activation, place in zip(self.layers, self.activations, self.places, strict=True):
            masked = x.dim() == 3 and isinstance(layer, layers.GlobalAverage | layers.GlobalMaximum)
            x = self.dropout(activate(layer(x, mask) if masked else layer(x), activation), place)
        return x


def activation_of(layer: AnyLayer) -> Activation:
    return layer.activation if isinstance(layer, KernelLayer) else "linear"


def module_of(layer: AnyLayer, shape: Shape, vocabulary: int = 0) -> tuple[nn.Module, Shape]:
    """What computes the layer on inputs of `shape`, without its activation, and the shape behind it."""
    match layer:
        case Dense():
            return layers.Dense(shape[0], layer.units, layer.bias), (layer.units,)
        case DepthwiseConv():
            channels, window = shape[0], (layer.kernel, layer.stride, layer.padding)
            filters = channels * layer.multiplier
            border = (layer.kernel - 1) // 2 if layer.padding == "same" else 0
            places = windows(shape, layer.kernel, layer.stride, border)
            return layers.Convolution(channels, filters, *window, layer.bias, groups=channels), (filters, *places)
        case Embedding():
            return layers.Embedding(vocabulary, layer.width), (*shape, layer.width)
        case Conv():
            window = (layer.kernel, layer.stride, layer.padding)
            module = layers.Convolution(shape[0], layer.filters, *window, layer.bias, groups=layer.groups)
            border = (layer.kernel - 1) // 2 if layer.padding == "same" else 0
            return module, (layer.filters, *windows(shape, layer.kernel, layer.stride, border))
        case MaxPooling():
            stride = layer.stride or layer.size
            return nn.MaxPool2d(layer.size, stride), (shape[0], *windows(shape, layer.size, stride, 0))
        case AveragePooling():
            stride = layer.stride or layer.size
            return nn.AvgPool2d(layer.size, stride), (shape[0], *windows(shape, layer.size, stride, 0))
        case GlobalAveragePooling():
            return layers.GlobalAverage(), pooled(shape)
        case GlobalMaxPooling():
            return layers.GlobalMaximum(), pooled(shape)
        case GroupNorm():
            return nn.GroupNorm(layer.groups, shape[0], layer.epsilon), shape
        case BatchNorm():
            return layers.BatchNorm(shape[0], layer.epsilon, layer.momentum), shape
        case LayerNorm():
            return nn.LayerNorm(shape, layer.epsilon), shape
        case Flatten():
            return layers.Flattened(), (math.prod(shape),)
        case ActivationLayer():
            return layers.Activated(layer.activation), shape
        case DropoutLayer():
            return nn.Identity(), shape
        case _:
            assert_never(layer)


def pooled(shape: Shape) -> Shape:
    """Behind a global pooling of (channels, height, width) or (steps, features)."""
    return shape[-1:] if len(shape) == 2 else shape[:1]


def windows(shape: Shape, kernel: int, stride: int, border: int) -> tuple[int, ...]:
    """How many places a window has, down and across."""
    return tuple((side + 2 * border - kernel) // stride + 1 for side in shape[1:])
