"""Data as it is usually fed: a data set that makes one example at a time, a loader with two workers."""

import math
import random
from collections.abc import Iterator

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from benchmarks.contestants.race import Race


class Samples(Dataset[tuple[Tensor, int]]):
    """Each image goes through Pillow: one affine transform, a flip, to a tensor, normalized."""

    def __init__(self, race: Race) -> None:
        self.inputs = race.inputs()
        self.targets = race.targets()
        self.is_image = race.is_image

    def __len__(self) -> int:
        return len(self.inputs)

    def __getitem__(self, place: int) -> tuple[Tensor, int]:
        values, target = self.inputs[place], int(self.targets[place])
        return (prepared(values) if self.is_image else torch.from_numpy(values).float()), target


def prepared(values: np.ndarray) -> Tensor:
    return torch.from_numpy(transformed(values)).permute(2, 0, 1).float().div_(255.0).sub_(0.5).div_(0.25)


def transformed(values: np.ndarray) -> np.ndarray:
    """(height, width, channels) of uint8, and so the result."""
    image = Image.fromarray(values.squeeze())
    image = image.transform(image.size, Image.Transform.AFFINE, drawn_map(*image.size), Image.Resampling.BILINEAR)
    if random.random() < 0.5:  # noqa: S311
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return np.asarray(image, dtype=np.uint8).reshape(values.shape).copy()


def drawn_map(width: int, height: int) -> tuple[float, ...]:
    """Rotation ±10°, shift 10 %, shear 0.2, zoom 20 %, about the centre."""
    draw = random.uniform
    angle, shear, zoom = math.radians(draw(-10, 10)), draw(-0.2, 0.2), (draw(0.8, 1.2), draw(0.8, 1.2))
    cosine, sine = math.cos(angle), math.sin(angle)
    a, b = zoom[0] * cosine, zoom[0] * (-sine + shear * cosine)
    d, e = zoom[1] * sine, zoom[1] * (cosine + shear * sine)
    x, y = (width - 1) / 2, (height - 1) / 2
    across, down = draw(-0.1, 0.1) * width, draw(-0.1, 0.1) * height
    return a, b, x - a * x - b * y + across, d, e, y - d * x - e * y + down


def loader_of(race: Race) -> "DataLoader[tuple[Tensor, int]]":
    data = Samples(race)
    return DataLoader(data, race.batch_size, shuffle=True, num_workers=2, drop_last=True, persistent_workers=True)


def endless(race: Race) -> Iterator[tuple[Tensor, Tensor]]:
    loader = loader_of(race)
    while True:
        yield from loader
