"""The network. `mlp`, `cnn` and `resnet` get their output layer from the task; a `sequential` author writes it, without
an activation.

Shapes are (channels, height, width) for images and (features,) for vectors.
"""

from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from .images import Convnext, Vgg, Vit, WideResnet
from .initialization import LayerInitialization
from .regularization import LayerRegularization
from .sequences import Gru, Lstm, Rnn, Transformer
from .technique import MAX_LAYERS, MAX_WIDTH, LayerName, Rate, Technique, Width

Activation = Literal["relu", "leaky_relu", "elu", "selu", "gelu", "silu", "tanh", "sigmoid", "linear"]
"""`leaky_relu` has slope 0.01; `gelu` is the exact one; `linear` is none."""

KernelSize = Annotated[int, Field(ge=1, le=31, description="Side of the window, in pixels.")]
Stride = Annotated[int, Field(ge=1, le=31, description="From one window to the next, in pixels.")]
Padding = Annotated[
    Literal["same", "valid"],
    Field(description="`same`: (kernel − 1) / 2 pixels of zeros on each side, for odd kernels; `valid`: none."),
]
"""`same`: (kernel − 1) / 2 pixels of zeros on each side, for odd kernels; `valid`: none."""


class Layer(Technique):
    """What every layer has."""

    name: LayerName | None = None
    """What `target` and `after` may call it; else `layers.` and its place in the list, counted from 0."""


class Dense(Layer):
    """Fully connected: activation(W · x + b), (features,) → (units,).

    Reference: Keras's `Dense`; Rumelhart et al. 1986.
    """

    type: Literal["dense"] = "dense"
    units: Width
    activation: Activation = "linear"
    bias: bool = True
    """Whether b is added."""
    initialization: LayerInitialization | None = None
    """Of this layer, instead of the job's."""
    regularization: Annotated[tuple[LayerRegularization, ...], Field(max_length=8)] = ()
    """Of this layer's kernel, besides the job's."""


class Conv(Layer):
    """Two-dimensional convolution, then activation: (channels, h, w) → (filters, h', w') with h' = floor((h + 2 · pad −
    kernel) / stride) + 1.

    Reference: LeCun et al. 1998, "Gradient-based learning applied to document recognition"; Dumoulin & Visin 2016,
    arXiv:1603.07285.
    """

    type: Literal["conv"] = "conv"
    filters: Width
    kernel: KernelSize = 3
    stride: Stride = 1
    padding: Padding = "same"
    groups: Annotated[int, Field(ge=1, le=MAX_WIDTH)] = 1
    """Each group of filters sees its own group of channels; as many as channels make the convolution depthwise. They
    divide both.
    """
    activation: Activation = "linear"
    bias: bool = True
    """Whether b is added."""
    initialization: LayerInitialization | None = None
    """Of this layer, instead of the job's."""
    regularization: Annotated[tuple[LayerRegularization, ...], Field(max_length=8)] = ()
    """Of this layer's kernel, besides the job's."""

    @model_validator(mode="after")
    def _same_is_symmetric(self) -> Self:
        _check_symmetric(self.kernel, self.padding)
        return self

    @model_validator(mode="after")
    def _groups_divide(self) -> Self:
        if self.filters % self.groups:
            raise PydanticCustomError(
                "groups",
                "{filters} filters cannot be shared out among {groups} groups",
                {"filters": self.filters, "groups": self.groups},
            )
        return self


