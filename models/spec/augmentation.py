"""Random changes of training images, drawn anew for every image and every epoch, in the order of the list; evaluation
sees none.

Geometric changes that stand next to each other become one matrix and one resampling. Each acts on an image with
probability `p`, and only from `from` until `until` in the run.
"""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from .duration import Duration
from .technique import Probability, Technique

Degrees = Annotated[float, Field(ge=0.0, le=180.0)]
"""The angle is uniform between minus and plus this many degrees."""

Share = Annotated[float, Field(ge=0.0, le=1.0)]
"""The distance is uniform between minus and plus this share of the side."""

Factor = Annotated[float, Field(gt=0.0, le=10.0)]

ShearText = Annotated[str, Field(pattern=r"^[0-8]?[0-9](\.[0-9]{1,6})? ?deg$")]

ShearAmount = Annotated[float, Field(ge=0.0, le=10.0)] | ShearText
"""A number is the largest tangent (0.2: the top moves by a fifth of the height); `"10 deg"` is the largest angle.
Uniform between minus and plus it.
"""

Fill = Literal["nearest", "constant", "reflect", "wrap"]
"""What stands where the image has no pixel: its edge, black, its mirror image, its other side."""

Interpolation = Literal["bilinear", "nearest"]


def shear_degrees(text: str) -> float:
    """The degrees of `"10 deg"`."""
    return float(text.removesuffix("deg").strip())


class Timed(Technique):
    """What every augmentation has."""

    p: Probability = 1.0
    """The probability with which it acts on an image."""
    from_: Duration = Field(default=Duration.parse(0), alias="from")
    """When it begins."""
    until: Duration = Duration.parse("100%")
    """When it ends; the step that lies there is not augmented any more."""


class Resampled(Timed):
    """What every geometric change has."""

    fill: Fill = "nearest"
    interpolation: Interpolation = "bilinear"


class Affine(Resampled):
    """Rotation, shift, shear and zoom in one: x ↦ R · S · Z · x + t about the centre of the image.

    The angle is uniform in ±rotation degrees, the shift in ±shift of width and height, the shear in ±shear, the zoom
    between its two factors (one draw for both axes; above 1 enlarges). Fields that are left out do nothing.
    """

    type: Literal["affine"] = "affine"
    rotation: Degrees = 0.0
    shift: tuple[Share, Share] = (0.0, 0.0)
    """Horizontal and vertical."""
    shear: ShearAmount = 0.0
    """Along the horizontal axis."""
    zoom: tuple[Factor, Factor] = (1.0, 1.0)
    """The smallest and the largest factor."""

    @model_validator(mode="after")
    def _zoom_is_a_range(self) -> Self:
        _check_order("zoom", self.zoom)
        return self


class Rotation(Resampled):
    """Rotation about the centre by an angle uniform in ±rotation degrees."""

    type: Literal["rotation"] = "rotation"
    rotation: Degrees = 10.0


class Shift(Resampled):
    """Shift by a distance uniform in ± a share of the width and of the height."""

    type: Literal["shift"] = "shift"
    shift: tuple[Share, Share] = (0.1, 0.1)
    """Horizontal and vertical."""


class Shear(Resampled):
    """Shear along the horizontal axis: x ↦ x + s · y with s uniform in ±shear, or s = tan(angle) with the angle uniform
    in ± the degrees of `"10 deg"`.
    """

    type: Literal["shear"] = "shear"
    shear: ShearAmount = 0.2


class Zoom(Resampled):
    """Zoom about the centre by a factor uniform between the two; above 1 enlarges. One draw for both axes."""

    type: Literal["zoom"] = "zoom"
    zoom: tuple[Factor, Factor] = (0.8, 1.2)
    """The smallest and the largest factor."""

    @model_validator(mode="after")
    def _zoom_is_a_range(self) -> Self:
        _check_order("zoom", self.zoom)
        return self


class HorizontalFlip(Timed):
    """Left and right exchanged, for a share p of the images."""

    type: Literal["horizontal_flip"] = "horizontal_flip"
    p: Probability = 0.5


class VerticalFlip(Timed):
    """Top and bottom exchanged, for a share p of the images."""

    type: Literal["vertical_flip"] = "vertical_flip"
    p: Probability = 0.5


class ImageDataGenerator(Timed):
    """Keras's ImageDataGenerator by its own names and meanings: one matrix, rotation · shift · shear · zoom about the
    centre, then the flips.

    Angles uniform in ±rotation_range degrees; shifts in ± a fraction of the side; shear in ±shear_range (degrees, as
    Keras's code has it since 2017: 0.2 hardly shears; say `shear_unit: "radians"` for the older meaning); zoom drawn
    separately for each axis, and as in Keras a factor above 1 shows more (zooms out). A flip that is true acts on half
    of the images.
    """

    type: Literal["image_data_generator"] = "image_data_generator"
    rotation_range: Degrees = 0.0
    width_shift_range: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    """A fraction of the width; Keras's whole pixels (1 and more) are not built."""
    height_shift_range: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    """A fraction of the height."""
    shear_range: Annotated[float, Field(ge=0.0, le=89.0)] = 0.0
    shear_unit: Literal["degrees", "radians"] = "degrees"
    zoom_range: Annotated[float, Field(ge=0.0, lt=1.0)] | tuple[Factor, Factor] = 0.0
    """z means factors between 1 − z and 1 + z; or the two factors."""
    horizontal_flip: bool = False
    vertical_flip: bool = False
    fill_mode: Fill = "nearest"

    @model_validator(mode="after")
    def _ranges(self) -> Self:
        if self.shear_unit == "radians" and self.shear_range >= 1.55:
            raise PydanticCustomError("shear_range", "`shear_range` in radians is below 1.55 (89 degrees)")
        if isinstance(self.zoom_range, tuple):
            _check_order("zoom_range", self.zoom_range)
        return self


Augmentation = Annotated[
    Affine | Rotation | Shift | Shear | Zoom | HorizontalFlip | VerticalFlip | ImageDataGenerator,
    Field(discriminator="type"),
]


def _check_order(field: str, pair: tuple[float, float]) -> None:
    if pair[0] > pair[1]:
        raise PydanticCustomError("empty_interval", "`{field}` has its smaller factor first", {"field": field})
