"""Operations that move pixels: every one becomes a map per image, and a run of neighbours is resampled once.

Operations with different fills or interpolations cannot share a resampling. Flips have neither and crops by whole
pixels have no interpolation: they join whatever stands beside them, and alone they exchange pixels exactly.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import assert_never

import torch
from torch import Tensor

from models.spec.geometric import (
    Affine,
    Elastic,
    Flip,
    Geometric,
    HorizontalFlip,
    ImageDataGenerator,
    KerasShift,
    Perspective,
    RandomCrop,
    RandomResizedCrop,
    Rotation,
    Shear,
    ShearAmount,
    Shift,
    VerticalFlip,
    Zoom,
    shear_degrees,
)
from worker.training import geometry
from worker.training.augmentation.blurring import blurred
from worker.training.augmentation.draws import Draws, per_sample
from worker.training.geometry import Fill, Finish, Interpolation

KERAS_FLIP = 0.5

TRIES = 10
"""So often a box is drawn anew that does not fit into the image."""


@dataclass(frozen=True)
class Sampling:
    """How pixels are read between and beyond the pixels there are; None where it does not matter."""

    fill: Fill | None = None
    interpolation: Interpolation | None = None


def sampling_of(operation: Geometric) -> Sampling:
    match operation:
        case HorizontalFlip() | VerticalFlip():
            return Sampling()
        case RandomCrop():
            return Sampling(operation.fill)
        case ImageDataGenerator():
            return Sampling(operation.fill_mode, "bilinear")
        case Affine() | Rotation() | Shift() | Shear() | Zoom() | RandomResizedCrop() | Perspective() | Elastic():
            return Sampling(operation.fill, operation.interpolation)
        case _:
            assert_never(operation)


def shared(operations: Sequence[Geometric]) -> Sampling | None:
    """The sampling that serves them all, or None; what does more than read from places can only come last."""
    if any(
        isinstance(one, Elastic) or (isinstance(one, ImageDataGenerator) and one.recolors) for one in operations[:-1]
    ):
        return None
    samplings = [sampling_of(operation) for operation in operations]
    fills = {sampling.fill for sampling in samplings if sampling.fill is not None}
    interpolations = {sampling.interpolation for sampling in samplings if sampling.interpolation is not None}
    if len(fills) > 1 or len(interpolations) > 1:
        return None
    return Sampling(next(iter(fills), None), next(iter(interpolations), None))


def does_more(operation: Geometric) -> bool:
    return isinstance(operation, Elastic) or (isinstance(operation, ImageDataGenerator) and operation.recolors)


def move(
    images: Tensor, operations: Sequence[Geometric], draws: Draws, finish: Finish | None = None
) -> tuple[Tensor, list[Tensor]]:
    """Images (batch, channels, height, width), float or bytes, moved by operations that share a sampling, and finished;
    and of each operation which images it was drawn to move, (batch,) bool on the CPU.
    """
    if all(isinstance(operation, Flip) for operation in operations):
        images, moved = flip(images, operations, draws)
        return images if finish is None else finish(images), moved
    sampling = shared(operations)
    assert sampling is not None
    drawn = [draw_maps(operation, draws, (images.shape[2], images.shape[3])) for operation in operations]
    moved = [(maps != geometry.unmoved()).flatten(1).any(1) for maps, _ in drawn]
    last, chosen = operations[-1], drawn[-1][1]
    displacement = None
    if isinstance(last, Elastic):
        displacement, moved[-1] = displaced(images, last, draws)
    whole = reduce(torch.matmul, (maps for maps, _ in drawn))
    fill, interpolation = sampling.fill or "nearest", sampling.interpolation or "nearest"
    if isinstance(last, ImageDataGenerator) and last.recolors:
        images = geometry.resample(images, whole, fill, interpolation)
        images, moved[-1] = torch.where(per_sample(chosen, images), keras_colors(images, last, draws), images), chosen
        return images if finish is None else finish(images), moved
    return geometry.resample(images, whole, fill, interpolation, displacement=displacement, finish=finish), moved


def flip(images: Tensor, operations: Sequence[Geometric], draws: Draws) -> tuple[Tensor, list[Tensor]]:
    """Flips alone: an exchange of pixels."""
    chosen = [draws.chosen(operation.p) for operation in operations]
    for operation, flips in zip(operations, chosen, strict=True):
        flipped = images.flip(3 if isinstance(operation, HorizontalFlip) else 2)
        images = torch.where(per_sample(flips, images), flipped, images)
    return images, chosen


def displaced(images: Tensor, operation: Elastic, draws: Draws) -> tuple[Tensor, Tensor]:
    """How far each pixel is read from its place, (samples, 2, height, width): rows and columns; and which images move
    at all, (samples,) bool.
    """
    shape = (len(images), 2, *images.shape[2:])
    noise = torch.rand(shape, generator=draws.on(images.device), device=images.device) * 2.0 - 1.0
    chosen = draws.chosen(operation.p)
    reach = per_sample(operation.alpha * chosen, images)
    return reach * blurred(noise, torch.full((draws.samples,), operation.sigma)), chosen


def draw_maps(operation: Geometric, draws: Draws, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Maps from output to input, (samples, 3, 3), the identity for those that `p` spares; and (samples,) which are not
    spared.
    """
    maps, chosen = draw_operation(operation, draws, size), draws.chosen(operation.p)
    spared = operation.p < 1.0
    return torch.where(chosen[:, None, None], maps, geometry.unmoved()) if spared else maps, chosen


