"""Data as it is usually fed: images from a data set that makes one example at a time and a loader with two workers,
vectors from memory, a batch at a time.
"""

import math
import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from benchmarks.contestants.race import Race

Example = tuple[NDArray[np.uint8], int]
"""(height, width, channels), and the target."""
TRIES = 10


class Arrays(Dataset[Example]):
    """From memory through Pillow: one affine transform, and half of them mirrored."""

    def __init__(self, race: Race) -> None:
        self.inputs, self.targets = race.inputs(), race.targets()

    def __len__(self) -> int:
        return len(self.inputs)

    def __getitem__(self, place: int) -> Example:
        return transformed(self.inputs[place]), int(self.targets[place])


class Files(Dataset[Example]):
    """`images/<class>/<name>.jpg`, as folders of images usually are: decoded, cropped, and half of them mirrored, every
    epoch anew.
    """

    def __init__(self, race: Race) -> None:
        self.paths, self.targets = race.files()

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, place: int) -> Example:
        image = Image.open(self.paths[place]).convert("RGB")
        image = image.resize(image.size, Image.Resampling.BILINEAR, drawn_box(*image.size))
        return np.array(mirrored(image)), self.targets[place]


def examples_of(race: Race) -> Arrays | Files:
    return Files(race) if race.is_jpeg else Arrays(race)


class Samples(Dataset[tuple[Tensor, int]]):
    """Examples as tensors of floats, with the channels first and normalized."""

    def __init__(self, race: Race) -> None:
        self.examples = examples_of(race)

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, place: int) -> tuple[Tensor, int]:
        array, target = self.examples[place]
        values = torch.from_numpy(array).permute(2, 0, 1).contiguous()
        return values.float().div_(255.0).sub_(0.5).div_(0.25), target


class Rows(Dataset[tuple[Tensor, Tensor]]):
    """Vectors, kept as floats; a batch is one copy of rows, which two workers could only make dearer."""

    def __init__(self, race: Race) -> None:
        self.inputs, self.targets = torch.from_numpy(race.inputs()).float(), torch.from_numpy(race.targets())

    def __len__(self) -> int:
        return len(self.targets)

    def __getitems__(self, places: list[int]) -> tuple[Tensor, Tensor]:
        chosen = torch.tensor(places)
        return self.inputs.index_select(0, chosen), self.targets.index_select(0, chosen)


def transformed(values: NDArray[np.uint8]) -> NDArray[np.uint8]:
    image = Image.fromarray(values.squeeze())
    image = image.transform(image.size, Image.Transform.AFFINE, drawn_map(*image.size), Image.Resampling.BILINEAR)
    return np.asarray(mirrored(image), dtype=np.uint8).reshape(values.shape).copy()


def mirrored(image: Image.Image) -> Image.Image:
    """Half of them."""
    return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if random.random() < 0.5 else image  # noqa: S311


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


def drawn_box(width: int, height: int) -> tuple[int, int, int, int]:
    """An area of 8 to 100 %, 3 : 4 to 4 : 3, somewhere: torchvision's RandomResizedCrop."""
    draw = random.uniform
    for _ in range(TRIES):
        area = draw(0.08, 1.0) * width * height
        ratio = math.exp(draw(math.log(3 / 4), math.log(4 / 3)))
        across, down = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < across <= width and 0 < down <= height:
            left, top = random.randint(0, width - across), random.randint(0, height - down)  # noqa: S311
            return left, top, left + across, top + down
    return 0, 0, width, height


def loader_of(race: Race) -> "DataLoader[Any]":
    if not race.is_image:
        return DataLoader(Rows(race), race.batch_size, shuffle=True, drop_last=True, collate_fn=lambda batch: batch)
    data = Samples(race)
    return DataLoader(data, race.batch_size, shuffle=True, num_workers=2, drop_last=True, persistent_workers=True)


def endless(race: Race) -> Iterator[tuple[Tensor, Tensor]]:
    loader = loader_of(race)
    while True:
        yield from loader
