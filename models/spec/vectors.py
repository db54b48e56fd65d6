"""Augmentations of vectors: noise on what the network gets, after it is normalized."""

from typing import Annotated, Literal

from pydantic import Field

from .technique import Rate
from .timed import Timed


class GaussianNoise(Timed):
    """x + std · n with n standard normal, drawn for every number.

    For vectors `std` is in units of what the network gets: where inputs are normalized, of each feature's own spread.
    For images it is a share of the range 0–255, and pixels stay within it.

    Reference: Bishop 1995, "Training with noise is equivalent to Tikhonov regularization".
    """

    type: Literal["gaussian_noise"] = "gaussian_noise"
    std: Annotated[float, Field(gt=0.0, le=100.0)] = 0.1


class FeatureDropout(Timed):
    """Each feature is missing with probability `rate`: the network gets 0, which is the mean where inputs are
    normalized and absence in multi-hot vectors. Nothing is scaled.

    Formula: x = m ⊙ x, with m = 0 with probability `rate` and else 1.

    Reference: Vincent et al. 2008, "Extracting and composing robust features with denoising autoencoders" (masking
    noise).
    """

    type: Literal["feature_dropout"] = "feature_dropout"
    rate: Rate = 0.1


class SwapNoise(Timed):
    """Each feature is, with probability `rate`, that of another example of the batch, drawn for every feature anew: the
    distribution of each feature stays what it is.

    Formula: x_j ← x′_j with probability `rate`, x′ an example of the batch, drawn for every j.

    Reference: Jahrer 2017, first place of the Porto Seguro competition (rate 0.15).
    """

    type: Literal["swap_noise"] = "swap_noise"
    rate: Rate = 0.15


Perturbation = GaussianNoise | FeatureDropout | SwapNoise