def draw_operation(operation: Geometric, draws: Draws, size: tuple[int, int]) -> Tensor:
    match operation:
        case Affine():
            return (
                zoomed(draws, operation.zoom)
                @ sheared(draws, operation.shear)
                @ geometry.rotation(draws.symmetric(math.radians(operation.rotation)))
                @ shifted(draws, operation.shift, size)
            )
        case Rotation():
            return geometry.rotation(draws.symmetric(math.radians(operation.rotation)))
        case Shift():
            return shifted(draws, operation.shift, size)
        case Shear():
            return sheared(draws, operation.shear)
        case Zoom():
            return zoomed(draws, operation.zoom)
        case HorizontalFlip():
            return geometry.scaling(torch.ones(draws.samples), -torch.ones(draws.samples))
        case VerticalFlip():
            return geometry.scaling(-torch.ones(draws.samples), torch.ones(draws.samples))
        case RandomCrop():
            rows, columns = (draws.whole(-operation.padding, operation.padding) for _ in range(2))
            return geometry.translation(rows.float(), columns.float())
        case RandomResizedCrop():
            return boxed(operation, draws, size)
        case Perspective():
            return seen_from_elsewhere(operation.distortion, draws, size)
        case Elastic():
            return geometry.identity(draws.samples)
        case ImageDataGenerator():
            return keras_maps(operation, draws, size)
        case _:
            assert_never(operation)


def boxed(operation: RandomResizedCrop, draws: Draws, size: tuple[int, int]) -> Tensor:
    """Reads from a box of whole pixels."""
    sides = torch.tensor(size)
    height, width = size
    area = draws.between(*operation.scale, tries=TRIES) * height * width
    narrowest, widest = operation.ratio
    ratio = draws.between(math.log(narrowest), math.log(widest), tries=TRIES).exp()
    tried = torch.stack([(area / ratio).sqrt(), (area * ratio).sqrt()], dim=2)
    one_fits, first = (tried <= sides).all(2).max(1)
    closest = min(max(width / height, narrowest), widest)
    largest = min(height, width / closest)
    without = torch.tensor([largest, largest * closest])
    drawn = torch.where(one_fits[:, None], tried[torch.arange(len(tried)), first], without)
    box = torch.minimum(drawn.round().clamp(min=1.0), sides)
    spare = sides - box
    somewhere = torch.stack([draws.between(0.0, 1.0), draws.between(0.0, 1.0)], dim=1) * (spare + 1.0)
    corner = torch.where(one_fits[:, None], torch.minimum(somewhere, spare), spare / 2.0).floor()
    (rows, columns), (down, across) = (box / sides).unbind(1), (corner - spare / 2.0).unbind(1)
    return geometry.affine((rows, 0.0, down), (0.0, columns, across))


