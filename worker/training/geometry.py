"""Affine maps of images: one matrix per sample, composed first, resampled once.

A map is a (samples, 3, 3) matrix that takes a position in the *output* to the position in the *input* it is read from,
in pixels, as (row, column, 1), measured from the centre of the image (height / 2 − ½, width / 2 − ½). These are the
conventions of Keras's `ImageDataGenerator` and of `scipy.ndimage.affine_transform`. If operations 1, 2, …, k are
applied to an image in that order, the map of the whole is `map_1 @ map_2 @ … @ map_k`.
"""

from functools import cache
from math import prod
from typing import Literal, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from worker.training.boxes import boxes_of, enlarged
from worker.training.copying import onto

Fill = Literal["nearest", "constant", "reflect", "wrap"]
Interpolation = Literal["nearest", "bilinear"]

PIECE = 1_000_000
"""Numbers that a processor resamples at once: what it reads and what it makes of them stays in its caches."""

NEAREST_TO_THE_HORIZON = 1e-3
"""The least depth that is divided by; the centre of the image has 1."""


Entry = Tensor | float
"""One for each sample, (samples,), or 0 or 1 for all."""


class Finish(Protocol):
    """What is done to images at last, each number by itself; into `out`, where there is one."""

    def __call__(self, images: Tensor, /, out: Tensor | None = None) -> Tensor: ...


@cache
def unmoved() -> Tensor:
    """The identity map, (3, 3). Made when it is needed: trainers are forked from a process that must not compute."""
    return torch.eye(3)


def identity(samples: int) -> Tensor:
    """(samples, 3, 3) identity maps."""
    return unmoved().repeat(samples, 1, 1)


def affine(first: tuple[Entry, Entry, Entry], second: tuple[Entry, Entry, Entry]) -> Tensor:
    """(samples, 3, 3) maps of these two rows; the third is 0, 0, 1."""
    samples = next(len(entry) for entry in (*first, *second) if isinstance(entry, Tensor))
    same = {0.0: torch.zeros(samples), 1.0: torch.ones(samples)}
    entries = (*first, *second, 0.0, 0.0, 1.0)
    each = [entry if isinstance(entry, Tensor) else same[entry] for entry in entries]
    return torch.stack(each, dim=1).view(samples, 3, 3)


def rotation(angle: Tensor) -> Tensor:
    """`[[cos, −sin], [sin, cos]]`; `angle` (samples,) in radians."""
    cosine, sine = angle.cos(), angle.sin()
    return affine((cosine, -sine, 0.0), (sine, cosine, 0.0))


def translation(rows: Tensor, columns: Tensor) -> Tensor:
    """Reads from `rows`, `columns` (samples,) pixels further down and right: the picture moves up and left."""
    return affine((1.0, 0.0, rows), (0.0, 1.0, columns))


def angular_shear(angle: Tensor) -> Tensor:
    """Keras's shear, `[[1, −sin], [0, cos]]`; `angle` (samples,) in radians."""
    return affine((1.0, -angle.sin(), 0.0), (0.0, angle.cos(), 0.0))


def shear(slope: Tensor) -> Tensor:
    """`[[1, 0], [slope, 1]]`: a row that lies d pixels off the centre is moved sideways by slope · d pixels; `slope`
    (samples,).
    """
    return affine((1.0, 0.0, 0.0), (slope, 1.0, 0.0))


def scaling(rows: Tensor, columns: Tensor) -> Tensor:
    """Reads with strides `rows`, `columns` (samples,): above 1 the picture gets smaller."""
    return affine((rows, 0.0, 0.0), (0.0, columns, 0.0))


def homography(seen: Tensor, meant: Tensor) -> Tensor:
    """The projective map that takes four places `seen` (samples, 4, 2) to the four that are `meant`."""
    row, column = seen.double().unbind(2)
    one, zero = torch.ones_like(row), torch.zeros_like(row)
    to_row, to_column = meant.double().unbind(2)
    for_rows = torch.stack([row, column, one, zero, zero, zero, -row * to_row, -column * to_row], dim=2)
    for_columns = torch.stack([zero, zero, zero, row, column, one, -row * to_column, -column * to_column], dim=2)
    solved = torch.linalg.solve(torch.cat([for_rows, for_columns], dim=1), torch.cat([to_row, to_column], dim=1))
    return torch.cat([solved, one[:, :1]], dim=1).view(-1, 3, 3).float()


