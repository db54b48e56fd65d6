"""The loop that most people write for a folder of JPEGs: a DataLoader with two workers that decode, crop, mirror and
normalize an image at a time, every epoch anew.
"""

import math
import random
from collections.abc import Iterator

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from benchmarks.contestants.race import LABELS, Race, enter

TRIES = 10


class Files(Dataset[tuple[Tensor, int]]):
    """`images/<class>/<name>.jpg`, as folders of images usually are."""

    def __init__(self, race: Race) -> None:
        self.paths = sorted((race.data / "images").glob("*/*.jpg"))
        classes = sorted({path.parent.name for path in self.paths})
        self.targets = [classes.index(path.parent.name) for path in self.paths]

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, place: int) -> tuple[Tensor, int]:
        image = Image.open(self.paths[place]).convert("RGB")
        image = image.resize(image.size, Image.Resampling.BILINEAR, drawn_box(*image.size))
        if random.random() < 0.5:  # noqa: S311
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous()
        return pixels.float().div_(255.0).sub_(0.5).div_(0.25), self.targets[place]


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


def network(workload: str) -> nn.Sequential:
    """Three convolutions with strides, the mean over the places, one dense layer."""
    first = nn.Conv2d(3, 16, 7, 8, 3) if workload == "jpeg224" else nn.Conv2d(3, 16, 5, 4, 2)
    return nn.Sequential(
        first,
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, 2, 1),
        nn.ReLU(),
        nn.Conv2d(32, 64, 3, 2, 1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(64, LABELS),
    )


def endless(race: Race) -> Iterator[tuple[Tensor, Tensor]]:
    loader = DataLoader(
        Files(race), race.batch_size, shuffle=True, num_workers=2, drop_last=True, persistent_workers=True
    )
    while True:
        yield from loader


def run(race: Race, batches: Iterator[tuple[Tensor, Tensor]]) -> None:
    torch.set_num_threads(race.threads)
    trained = network(race.workload).train()
    optimizer = torch.optim.SGD(trained.parameters(), lr=0.05, momentum=0.9)
    total = 0.0
    for inputs, targets in batches:
        optimizer.zero_grad()
        loss = F.cross_entropy(trained(inputs), targets)
        loss.backward()
        optimizer.step()
        total += loss.item()
        race.step_done()


if __name__ == "__main__":
    entered = enter("torch", "pillow")
    run(entered, endless(entered))
