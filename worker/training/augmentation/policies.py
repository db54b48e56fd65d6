"""Policies: which operation each image gets is drawn on the CPU, and every operation then changes the images that drew
it in one piece.
"""

import math
from collections.abc import Iterator
from typing import Literal, assert_never, get_args

import torch
from torch import Tensor

from models.spec.policies import AutoAugment, Policy, RandAugment, TrivialAugment
from worker.training import geometry
from worker.training.augmentation.draws import Draws, per_sample
from worker.training.augmentation.photometric import (
    brightened,
    contrasted,
    equalized,
    posterized,
    saturated,
    sharpened,
    solarized,
    stretched,
)
from worker.training.copying import onto

Kind = Literal[
    "identity",
    "shear_x",
    "shear_y",
    "translate_x",
    "translate_y",
    "rotate",
    "brightness",
    "color",
    "contrast",
    "sharpness",
    "posterize",
    "solarize",
    "autocontrast",
    "equalize",
    "invert",
]
KINDS: tuple[Kind, ...] = get_args(Kind)
CHOICES = KINDS.index("invert")
"""RandAugment and TrivialAugment choose from what stands before it."""

SIGNED = KINDS[1:10]
AUTO_BINS = 10

CIFAR10: tuple[tuple[tuple[Kind, float, int], tuple[Kind, float, int]], ...] = (
    (("invert", 0.1, 0), ("contrast", 0.2, 6)),
    (("rotate", 0.7, 2), ("translate_x", 0.3, 9)),
    (("sharpness", 0.8, 1), ("sharpness", 0.9, 3)),
    (("shear_y", 0.5, 8), ("translate_y", 0.7, 9)),
    (("autocontrast", 0.5, 0), ("equalize", 0.9, 0)),
    (("shear_y", 0.2, 7), ("posterize", 0.3, 7)),
    (("color", 0.4, 3), ("brightness", 0.6, 7)),
    (("sharpness", 0.3, 9), ("brightness", 0.7, 9)),
    (("equalize", 0.6, 0), ("equalize", 0.5, 0)),
    (("contrast", 0.6, 7), ("sharpness", 0.6, 5)),
    (("color", 0.7, 7), ("translate_x", 0.5, 8)),
    (("equalize", 0.3, 0), ("autocontrast", 0.4, 0)),
    (("translate_y", 0.4, 3), ("sharpness", 0.2, 6)),
    (("brightness", 0.9, 6), ("color", 0.2, 8)),
    (("solarize", 0.5, 2), ("invert", 0.0, 0)),
    (("equalize", 0.2, 0), ("autocontrast", 0.6, 0)),
    (("equalize", 0.2, 0), ("equalize", 0.6, 0)),
    (("color", 0.9, 9), ("equalize", 0.6, 0)),
    (("autocontrast", 0.8, 0), ("solarize", 0.2, 8)),
    (("brightness", 0.1, 3), ("color", 0.7, 0)),
    (("solarize", 0.4, 5), ("autocontrast", 0.9, 0)),
    (("translate_y", 0.9, 9), ("translate_y", 0.7, 9)),
    (("autocontrast", 0.9, 0), ("solarize", 0.8, 3)),
    (("equalize", 0.8, 0), ("invert", 0.1, 0)),
    (("translate_y", 0.7, 9), ("autocontrast", 0.9, 0)),
)
"""Operation, probability and magnitude out of ten."""


def follow(images: Tensor, policy: Policy, draws: Draws) -> Tensor:
    """Images (samples, channels, height, width), each as its own draws say."""
    wide = isinstance(policy, TrivialAugment)
    for kinds, shares in rounds_of(policy, draws):
        signs = draws.sign(0.5)
        for number, kind in enumerate(KINDS):
            mine = (kinds == number).nonzero()[:, 0]
            if kind == "identity" or len(mine) == 0:
                continue
            size = (images.shape[2], images.shape[3])
            amount = magnitude(kind, shares[mine], wide, size) * (signs[mine] if kind in SIGNED else 1.0)
            rows = onto(images.device, mine)
            images = images.index_copy(0, rows, acted(images[rows], kind, amount, policy))
    return images


