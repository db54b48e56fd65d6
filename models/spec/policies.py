"""Augmentations that choose, for every image, from the same fourteen operations: shear and translation along each axis,
rotation, brightness, color, contrast, sharpness, posterize, solarize, autocontrast, equalize, and none or invert.

Shears keep the upper left corner in place, translations are by whole pixels, and signs are drawn.
"""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from .geometric import Fill, Interpolation
from .timed import Timed


class _Policy(Timed):
    fill: Fill = "constant"
    interpolation: Interpolation = "nearest"


class RandAugment(_Policy):
    """`num_ops` operations, one after another, each chosen at random, all with the same magnitude.

    Magnitude m of `bins` is the share m / (bins − 1) of each operation's range: shear 0.3, translation 150/331 of the
    side, rotation 30°, colors ±0.9, posterize 8 to 4 bits, solarize 255 to 0.

    Formula: x ← o_n(… o_1(x)), every o of `num_ops` drawn from fourteen, with magnitude / (bins − 1) of its range.

    Reference: Cubuk et al. 2019, "RandAugment: practical automated data augmentation with a reduced search space".
    """

    type: Literal["rand_augment"] = "rand_augment"
    num_ops: Annotated[int, Field(ge=1, le=16)] = 2
    magnitude: Annotated[int, Field(ge=0, le=100)] = 9
    bins: Annotated[int, Field(ge=2, le=101)] = 31

    @model_validator(mode="after")
    def _magnitude_is_a_bin(self) -> Self:
        if self.magnitude >= self.bins:
            raise PydanticCustomError("magnitude", "`magnitude` is below `bins`")
        return self


class TrivialAugment(_Policy):
    """One operation, chosen at random, with a magnitude chosen at random from `bins` steps of its wide range: shear
    0.99, translation 32 pixels, rotation 135°, colors ±0.99, posterize 8 to 2 bits, solarize 255 to 0.

    Formula: x ← o(x), o drawn from fourteen, with m / (bins − 1) of its range, m drawn from 0 … bins − 1.

    Reference: Müller & Hutter 2021, "TrivialAugment: tuning-free yet state-of-the-art data augmentation" (wide).
    """

    type: Literal["trivial_augment"] = "trivial_augment"
    bins: Annotated[int, Field(ge=2, le=101)] = 31


class AutoAugment(_Policy):
    """One of the 25 pairs of operations that were found on CIFAR-10, chosen at random; each of the two acts with its
    own probability and magnitude.

    Formula: x ← o₂(o₁(x)), each with its own probability, the pair (o₁, o₂) drawn from 25.

    Reference: Cubuk et al. 2018, "AutoAugment: learning augmentation policies from data", table 7.
    """

    type: Literal["auto_augment"] = "auto_augment"
    policy: Literal["cifar10"] = "cifar10"
    """The data that the pairs were found on."""


Policy = RandAugment | TrivialAugment | AutoAugment