class DepthwiseConv(Layer):
    """Depthwise convolution, then activation: each channel is seen by `multiplier` filters of its own, (channels, h, w)
    → (channels · multiplier, h', w') with h' = floor((h + 2 · pad − kernel) / stride) + 1. With a `conv` of kernel 1
    behind it, it is a separable convolution.

    Reference: Chollet 2017, "Xception: deep learning with depthwise separable convolutions", arXiv:1610.02357.
    """

    type: Literal["depthwise_conv"] = "depthwise_conv"
    multiplier: Annotated[int, Field(ge=1, le=64)] = 1
    """Filters of each channel."""
    kernel: KernelSize = 3
    stride: Stride = 1
    padding: Padding = "same"
    activation: Activation = "linear"
    bias: bool = True
    """Whether b is added."""
    initialization: LayerInitialization | None = None
    """Of this layer, instead of the job's."""
    regularization: Annotated[tuple[LayerRegularization, ...], Field(max_length=8)] = ()
    """Of this layer's kernel, besides the job's."""

    @model_validator(mode="after")
    def _same_is_symmetric(self) -> Self:
        _check_symmetric(self.kernel, self.padding)
        return self


class Embedding(Layer):
    """A row of numbers for each token of a text, (tokens,) → (tokens, width), learned; 0 for padding. It comes first,
    and a global pooling, which does not see the padding, or a `flatten` follows.

    Reference: Bengio et al. 2003, "A neural probabilistic language model".
    """

    type: Literal["embedding"] = "embedding"
    width: Width
    initialization: LayerInitialization | None = None
    """Of this layer: N(0, 1) unless said, whatever the job's."""


class MaxPooling(Layer):
    """The largest value of each window of size × size; no padding: h' = floor((h − size) / stride) + 1.

    Reference: Dumoulin & Visin 2016, "A guide to convolution arithmetic for deep learning", arXiv:1603.07285.
    """

    type: Literal["max_pooling"] = "max_pooling"
    size: KernelSize = 2
    stride: Stride | None = None
    """As `size` unless said."""


class AveragePooling(Layer):
    """The mean of each window of size × size; no padding: h' = floor((h − size) / stride) + 1.

    Reference: Dumoulin & Visin 2016, "A guide to convolution arithmetic for deep learning", arXiv:1603.07285.
    """

    type: Literal["average_pooling"] = "average_pooling"
    size: KernelSize = 2
    stride: Stride | None = None
    """As `size` unless said."""


class GlobalAveragePooling(Layer):
    """The mean of each channel: (channels, h, w) → (channels,); of tokens over those that are no padding: (tokens,
    features) → (features,).

    Formula: y_c = Σ x_c / (h · w).

    Reference: Lin et al. 2013, "Network in network", arXiv:1312.4400.
    """

    type: Literal["global_average_pooling"] = "global_average_pooling"


class GlobalMaxPooling(Layer):
    """The largest value of each channel: (channels, h, w) → (channels,); of tokens over those that are no padding:
    (tokens, features) → (features,).

    Formula: y_c = max x_c.

    Reference: Oquab et al. 2015, "Is object localization for free?".
    """

    type: Literal["global_max_pooling"] = "global_max_pooling"


class GroupNorm(Layer):
    """Group normalization: over the channels of a group and all pixels of an example, with a scale and a shift per
    channel. The same in training and evaluation, whatever the batch.

    Formula: y = scale · (x − mean) / √(variance + epsilon) + shift.

    Reference: Wu & He 2018, arXiv:1803.08494.
    """

    type: Literal["group_norm"] = "group_norm"
    groups: Annotated[int, Field(ge=1, le=MAX_WIDTH)] = 32
    """They divide the channels."""
    epsilon: Annotated[float, Field(gt=0.0, le=1.0)] = 1e-5
    """Added to the variance."""


class BatchNorm(Layer):
    """Batch normalization over each channel or feature; running ← (1 − momentum) · running + momentum · batch.

    Formula: y = scale · (x − mean) / √(variance + epsilon) + shift.

    Reference: Ioffe & Szegedy 2015, arXiv:1502.03167.
    """

    type: Literal["batch_norm"] = "batch_norm"
    momentum: Annotated[float, Field(gt=0.0, le=1.0)] = 0.1
    epsilon: Annotated[float, Field(gt=0.0, le=1.0)] = 1e-5
    """Added to the variance."""


