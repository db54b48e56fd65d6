"""Augmentations of a whole batch: examples are mixed in pairs, and their classes with them. They come after all others,
in their own order. Training accuracy is measured against the class that has the larger part.
"""

from typing import Annotated, Literal

from pydantic import Field

from .timed import Timed

Alpha = Annotated[
    float,
    Field(
        ge=0.01,
        le=100.0,
        description="λ ~ Beta(alpha, alpha): near 0 or 1 for a small alpha, uniform for 1, near ½ for a large one.",
    ),
]


class Mixup(Timed):
    """x = λ · x + (1 − λ) · x′ and y = λ · y + (1 − λ) · y′, with (x′, y′) from a random order of the same batch and
    a λ for every example.

    Reference: Zhang et al. 2017, "mixup: beyond empirical risk minimization".
    """

    type: Literal["mixup"] = "mixup"
    alpha: Alpha = 0.2


class CutMix(Timed):
    """A box of another image of the batch: its sides are √(1 − λ) of the image's, its centre is any pixel, and it is
    clipped at the edge; y = λ′ · y + (1 − λ′) · y′ with λ′ = 1 − the clipped box's share of the area.

    Reference: Yun et al. 2019, "CutMix: regularization strategy to train strong classifiers with localizable features".
    """

    type: Literal["cutmix"] = "cutmix"
    alpha: Alpha = 1.0


Mixing = Mixup | CutMix