def resample(
    images: Tensor,
    maps: Tensor,
    fill: Fill,
    interpolation: Interpolation,
    value: float = 0.0,
    displacement: Tensor | None = None,
    finish: Finish | None = None,
) -> Tensor:
    """Images (samples, channels, height, width), float or bytes, read through `maps` (samples, 3, 3), which are on the
    CPU, as floats; and finished.

    Outside the image `nearest` repeats the edge, `reflect` mirrors about it (d c b a | a b c d), `wrap` starts again at
    the opposite edge, and `constant` is `value`, blended with the edge over one pixel. A `displacement` (samples, 2,
    height, width; rows and columns) is added to each place before it is mapped. Boxes of large images become whole
    levels, see `worker.training.boxes`.
    """
    straight = displacement is None and torch.equal(maps[:, 2], unmoved()[2].expand(len(maps), 3))
    boxes = boxes_of(images, maps) if straight and interpolation == "bilinear" else None
    whole = None if boxes is None else enlarged(images, boxes)
    maps = onto(images.device, maps)

    def moved(few: slice = slice(None)) -> Tensor:
        if whole is not None:
            return whole[few].float()
        bend = None if displacement is None else displacement[few]
        size = (images.shape[2], images.shape[3])
        grid = read_positions(maps[few], *size) if straight else bent_positions(maps[few], *size, bend)
        return read(images[few].float(), grid, fill, interpolation, value)

    if finish is None:
        return moved()
    at_once = max(1, PIECE // prod(images.shape[1:]))
    if images.device.type != "cpu" or len(images) <= at_once:
        return finish(moved())
    finished = torch.empty_like(images, dtype=torch.float32, memory_format=torch.channels_last)
    for start in range(0, len(images), at_once):
        few = slice(start, start + at_once)
        finish(moved(few), out=finished[few])
    return finished


def read(images: Tensor, grid: Tensor, fill: Fill, interpolation: Interpolation, value: float) -> Tensor:
    """Images at the places of a `grid`, as `grid_sample` takes it."""
    height, width = images.shape[-2:]
    match fill:
        case "nearest":
            return sample(images, grid, interpolation, "border")
        case "reflect":
            return sample(images, grid, interpolation, "reflection")
        case "constant":
            return sample(images - value, grid, interpolation, "zeros") + value
        case "wrap":
            shrink = onto(images.device, torch.tensor([width / (width + 2), height / (height + 2)]))
            once_around = torch.remainder(grid + 1, 2) - 1
            return sample(F.pad(images, (1, 1, 1, 1), mode="circular"), once_around * shrink, interpolation, "border")


def read_positions(maps: Tensor, height: int, width: int) -> Tensor:
    """The (samples, height, width, 2) grid that `grid_sample` takes: (x, y), with −1 and 1 at the outer edges of the
    outer pixels.

    Summed as base_row · a + base_column · b + c, which is far cheaper at small sizes than a product of every position
    with its matrix.
    """
    to_grid = onto(maps.device, torch.tensor([[2 / width], [2 / height]]))
    xy = maps[:, :2].flip(1) * to_grid
    rows = torch.arange(height, dtype=torch.float32, device=maps.device) - (height - 1) / 2
    columns = torch.arange(width, dtype=torch.float32, device=maps.device) - (width - 1) / 2
    down = xy[:, :, 0, None] * rows + xy[:, :, 2, None]
    across = xy[:, :, 1, None] * columns
    return (down[:, :, :, None] + across[:, :, None, :]).permute(0, 2, 3, 1)


def bent_positions(maps: Tensor, height: int, width: int, displacement: Tensor | None) -> Tensor:
    """The same grid for maps that are projective, or behind a displacement; what lies behind the horizon is read from
    far outside the image.
    """
    rows = (torch.arange(height, dtype=torch.float32, device=maps.device) - (height - 1) / 2)[:, None]
    columns = torch.arange(width, dtype=torch.float32, device=maps.device) - (width - 1) / 2
    if displacement is not None:
        rows, columns = rows + displacement[:, 0], columns + displacement[:, 1]
    mapped = [
        maps[:, i, 0, None, None] * rows + maps[:, i, 1, None, None] * columns + maps[:, i, 2, None, None]
        for i in range(3)
    ]
    depth = mapped[2].clamp(min=NEAREST_TO_THE_HORIZON)
    return torch.stack([mapped[1] / depth * (2 / width), mapped[0] / depth * (2 / height)], dim=3)


def sample(images: Tensor, grid: Tensor, interpolation: Interpolation, padding: str) -> Tensor:
    return F.grid_sample(images, grid, mode=interpolation, padding_mode=padding, align_corners=False)
