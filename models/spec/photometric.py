"""Augmentations that change what pixels show, not where they are. Pixels count from 0 to 255 and stay there."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from .technique import Probability
from .timed import Share, Timed, check_order

Value = Annotated[
    Literal["zero", "random"],
    Field(description="What stands in the box: what the network gets as 0, or random pixels."),
]
"""`zero` is what the network gets as 0: the mean of the training images where inputs are normalized, else black;
`random` is uniform noise for every pixel.
"""


class ColorJitter(Timed):
    """Brightness, contrast, saturation and hue changed by random amounts, in an order that is drawn for each batch.

    A factor f is uniform in [max(0, 1 − b), 1 + b] for each of the first three, and a pixel x becomes f · x + (1 − f) ·
    y, where y is black for brightness, the mean of the image's grey values for contrast, and the pixel's own grey value
    for saturation. The hue is turned by a share of the circle uniform in ±hue.

    Reference: PyTorch, `torchvision.transforms.ColorJitter`.
    """

    type: Literal["color_jitter"] = "color_jitter"
    brightness: Annotated[float, Field(ge=0.0, le=10.0)] = 0.4
    contrast: Annotated[float, Field(ge=0.0, le=10.0)] = 0.4
    saturation: Annotated[float, Field(ge=0.0, le=10.0)] = 0.0
    hue: Annotated[float, Field(ge=0.0, le=0.5)] = 0.0

    @model_validator(mode="after")
    def _something_changes(self) -> Self:
        if not (self.brightness or self.contrast or self.saturation or self.hue):
            raise PydanticCustomError("changes_nothing", "One of brightness, contrast, saturation and hue is above 0")
        return self


class Grayscale(Timed):
    """Every channel becomes 0.299 R + 0.587 G + 0.114 B (ITU-R BT.601).

    Formula: grey = 0.299 · red + 0.587 · green + 0.114 · blue.

    Reference: ITU-R BT.601; Chen et al. 2020, "A simple framework for contrastive learning of visual representations",
    arXiv:2002.05709.
    """

    type: Literal["grayscale"] = "grayscale"
    p: Probability = 0.1


class Invert(Timed):
    """x ↦ 255 − x.

    Formula: x ← 255 − x.

    Reference: Pillow's `ImageOps.invert`; Cubuk et al. 2018, arXiv:1805.09501.
    """

    type: Literal["invert"] = "invert"
    p: Probability = 0.5


class Posterize(Timed):
    """Only the `bits` highest bits of every value are kept.

    Formula: x ← ⌊x / s⌋ · s with s = 2^(8 − bits).

    Reference: Pillow's `ImageOps.posterize`; Cubuk et al. 2018, arXiv:1805.09501.
    """

    type: Literal["posterize"] = "posterize"
    p: Probability = 0.5
    bits: Annotated[int, Field(ge=1, le=7)] = 4


class Solarize(Timed):
    """x ↦ 255 − x where x is at least `threshold`.

    Formula: x ← 255 − x where x ≥ threshold.

    Reference: Pillow's `ImageOps.solarize`; Cubuk et al. 2018, arXiv:1805.09501.
    """

    type: Literal["solarize"] = "solarize"
    p: Probability = 0.5
    threshold: Annotated[float, Field(ge=0.0, le=255.0)] = 128.0


class Equalize(Timed):
    """Each channel's values are exchanged so that all grey levels become equally frequent, as Pillow's
    `ImageOps.equalize` does it.

    Formula: level → ⌊(s / 2 + pixels below it) / s⌋ with s = ⌊(pixels − those of the highest level) / 255⌋.

    Reference: Pillow's `ImageOps.equalize`; Cubuk et al. 2018, arXiv:1805.09501.
    """

    type: Literal["equalize"] = "equalize"
    p: Probability = 0.5


class GaussianBlur(Timed):
    """Blur with a Gaussian whose deviation is uniform between the two, mirrored at the edge of the image.

    Formula: weight of a pixel at the distance d ∝ exp(−d² / (2 · sigma²)).

    Reference: Chen et al. 2020, "A simple framework for contrastive learning of visual representations",
    arXiv:2002.05709.
    """

    type: Literal["gaussian_blur"] = "gaussian_blur"
    p: Probability = 0.5
    sigma: tuple[Annotated[float, Field(ge=0.05, le=64.0)], Annotated[float, Field(ge=0.05, le=64.0)]] = (0.1, 2.0)
    """The smallest and the largest deviation, in pixels."""

    @model_validator(mode="after")
    def _sigma_is_a_range(self) -> Self:
        check_order("sigma", self.sigma)
        return self


class RandomErasing(Timed):
    """A rectangle of the image is erased: its area is a share uniform in `scale`, its height over its width is
    log-uniform in `ratio`, its place is uniform. Where ten draws do not fit into the image nothing is erased.

    Formula: x = value in a box of area a · height · width and ratio r, a ~ U[scale], log r ~ U[log ratio].

    Reference: Zhong et al. 2017, "Random erasing data augmentation".
    """

    type: Literal["random_erasing"] = "random_erasing"
    p: Probability = 0.5
    scale: tuple[Share, Share] = (0.02, 0.33)
    ratio: tuple[Annotated[float, Field(ge=0.05, le=20.0)], Annotated[float, Field(ge=0.05, le=20.0)]] = (0.3, 3.3)
    value: Value = "zero"

    @model_validator(mode="after")
    def _ranges(self) -> Self:
        check_order("scale", self.scale)
        check_order("ratio", self.ratio)
        return self


class Cutout(Timed):
    """A square is erased whose centre is any pixel, so that it may hang over the edge.

    Formula: x = value in a square of `length` pixels about a pixel that is drawn.

    Reference: DeVries & Taylor 2017, "Improved regularization of convolutional neural networks with cutout" (length 16
    on CIFAR-10, 8 on CIFAR-100).
    """

    type: Literal["cutout"] = "cutout"
    length: Annotated[int, Field(ge=2, le=4096)] = 16
    """Pixels."""
    value: Value = "zero"


Photometric = ColorJitter | Grayscale | Invert | Posterize | Solarize | Equalize | GaussianBlur | RandomErasing | Cutout
