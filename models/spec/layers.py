"""The network as a list of layers with their shapes and parameters, worked out without building it.

The engine's real network has exactly these layers, names and parameter counts.
"""

from collections.abc import Iterator, Sequence
from itertools import repeat
from typing import Literal, assert_never

from .image_layers import (
    VGG_DEPTHS,
    convnext_stages,
    plan_convnext,
    plan_vgg,
    plan_vit,
    plan_wide_resnet,
    stem_of,
    wide_resnet_blocks,
)
from .images import Convnext, Vgg, Vit, WideResnet
from .network import (
    BOTTLENECK_DEPTHS,
    LARGE_DEPTHS,
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
from .plan import FEATURES, Plan, PlannedLayer, Shape, ShapeMismatch
from .regularization import Dropout
from .sequence_layers import encoder_places, plan_recurrent, plan_transformer
from .sequences import Gru, Lstm, Rnn, Transformer
from .task import Task

SMALL_IMAGE = 32
"""Up to this longer side (pixels), a cnn pools once unless the spec says otherwise."""


READ_TOKENS = Sequential | Rnn | Lstm | Gru | Transformer


def plan_of(network: Network, task: Task) -> tuple[PlannedLayer, ...]:
    """Every layer of this task's network."""
    return layers_of(network, task.input_shape, task.outputs, task.vocabulary)


def layers_of(network: Network, input_shape: Shape, outputs: int, vocabulary: int = 0) -> tuple[PlannedLayer, ...]:
    """Every layer from the input to the logits. Raises ShapeMismatch at the first one that does not fit.

    `input_shape` is (channels, height, width), (features,), or (tokens,) where there is a vocabulary of tokens.
    `outputs` is the width of the output layer; a `sequential` has its own.
    """
    if vocabulary and not isinstance(network, READ_TOKENS):
        readers = "an lstm, gru, rnn or transformer"
        detail = f"`{network.type}` does not read tokens: read the text as multi_hot, or take {readers}"
        raise ShapeMismatch("/network", detail)
    plan = Plan(input_shape, vocabulary)
    match network:
        case Sequential():
            _sequential(plan, network)
        case Mlp():
            _mlp(plan, network, outputs)
        case Cnn():
            _cnn(plan, network, outputs)
        case Resnet():
            _resnet(plan, network, outputs)
        case WideResnet():
            plan_wide_resnet(plan, network, outputs)
        case Vgg():
            plan_vgg(plan, network, outputs)
        case Convnext():
            plan_convnext(plan, network, outputs)
        case Vit():
            plan_vit(plan, network, outputs)
        case Rnn() | Lstm() | Gru():
            plan_recurrent(plan, network, outputs)
        case Transformer():
            plan_transformer(plan, network, outputs)
        case _:
            assert_never(network)
    return tuple(plan.layers)


def resnet_width(network: Resnet) -> int:
    """Channels of the first stage."""
    if network.width is not None:
        return network.width
    return 64 if network.depth in LARGE_DEPTHS else 16


def resnet_blocks(depth: int) -> tuple[int, ...]:
    """How many blocks each stage has."""
    match depth:
        case 18:
            return (2, 2, 2, 2)
        case 34 | 50:
            return (3, 4, 6, 3)
        case 101:
            return (3, 4, 23, 3)
        case 152:
            return (3, 8, 36, 3)
        case _:
            return ((depth - 2) // 6,) * 3


def block_names(blocks: Sequence[int]) -> Iterator[str]:
    """The blocks of stages with so many blocks each."""
    for stage, count in enumerate(blocks):
        yield from (f"stages.{stage}.{block}" for block in range(count))


def cnn_pooling(network: Cnn, input_shape: Shape) -> Literal["each", "last", "none"]:
    """Where a cnn pools images of this (channels, height, width)."""
    if network.pooling != "auto":
        return network.pooling
    return "last" if max(input_shape[1:], default=0) <= SMALL_IMAGE else "each"


def layer_name(layer: AnyLayer, index: int) -> str:
    """What a layer of a `sequential` is called."""
    return layer.name or f"layers.{index}"


def kernel_names(network: Network) -> tuple[str, ...]:
    """The layers whose kernels a penalty may target."""
    match network:
        case Sequential(layers=layers):
            return tuple(
                layer_name(layer, index) for index, layer in enumerate(layers) if isinstance(layer, KernelLayer)
            )
        case Mlp(hidden=hidden):
            return (*(f"hidden.{index}" for index in range(len(hidden))), "output")
        case Cnn(widths=widths, head=head):
            convolutions = (f"convolutions.{index}" for index in range(len(widths)))
            return (*convolutions, *(f"head.{index}" for index in range(len(head))), "output")
        case Resnet() | WideResnet() | Vgg() | Convnext():
            return _planned_kernels(network, (3, 2048, 2048))
        case Vit(patch=patch):
            return _planned_kernels(network, (3, patch or 16, patch or 16))
        case Rnn() | Lstm() | Gru() | Transformer():
            return _planned_kernels(network.model_copy(update={"sequence_length": 1, "embedding": None}), (1,))
        case _:
            assert_never(network)


def _planned_kernels(network: Network, input_shape: Shape) -> tuple[str, ...]:
    """The layers with kernels, which are the same for inputs of any shape that fits."""
    return tuple(layer.name for layer in layers_of(network, input_shape, 1) if layer.kernel)


def dropout_places(network: Network) -> tuple[str, ...]:
    """After which layers a dropout may stand: behind their activation.

    `features` is what the convolutions give: the last pooling of a cnn, the global average of a resnet.
    """
    match network:
        case Sequential(layers=layers):
            return tuple(layer_name(layer, index) for index, layer in enumerate(layers[:-1]))
        case Mlp():
            return kernel_names(network)[:-1]
        case Cnn():
            return (*kernel_names(network)[:-1], FEATURES)
        case Resnet():
            return ("stem", *block_names(resnet_blocks(network.depth)), FEATURES)
        case WideResnet():
            blocks = block_names(wide_resnet_blocks(network))
            return ("stem", *(place for block in blocks for place in (f"{block}.conv1", block)), FEATURES)
        case Vgg():
            head = ("head.0", "head.1") if network.head == "classic" else ()
            return (*block_names(VGG_DEPTHS[network.depth]), FEATURES, *head)
        case Convnext():
            return ("stem", *block_names(convnext_stages(network)[0]), FEATURES)
        case Vit():
            return ("patches", *encoder_places(network.depth), FEATURES)
        case Transformer():
            return ("embedding", *encoder_places(network.depth), FEATURES)
        case Rnn(embedding=width) | Lstm(embedding=width) | Gru(embedding=width):
            embedding = () if width is None else ("embedding",)
            return (*embedding, *(f"layers.{index}" for index in range(network.layers)), FEATURES)
        case _:
            assert_never(network)


def dropout_after(network: Network, dropout: Dropout) -> tuple[str, ...]:
    """The layers after which this dropout stands: those it names, or the hidden ones of the head."""
    if dropout.after != "head":
        return dropout.after
    match network:
        case Sequential(layers=layers):
            dense = [layer_name(layer, index) for index, layer in enumerate(layers) if isinstance(layer, Dense)]
            return tuple(dense[:-1])
        case Mlp():
            return dropout_places(network)
        case Cnn(head=head):
            return tuple(f"head.{index}" for index in range(len(head))) or (FEATURES,)
        case Vgg(head="classic"):
            return ("head.0", "head.1")
        case Resnet() | WideResnet() | Vgg() | Convnext() | Vit() | Rnn() | Lstm() | Gru() | Transformer():
            return (FEATURES,)
        case _:
            assert_never(network)


def _mlp(plan: Plan, network: Mlp, outputs: int) -> None:
    if len(plan.shape) > 1:
        plan.flatten("flatten")
    for index, width in enumerate(network.hidden):
        name = f"hidden.{index}"
        plan.dense(name, width, network.norm != "batch", f"/network/hidden/{index}")
        if network.norm == "batch":
            plan.batch_norm(f"{name}.norm")
        elif network.norm == "layer":
            plan.layer_norm(f"{name}.norm")
        plan.activate(f"{name}.activation", network.activation)
    plan.dense("output", outputs, True, "/network")


def _cnn(plan: Plan, network: Cnn, outputs: int) -> None:
    pooling = cnn_pooling(network, plan.shape)
    for index, width in enumerate(network.widths):
        name, pointer = f"convolutions.{index}", f"/network/widths/{index}"
        plan.conv(name, width, network.kernel, 1, network.padding, network.norm == "none", pointer)
        if network.norm == "batch":
            plan.batch_norm(f"{name}.norm")
        plan.activate(f"{name}.activation", network.activation)
        if pooling == "each" or (pooling == "last" and index == len(network.widths) - 1):
            plan.pool(f"{name}.pooling", 2, 2, pointer)
    plan.flatten(FEATURES)
    for index, width in enumerate(network.head):
        plan.dense(f"head.{index}", width, True, f"/network/head/{index}")
        plan.activate(f"head.{index}.activation", network.activation)
    plan.dense("output", outputs, True, "/network")


def _resnet(plan: Plan, network: Resnet, outputs: int) -> None:
    width = resnet_width(network)
    large = stem_of(network.stem, plan.shape) == "large"
    pointer = "/network/depth"
    plan.conv("stem", width, 7 if large else 3, 2 if large else 1, "same", False, pointer)
    plan.batch_norm("stem.norm")
    plan.activate("stem.activation", "relu")
    if large:
        plan.pool("stem.pooling", 3, 2, pointer, pad=1)
    for stage, blocks in enumerate(resnet_blocks(network.depth)):
        for block in range(blocks):
            stride = 2 if stage > 0 and block == 0 else 1
            _block(plan, f"stages.{stage}.{block}", width * 2**stage, stride, network.depth in BOTTLENECK_DEPTHS)
    plan.global_pool(FEATURES, pointer)
    plan.dense("output", outputs, True, "/network")


def _block(plan: Plan, name: str, width: int, stride: int, bottleneck: bool) -> None:
    """One residual block: (channels, h, w) → (width, or 4 · width behind a bottleneck; h / stride, w / stride)."""
    entry = plan.shape
    convolutions = (
        [(width, 1, 1), (width, 3, stride), (4 * width, 1, 1)] if bottleneck else [(width, 3, stride), (width, 3, 1)]
    )
    for index, (filters, kernel, step) in enumerate(convolutions, start=1):
        plan.conv(f"{name}.conv{index}", filters, kernel, step, "same", False, "/network/depth")
        plan.batch_norm(f"{name}.norm{index}")
        if index < len(convolutions):
            plan.activate(f"{name}.activation{index}", "relu")
    if entry != plan.shape:
        exit_, plan.shape = plan.shape, entry
        plan.conv(f"{name}.shortcut", exit_[0], 1, stride, "valid", False, "/network/depth")
        plan.batch_norm(f"{name}.shortcut.norm")
    plan.layers.append(PlannedLayer(f"{name}.sum", "sum", plan.shape))
    plan.activate(f"{name}.activation", "relu")


def _sequential(plan: Plan, network: Sequential) -> None:
    if plan.vocabulary and not isinstance(network.layers[0], Embedding):
        detail = "The inputs are tokens, which only an `embedding` reads: put one first"
        raise ShapeMismatch("/network/layers/0", detail)
    for index, layer in enumerate(network.layers):
        _layer(plan, layer, layer_name(layer, index), f"/network/layers/{index}")


def _layer(plan: Plan, layer: AnyLayer, name: str, pointer: str) -> None:
    match layer:
        case Dense():
            plan.dense(name, layer.units, layer.bias, pointer)
            plan.activate(f"{name}.activation", layer.activation)
        case DepthwiseConv():
            channels, window = plan.shape[0], (layer.kernel, layer.stride, layer.padding)
            plan.conv(name, channels * layer.multiplier, *window, layer.bias, pointer, channels)
            plan.activate(f"{name}.activation", layer.activation)
        case Embedding():
            plan.embed(name, layer.width, pointer)
        case Conv():
            window = (layer.kernel, layer.stride, layer.padding)
            plan.conv(name, layer.filters, *window, layer.bias, pointer, layer.groups)
            plan.activate(f"{name}.activation", layer.activation)
        case MaxPooling() | AveragePooling():
            plan.pool(name, layer.size, layer.stride or layer.size, pointer)
        case GlobalAveragePooling() | GlobalMaxPooling():
            plan.global_pool(name, pointer)
        case BatchNorm() | LayerNorm() | GroupNorm() if len(plan.shape) == 2:
            detail = f"`{name}` takes images or vectors and gets a sequence: pool or flatten it first"
            raise ShapeMismatch(pointer, detail)
        case BatchNorm():
            plan.batch_norm(name)
        case LayerNorm():
            plan.layer_norm(name)
        case GroupNorm():
            if plan.shape[0] % layer.groups:
                detail = f"`{name}` has {layer.groups} groups, which do not divide the {plan.shape[0]} channels it gets"
                raise ShapeMismatch(f"{pointer}/groups", detail)
            plan.norm_of(name, plan.shape[0])
        case DropoutLayer():
            plan.layers.append(PlannedLayer(name, "dropout", plan.shape))
        case Flatten():
            plan.flatten(name)
        case ActivationLayer():
            plan.activate(name, layer.activation)
        case _:
            assert_never(layer)


def activations_of(network: Network) -> Iterator[Activation]:
    """Every activation that the network applies, in order."""
    match network:
        case Sequential(layers=layers):
            for layer in layers:
                if isinstance(layer, KernelLayer | ActivationLayer) and layer.activation != "linear":
                    yield layer.activation
        case Mlp(activation=activation, hidden=hidden):
            yield from repeat(activation, len(hidden))
        case Cnn(activation=activation, widths=widths, head=head):
            yield from repeat(activation, len(widths) + len(head))
        case Resnet(depth=depth):
            yield from repeat("relu", depth - 1)
        case WideResnet(depth=depth):
            yield from repeat("relu", depth - 3)
        case Vgg(depth=depth, head=head):
            yield from repeat("relu", depth - 1 if head == "classic" else depth - 3)
        case Convnext():
            yield from repeat("gelu", sum(convnext_stages(network)[0]))
        case Vit(depth=depth) | Transformer(depth=depth):
            yield from repeat("gelu", depth)
        case Rnn(activation=activation, layers=count):
            yield from repeat(activation, count)
        case Lstm(layers=count) | Gru(layers=count):
            yield from repeat("tanh", count)
        case _:
            assert_never(network)