def rounds_of(policy: Policy, draws: Draws) -> Iterator[tuple[Tensor, Tensor]]:
    """For each operation in turn its number in KINDS and its share of the range, (samples,) each."""
    match policy:
        case RandAugment():
            share = torch.full((draws.samples,), policy.magnitude / (policy.bins - 1))
            for _ in range(policy.num_ops):
                yield draws.whole(0, CHOICES - 1), share
        case TrivialAugment():
            yield draws.whole(0, CHOICES - 1), draws.whole(0, policy.bins - 1) / (policy.bins - 1)
        case AutoAugment():
            pair = draws.whole(0, len(CIFAR10) - 1)
            for place in range(2):
                kinds = torch.tensor([KINDS.index(row[place][0]) for row in CIFAR10])[pair]
                chances = torch.tensor([row[place][1] for row in CIFAR10])[pair]
                shares = torch.tensor([row[place][2] / (AUTO_BINS - 1) for row in CIFAR10])[pair]
                yield torch.where(draws.between(0.0, 1.0) < chances, kinds, 0), shares
        case _:
            assert_never(policy)


def magnitude(kind: Kind, share: Tensor, wide: bool, size: tuple[int, int]) -> Tensor:
    """What a share (n,) of the range is: a slope, pixels, degrees, the change of a factor, bits or a threshold."""
    match kind:
        case "shear_x" | "shear_y":
            return share * (0.99 if wide else 0.3)
        case "translate_x" | "translate_y":
            side = size[1] if kind == "translate_x" else size[0]
            return (share * (32.0 if wide else 150.0 / 331.0 * side) + 1e-4).floor()
        case "rotate":
            return share * (135.0 if wide else 30.0)
        case "brightness" | "color" | "contrast" | "sharpness":
            return share * (0.99 if wide else 0.9)
        case "posterize":
            return 8.0 - (share * (6.0 if wide else 4.0)).round()
        case "solarize":
            return 255.0 * (1.0 - share)
        case "identity" | "autocontrast" | "equalize" | "invert":
            return share
        case _:
            assert_never(kind)


def acted(images: Tensor, kind: Kind, amount: Tensor, policy: Policy) -> Tensor:
    """One operation on images (n, channels, height, width) with amounts (n,), on the CPU."""
    beside = per_sample(amount, images)
    match kind:
        case "identity":
            return images
        case "shear_x" | "shear_y" | "translate_x" | "translate_y" | "rotate":
            maps = maps_of(kind, amount, (images.shape[2], images.shape[3]))
            return geometry.resample(images, maps, policy.fill, policy.interpolation)
        case "brightness":
            return brightened(images, 1.0 + beside)
        case "color":
            return saturated(images, 1.0 + beside)
        case "contrast":
            return contrasted(images, 1.0 + beside)
        case "sharpness":
            return sharpened(images, 1.0 + beside)
        case "posterize":
            return posterized(images, 2.0 ** (8.0 - beside))
        case "solarize":
            return solarized(images, beside)
        case "autocontrast":
            return stretched(images)
        case "equalize":
            return equalized(images)
        case "invert":
            return 255.0 - images
        case _:
            assert_never(kind)


def maps_of(
    kind: Literal["shear_x", "shear_y", "translate_x", "translate_y", "rotate"], amount: Tensor, size: tuple[int, int]
) -> Tensor:
    """Maps from output to input, (n, 3, 3)."""
    none = torch.zeros_like(amount)
    match kind:
        case "shear_x":
            return geometry.translation(none, amount * (size[0] - 1) / 2) @ geometry.shear(amount)
        case "shear_y":
            return geometry.translation(amount * (size[1] - 1) / 2, none) @ geometry.shear(amount).mT
        case "translate_x":
            return geometry.translation(none, amount)
        case "translate_y":
            return geometry.translation(amount, none)
        case "rotate":
            return geometry.rotation(amount * (math.pi / 180.0))
        case _:
            assert_never(kind)