class LayerNorm(Layer):
    """Layer normalization over all features of an example, with one scale and shift per feature (of an image: per
    channel, row and column).

    Formula: y = scale · (x − mean) / √(variance + epsilon) + shift.

    Reference: Ba et al. 2016, arXiv:1607.06450.
    """

    type: Literal["layer_norm"] = "layer_norm"
    epsilon: Annotated[float, Field(gt=0.0, le=1.0)] = 1e-5
    """Added to the variance."""


class DropoutLayer(Layer):
    """Inverted dropout at this place: in training each value is 0 with probability rate, else divided by 1 − rate.

    Formula: y = m ⊙ x / (1 − rate), with m = 1 with probability 1 − rate and else 0.

    Reference: Srivastava et al. 2014, "Dropout: a simple way to prevent neural networks from overfitting".
    """

    type: Literal["dropout"] = "dropout"
    rate: Rate = 0.5


class Flatten(Layer):
    """(channels, h, w) → (channels · h · w,), (tokens, features) → (tokens · features,).

    Reference: Keras's `Flatten`.
    """

    type: Literal["flatten"] = "flatten"


class ActivationLayer(Layer):
    """The activation alone.

    Formula: y = activation(x): max(0, x) for `relu`, x · Φ(x) for `gelu`, x · σ(x) for `silu`.

    Reference: Nair & Hinton 2010 for `relu`; Hendrycks & Gimpel 2016, arXiv:1606.08415, for `gelu`; Klambauer et al.
    2017, arXiv:1706.02515, for `selu`.
    """

    type: Literal["activation"] = "activation"
    activation: Activation = "relu"


KernelLayer = Dense | Conv | DepthwiseConv
"""What has a kernel and an activation."""

AnyLayer = Annotated[
    Dense
    | Conv
    | DepthwiseConv
    | Embedding
    | MaxPooling
    | AveragePooling
    | GlobalAveragePooling
    | GlobalMaxPooling
    | BatchNorm
    | GroupNorm
    | LayerNorm
    | DropoutLayer
    | Flatten
    | ActivationLayer,
    Field(discriminator="type"),
]


class Sequential(Technique):
    """Layers one after another, as in Keras. The last one gives the logits (one per class; one for
    binary_cross_entropy) or the regression outputs.

    Formula: y = f_n(… f_2(f_1(x))).

    Reference: Keras's `Sequential`.
    """

    type: Literal["sequential"] = "sequential"
    layers: Annotated[tuple[AnyLayer, ...], Field(min_length=1, max_length=MAX_LAYERS)]
    """From the input to the output: any of the family `layer`."""

    @field_validator("layers")
    @classmethod
    def _names_differ(cls, layers: tuple[AnyLayer, ...]) -> tuple[AnyLayer, ...]:
        names = [layer.name or f"layers.{index}" for index, layer in enumerate(layers)]
        if len(set(names)) < len(names):
            raise PydanticCustomError("duplicate_name", "Two layers have the same name")
        return layers


class Mlp(Technique):
    """Dense layers: for each width dense → norm → activation, then the output layer. Images are flattened first.

    Layers are called `hidden.0`, `hidden.1`, …, `output`. Before a batch norm a dense layer has no bias.

    Formula: h = activation(norm(W · h + b)) for every hidden layer, y = W · h + b.

    Reference: Rumelhart et al. 1986.
    """

    type: Literal["mlp"] = "mlp"
    hidden: Annotated[tuple[Width, ...], Field(max_length=MAX_LAYERS)] = (128, 128)
    """The width of each hidden layer; none makes a linear model."""
    activation: Activation = "relu"
    norm: Literal["none", "batch", "layer"] = "none"


