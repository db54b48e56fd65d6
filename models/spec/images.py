"""Networks for images, (channels, height, width), beside those of `network`. Their output layer comes from the task."""

from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from .technique import Technique, Width

Stem = Literal["auto", "small", "large"]


class WideResnet(Technique):
    """Wide residual network: stem, three stages of pre-activation blocks, norm, ReLU, global average, output layer.

    A depth of 6n + 4 has three stages of n blocks with 16, 32 and 64 channels times `widen_factor`; a block is norm →
    ReLU → 3 × 3 convolution, twice, beside a shortcut that is a 1 × 1 convolution where the number of channels changes.
    Layers are called `stem`, `stages.0.0.conv1`, `stages.0.0.conv2`, `stages.0.0.shortcut`, …, `features`, `output`.
    The paper's dropout stands after `stages.*.*.conv1`.

    Formula: x ← shortcut(x) + W₂ ∗ relu(norm(W₁ ∗ relu(norm(x)))).

    Reference: Zagoruyko & Komodakis 2016, "Wide residual networks", arXiv:1605.07146.
    """

    type: Literal["wide_resnet"] = "wide_resnet"
    depth: Annotated[int, Field(ge=10, le=100)] = 16
    """6n + 4: 10, 16, 22, 28, 34, 40, …"""
    widen_factor: Annotated[int, Field(ge=1, le=64)] = 4

    @field_validator("depth")
    @classmethod
    def _depth_is_built(cls, depth: int) -> int:
        if depth % 6 != 4:
            nearest = max(10, 6 * round((depth - 4) / 6) + 4)
            raise PydanticCustomError("depth", "A depth is 6n + 4, as {nearest} is", {"nearest": nearest})
        return depth


class Vgg(Technique):
    """VGG: five stages of 3 × 3 convolutions (64, 128, 256, 512, 512 channels), each followed by a 2 × 2 max-pooling.

    The `classic` head averages to 7 × 7 and has two dense layers of 4,096; the `small` one averages over each channel.
    Images need at least 32 × 32 pixels. Layers are called `stages.0.0`, …, `features`, (`head.0`, `head.1`,) `output`.
    Before a batch norm a convolution has no bias.

    Formula: h = relu(norm(W ∗ h + b)) for every convolution.

    Reference: Simonyan & Zisserman 2015, "Very deep convolutional networks for large-scale image recognition",
    arXiv:1409.1556.
    """

    type: Literal["vgg"] = "vgg"
    depth: Literal[11, 13, 16, 19] = 16
    """Layers with weights, when the head is the classic one."""
    norm: Literal["none", "batch"] = "batch"
    head: Literal["small", "classic"] = "small"


class Convnext(Technique):
    """ConvNeXt: a stem, stages of blocks with a norm and a 2 × 2 convolution of stride 2 between them, global average,
    norm, output layer.

    A block is depthwise 7 × 7 convolution → layer norm → dense to four times the width → GELU → dense back → a learned
    scale per channel that starts at 10⁻⁶, and is added to its input. The large stem is a 4 × 4 convolution of stride 4,
    the small one 3 × 3 of stride 1; a norm follows either. Layers are called `stem`, `stages.0.0.depthwise`,
    `stages.0.0.expand`, `stages.0.0.contract`, …, `downsamples.0`, …, `features`, `output`.

    Formula: x ← x + scale ⊙ W₂ · gelu(W₁ · norm(depthwise(x))).

    Reference: Liu et al. 2022, "A ConvNet for the 2020s", arXiv:2201.03545; the sizes below tiny are those of Woo et
    al. 2023, arXiv:2301.00808.
    """

    type: Literal["convnext"] = "convnext"
    size: Literal["atto", "femto", "pico", "nano", "tiny", "small", "base", "large"] = "tiny"
    """The published size, which gives depths and widths."""
    depths: Annotated[tuple[Annotated[int, Field(ge=1, le=64)], ...], Field(min_length=1, max_length=6)] | None = None
    """Blocks of each stage; as `size` says unless given."""
    widths: Annotated[tuple[Width, ...], Field(min_length=1, max_length=6)] | None = None
    """Channels of each stage; as `size` says unless given."""
    stem: Stem = "auto"
    """`auto` is `large` where the shorter side of the images has at least 96 pixels; a resolved spec says which."""

    @model_validator(mode="after")
    def _stages_agree(self) -> Self:
        depths, widths = len(self.depths or range(4)), len(self.widths or range(4))
        if depths != widths:
            raise PydanticCustomError(
                "stages",
                "{depths} depths and {widths} widths: one of each for every stage (a size has four)",
                {"depths": depths, "widths": widths},
            )
        return self


class Vit(Technique):
    """Vision transformer: patches, learned positions, pre-norm encoder blocks, norm, pooling, output layer.

    A block is norm → attention → add, norm → dense → GELU → dense → add. The published Ti/16 has width 192, depth 12
    and 3 heads on patches of 16 × 16. Layers are called `patches`, `class_token`, `positions`,
    `blocks.0.query_key_value`, `blocks.0.projection`, `blocks.0.expand`, `blocks.0.contract`, …, `features`, `output`.

    Formula: x ← x + attention(norm(x)), x ← x + W₂ · gelu(W₁ · norm(x)), with softmax(Q · Kᵀ / √d) · V in every head.

    Reference: Dosovitskiy et al. 2021, "An image is worth 16x16 words", arXiv:2010.11929.
    """

    type: Literal["vit"] = "vit"
    patch: Annotated[int, Field(ge=1, le=64)] | None = None
    """Side of a patch in pixels, which divides both sides of the images: unless said, 16 where the shorter side has at
    least 96 pixels, else 4.
    """
    width: Width = 192
    depth: Annotated[int, Field(ge=1, le=100)] = 12
    """Encoder blocks."""
    heads: Annotated[int, Field(ge=1, le=256)] = 3
    """Attention heads; they divide the width."""
    mlp_ratio: Annotated[float, Field(gt=0.0, le=16.0)] = 4.0
    """Width of a block's hidden dense layer over `width`, to the nearest whole number."""
    pooling: Literal["class", "mean"] = "class"
    """What the output layer sees: a class token of its own, or the mean of the patches."""

    @model_validator(mode="after")
    def _heads_divide(self) -> Self:
        check_heads(self.width, self.heads)
        return self


def check_heads(width: int, heads: int) -> None:
    """Raises where the width cannot be shared out among the heads."""
    if width % heads:
        raise PydanticCustomError(
            "heads", "A width of {width} cannot be shared out among {heads} heads", {"width": width, "heads": heads}
        )
