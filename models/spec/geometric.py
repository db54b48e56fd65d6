"""Augmentations that move pixels. Each is a map from places of the result to places of the image."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from .technique import Probability
from .timed import Share, Timed, check_order

Degrees = Annotated[float, Field(ge=0.0, le=180.0)]
"""The angle is uniform between minus and plus this many degrees."""

Factor = Annotated[float, Field(gt=0.0, le=10.0)]

Brightness = Annotated[float, Field(ge=0.0, le=10.0)]

Ratio = Annotated[float, Field(ge=0.1, le=10.0)]

PositiveShare = Annotated[float, Field(ge=0.001, le=1.0)]

KerasShift = (
    Annotated[float, Field(ge=0.0, le=1024.0)]
    | Annotated[int, Field(ge=1, le=1024)]
    | Annotated[tuple[Annotated[float, Field(ge=0.0, le=1024.0)], ...], Field(min_length=1, max_length=64)]
)
"""As Keras takes it: a number with a point is the largest shift either way, below 1 a fraction of the side and else
pixels; a whole number n means 0, 1, … or n − 1 pixels either way; of several numbers one is taken, either way, as
fractions where all are below 1.
"""

ShearText = Annotated[str, Field(pattern=r"^[0-8]?[0-9](\.[0-9]{1,6})? ?deg$")]

ShearAmount = Annotated[float, Field(ge=0.0, le=10.0)] | ShearText
"""A number is the largest tangent (0.2: the top moves by a fifth of the height); `"10 deg"` is the largest angle.
Uniform between minus and plus it.
"""

Fill = Annotated[
    Literal["nearest", "constant", "reflect", "wrap"],
    Field(
        description="What stands beyond the edge: the nearest pixel, black, the image in the mirror, or the image anew."
    ),
]
"""What stands where the image has no pixel: its edge, black, its mirror image, its other side."""

Interpolation = Annotated[Literal["bilinear", "nearest"], Field(description="How pixels are read between pixels.")]


def shear_degrees(text: str) -> float:
    """The degrees of `"10 deg"`."""
    return float(text.removesuffix("deg").strip())


class Resampled(Timed):
    """What every geometric change has."""

    fill: Fill = "nearest"
    interpolation: Interpolation = "bilinear"


class Affine(Resampled):
    """Rotation, shift, shear and zoom in one: x ↦ R · S · Z · x + t about the centre of the image.

    The angle is uniform in ±rotation degrees, the shift in ±shift of width and height, the shear in ±shear, the zoom
    between its two factors (one draw for both axes; above 1 enlarges). Fields that are left out do nothing.

    Reference: Simard et al. 2003, "Best practices for convolutional neural networks applied to visual document
    analysis".
    """

    type: Literal["affine"] = "affine"
    rotation: Degrees = 0.0
    shift: tuple[Share, Share] = (0.0, 0.0)
    """Horizontal and vertical: the largest distance, as a share of the width and of the height."""
    shear: ShearAmount = 0.0
    """Along the horizontal axis."""
    zoom: tuple[Factor, Factor] = (1.0, 1.0)
    """The smallest and the largest factor."""

    @model_validator(mode="after")
    def _zoom_is_a_range(self) -> Self:
        check_order("zoom", self.zoom)
        return self


class Rotation(Resampled):
    """Rotation about the centre by an angle uniform in ±rotation degrees.

    Formula: (x, y) is read at (x · cos θ − y · sin θ, x · sin θ + y · cos θ) from the centre, θ ~ U[−rotation,
    rotation].

    Reference: Simard et al. 2003, "Best practices for convolutional neural networks applied to visual document
    analysis".
    """

    type: Literal["rotation"] = "rotation"
    rotation: Degrees = 10.0


class Shift(Resampled):
    """Shift by a distance uniform in ± a share of the width and of the height.

    Formula: (x, y) is read at (x + s · width, y + t · height), with s and t uniform within ± `shift`.

    Reference: LeCun et al. 1998, "Gradient-based learning applied to document recognition".
    """

    type: Literal["shift"] = "shift"
    shift: tuple[Share, Share] = (0.1, 0.1)
    """Horizontal and vertical: the largest distance, as a share of the width and of the height."""


class Shear(Resampled):
    """Shear along the horizontal axis: x ↦ x + s · y with s uniform in ±shear, or s = tan(angle) with the angle uniform
    in ± the degrees of `"10 deg"`.

    Reference: LeCun et al. 1998, "Gradient-based learning applied to document recognition".
    """

    type: Literal["shear"] = "shear"
    shear: ShearAmount = 0.2


class Zoom(Resampled):
    """Zoom about the centre by a factor uniform between the two; above 1 enlarges. One draw for both axes.

    Formula: (x, y) is read at (x / z, y / z) from the centre, z ~ U[zoom].

    Reference: LeCun et al. 1998, "Gradient-based learning applied to document recognition".
    """

    type: Literal["zoom"] = "zoom"
    zoom: tuple[Factor, Factor] = (0.8, 1.2)
    """The smallest and the largest factor."""

    @model_validator(mode="after")
    def _zoom_is_a_range(self) -> Self:
        check_order("zoom", self.zoom)
        return self


class RandomCrop(Timed):
    """A window of the image's own size, cut at a random place out of the image with `padding` pixels added on every
    side: a shift by whole pixels, uniform in ±padding down and across. No pixel is blurred.

    Formula: (x, y) is read at (x + s, y + t), with s and t whole numbers of pixels, uniform within ± padding.

    Reference: He et al. 2016, "Deep residual learning for image recognition", section 4.2 (padding 4 on CIFAR-10).
    """

    type: Literal["random_crop"] = "random_crop"
    padding: Annotated[int, Field(ge=1, le=1024)] = 4
    """Pixels."""
    fill: Fill = "constant"


class RandomResizedCrop(Resampled):
    """A box of the image, enlarged to the image's own size: its area is a share uniform in `scale`, its width over its
    height is log-uniform in `ratio`, its place is uniform; all in whole pixels. Where ten draws do not fit into the
    image, the largest box in the middle that keeps to `ratio`. On a processor large images, from 50,000 numbers on,
    become whole levels, as Pillow's do, unless more than flips is resampled with them, colours were changed before, or
    the pixels of all have a standard deviation of less than 16 levels of 255.

    Formula: a box of area a · height · width and ratio r, a ~ U[scale], log r ~ U[log ratio], becomes the image.

    Reference: Szegedy et al. 2015, "Going deeper with convolutions", section 6.
    """

    type: Literal["random_resized_crop"] = "random_resized_crop"
    scale: tuple[PositiveShare, PositiveShare] = (0.08, 1.0)
    """The smallest and the largest share of the area."""
    ratio: tuple[Ratio, Ratio] = (3 / 4, 4 / 3)

    @model_validator(mode="after")
    def _ranges(self) -> Self:
        check_order("scale", self.scale)
        check_order("ratio", self.ratio)
        return self


class Perspective(Resampled):
    """The picture as seen from elsewhere: each corner is drawn towards the centre by distances uniform between 0 and
    `distortion` times half of the width and of the height, and the image is mapped onto the four new corners.

    Formula: (x, y) is read at ((a · x + b · y + c) / (g · x + h · y + 1), (d · x + e · y + f) / (g · x + h · y + 1)).

    Reference: PyTorch, `torchvision.transforms.RandomPerspective`.
    """

    type: Literal["perspective"] = "perspective"
    p: Probability = 0.5
    distortion: Annotated[float, Field(gt=0.0, le=0.65)] = 0.5
    fill: Fill = "constant"


class Elastic(Resampled):
    """Every pixel is read from a place displaced by alpha · (G_sigma * u) pixels, where u is uniform noise in ±1 and
    G_sigma a Gaussian blur with a deviation of `sigma` pixels, for rows and columns apart.

    The paper's own numbers for 28 × 28 digits are the defaults: displacements of about one pixel and a half.

    Reference: Simard, Steinkraus & Platt 2003, "Best practices for convolutional neural networks applied to visual
    document analysis".
    """

    type: Literal["elastic"] = "elastic"
    alpha: Annotated[float, Field(gt=0.0, le=10_000.0)] = 34.0
    sigma: Annotated[float, Field(ge=0.5, le=64.0)] = 4.0
    """Pixels."""


class HorizontalFlip(Timed):
    """Left and right exchanged, for a share p of the images.

    Formula: column j is read at width − 1 − j.

    Reference: Krizhevsky et al. 2012, "ImageNet classification with deep convolutional neural networks".
    """

    type: Literal["horizontal_flip"] = "horizontal_flip"
    p: Probability = 0.5


class VerticalFlip(Timed):
    """Top and bottom exchanged, for a share p of the images.

    Formula: row i is read at height − 1 − i.

    Reference: Shorten & Khoshgoftaar 2019, "A survey on image data augmentation for deep learning".
    """

    type: Literal["vertical_flip"] = "vertical_flip"
    p: Probability = 0.5


class ImageDataGenerator(Timed):
    """Keras's ImageDataGenerator by its own names and meanings: one matrix, rotation · shift · shear · zoom about the
    centre, then the channel shift, the flips and the brightness.

    Angles uniform in ±rotation_range degrees; shifts in ± a fraction of the side, or pixels; shear in ±shear_range
    (degrees, as Keras's code has it since 2017: 0.2 hardly shears; say `shear_unit: "radians"` for the older meaning);
    zoom drawn separately for each axis, and as in Keras a factor above 1 shows more (zooms out). A flip that is true
    acts on half of the images.

    Reference: Keras's `ImageDataGenerator`, `apply_affine_transform`.
    """

    type: Literal["image_data_generator"] = "image_data_generator"
    rotation_range: Degrees = 0.0
    width_shift_range: KerasShift = 0.0
    """Largest shift across: a share of the width below 1, else pixels."""
    height_shift_range: KerasShift = 0.0
    """Largest shift down: a share of the height below 1, else pixels."""
    shear_range: Annotated[float, Field(ge=0.0, le=89.0)] = 0.0
    shear_unit: Literal["degrees", "radians"] = "degrees"
    zoom_range: Annotated[float, Field(ge=0.0, lt=1.0)] | tuple[Factor, Factor] = 0.0
    """z means factors between 1 − z and 1 + z; or the two factors."""
    horizontal_flip: bool = False
    """Half of the images are turned left to right."""
    vertical_flip: bool = False
    """Half of the images are turned upside down."""
    fill_mode: Fill = "nearest"
    channel_shift_range: Annotated[float, Field(ge=0.0, le=255.0)] = 0.0
    """One number of levels (of 255) uniform in ± this is added to all channels of an image, which keeps between the
    lowest and the highest value that it had.
    """
    brightness_range: tuple[Brightness, Brightness] | None = None
    """The smallest and the largest factor of the pixels, which are whole levels up to 255 before and after, rounded
    down.
    """

    @property
    def recolors(self) -> bool:
        """Whether it does more than move pixels."""
        return self.channel_shift_range > 0.0 or self.brightness_range is not None

    @model_validator(mode="after")
    def _ranges(self) -> Self:
        if self.brightness_range is not None:
            check_order("brightness_range", self.brightness_range)
        if self.shear_unit == "radians" and self.shear_range >= 1.55:
            raise PydanticCustomError("shear_range", "`shear_range` in radians is below 1.55 (89 degrees)")
        if isinstance(self.zoom_range, tuple):
            check_order("zoom_range", self.zoom_range)
        return self


Flip = HorizontalFlip | VerticalFlip

Geometric = (
    Affine
    | Rotation
    | Shift
    | Shear
    | Zoom
    | RandomCrop
    | RandomResizedCrop
    | Perspective
    | Elastic
    | Flip
    | ImageDataGenerator
)
"""Neighbours of these share one resampling."""