class Cnn(Technique):
    """Convolutions, pooling, dense layers: for each width conv → norm → activation, then flatten, the dense head, the
    output layer.

    A max-pooling of 2 × 2 stands after each convolution (`pooling: "each"`), after the last one (`"last"`) or nowhere
    (`"none"`). Layers are called `convolutions.0`, …, `head.0`, …, `output`. The norm is for the convolutions, which
    then have no bias.

    Formula: h = pool(activation(norm(W ∗ h + b))) for every convolution, with ∗ the cross-correlation.

    Reference: LeCun et al. 1998.
    """

    type: Literal["cnn"] = "cnn"
    widths: Annotated[tuple[Width, ...], Field(min_length=1, max_length=MAX_LAYERS)] = (32, 64)
    """The channels of each convolution."""
    head: Annotated[tuple[Width, ...], Field(max_length=MAX_LAYERS)] = (128,)
    """The width of each hidden dense layer."""
    norm: Literal["none", "batch"] = "none"
    activation: Activation = "relu"
    kernel: KernelSize = 3
    padding: Padding = "valid"
    pooling: Literal["auto", "each", "last", "none"] = "auto"
    """`auto` is `last` for images of up to 32 pixels and `each` for larger ones; a resolved spec says which."""

    @model_validator(mode="after")
    def _same_is_symmetric(self) -> Self:
        _check_symmetric(self.kernel, self.padding)
        return self


SMALL_DEPTHS = (8, 14, 20, 26, 32, 38, 44, 56, 62, 68, 74, 80, 86, 92, 98, 104, 110)
"""6n + 2: three stages of n basic blocks."""
BOTTLENECK_DEPTHS = (50, 101, 152)
"""Four stages of bottlenecks: (3, 4, 6, 3), (3, 4, 23, 3) and (3, 8, 36, 3)."""
LARGE_DEPTHS = (18, 34, *BOTTLENECK_DEPTHS)
"""Four stages: 18 and 34 of basic blocks, (2, 2, 2, 2) and (3, 4, 6, 3)."""


class Resnet(Technique):
    """Residual network: stem, stages of residual blocks, global average, output layer.

    Depths 6n + 2 (8, 14, 20, … 110, but not 50) have three stages of n basic blocks, with width, 2 · width and 4 ·
    width channels; 18 and 34 have four stages of basic blocks, 50, 101 and 152 of bottlenecks (stride in the 3 × 3,
    four times the width at the end). Where the shape changes, the shortcut is a 1 × 1 convolution with a norm. The
    small stem is a 3 × 3 convolution; the large one 7 × 7 with stride 2 and a 3 × 3 max-pooling with stride 2. Layers
    are called `stem`, `stages.0.0.conv1`, `stages.0.0.conv2`, (`conv3`,) `stages.0.0.shortcut`, …, `features`,
    `output`.

    Reference: He et al. 2016, "Deep residual learning for image recognition", arXiv:1512.03385.
    """

    type: Literal["resnet"] = "resnet"
    depth: Annotated[int, Field(json_schema_extra={"enum": sorted({*SMALL_DEPTHS, *LARGE_DEPTHS})})] = 20
    """Layers with weights."""
    width: Width | None = None
    """Channels of the first stage: 16 for depths 6n + 2 and 64 for 18, 34, 50, 101 and 152 unless said."""
    stem: Literal["auto", "small", "large"] = "auto"
    """`auto` is `large` where the shorter side of the images has at least 96 pixels; a resolved spec says which."""

    @field_validator("depth")
    @classmethod
    def _depth_is_built(cls, depth: int) -> int:
        if depth not in SMALL_DEPTHS and depth not in LARGE_DEPTHS:
            allowed = sorted((*SMALL_DEPTHS, *LARGE_DEPTHS))
            raise PydanticCustomError("depth", "A depth is one of {allowed}", {"allowed": ", ".join(map(str, allowed))})
        return depth


Network = Annotated[
    Sequential | Mlp | Cnn | Resnet | WideResnet | Vgg | Convnext | Vit | Rnn | Lstm | Gru | Transformer,
    Field(discriminator="type"),
]


def _check_symmetric(kernel: int, padding: Padding) -> None:
    if padding == "same" and kernel % 2 == 0:
        raise PydanticCustomError("even_kernel", "`same` padding needs an odd kernel")