def seen_from_elsewhere(distortion: float, draws: Draws, size: tuple[int, int]) -> Tensor:
    """The image's corners are drawn towards its centre."""
    half = torch.tensor([size[0] / 2, size[1] / 2])
    signs = torch.tensor([[-1.0, -1.0], [-1.0, 1.0], [1.0, 1.0], [1.0, -1.0]])
    inwards = torch.stack([draws.between(0.0, distortion, tries=2) for _ in range(4)], dim=1)
    corners = (signs * half).expand(draws.samples, 4, 2)
    return geometry.homography(corners * (1.0 - inwards), corners)


def shifted(draws: Draws, shift: tuple[float, float], size: tuple[int, int]) -> Tensor:
    """`shift` is a share of the width and of the height; `size` is (height, width)."""
    return geometry.translation(draws.symmetric(shift[1] * size[0]), draws.symmetric(shift[0] * size[1]))


def sheared(draws: Draws, amount: ShearAmount) -> Tensor:
    if isinstance(amount, str):
        return geometry.shear(draws.symmetric(math.radians(shear_degrees(amount))).tan())
    return geometry.shear(draws.symmetric(amount))


def zoomed(draws: Draws, zoom: tuple[float, float]) -> Tensor:
    """A picture twice as large is read in half steps."""
    stride = draws.between(*zoom).reciprocal()
    return geometry.scaling(stride, stride)


def keras_maps(operation: ImageDataGenerator, draws: Draws, size: tuple[int, int]) -> Tensor:
    """Keras's `get_random_transform` and `apply_affine_transform`: rotation · shift · shear · zoom, then the flips."""
    shear = math.radians(operation.shear_range) if operation.shear_unit == "degrees" else operation.shear_range
    zoom = operation.zoom_range
    low, high = zoom if isinstance(zoom, tuple) else (1.0 - zoom, 1.0 + zoom)
    maps = (
        geometry.rotation(draws.symmetric(math.radians(operation.rotation_range)))
        @ geometry.translation(
            keras_shift(draws, operation.height_shift_range, size[0]),
            keras_shift(draws, operation.width_shift_range, size[1]),
        )
        @ geometry.angular_shear(draws.symmetric(shear))
        @ geometry.scaling(draws.between(low, high), draws.between(low, high))
    )
    if operation.horizontal_flip or operation.vertical_flip:
        down = draws.sign(KERAS_FLIP if operation.vertical_flip else 0.0)
        across = draws.sign(KERAS_FLIP if operation.horizontal_flip else 0.0)
        maps = maps @ geometry.scaling(down, across)
    return maps


def keras_shift(draws: Draws, amount: KerasShift, side: int) -> Tensor:
    """Pixels (samples,): `np.random.choice` with a random sign of what it takes, and uniform what it does not."""
    match amount:
        case int():
            return draws.whole(0, amount - 1) * draws.sign(0.5)
        case float():
            return draws.symmetric(amount * side if amount < 1.0 else amount)
        case tuple():
            taken = torch.tensor(amount)[draws.whole(0, len(amount) - 1)] * draws.sign(0.5)
            return taken * side if max(amount) < 1.0 else taken
        case _:
            assert_never(amount)


ROUNDING = 1e-3
"""Levels: what a whole number may have lost in the resampling."""


def keras_colors(images: Tensor, operation: ImageDataGenerator, draws: Draws) -> Tensor:
    """Keras's `apply_channel_shift` and `apply_brightness_shift`, the latter by Pillow on whole levels. Flips stand
    between them there, which none of them sees.
    """
    if operation.channel_shift_range:
        low, high = images.amin((1, 2, 3), keepdim=True), images.amax((1, 2, 3), keepdim=True)
        shift = per_sample(draws.symmetric(operation.channel_shift_range), images)
        images = torch.minimum(torch.maximum(images + shift, low), high)
    if operation.brightness_range is not None:
        factor = per_sample(draws.between(*operation.brightness_range), images)
        images = ((images + ROUNDING).floor() * factor).floor().clamp(max=255.0)
    return images
