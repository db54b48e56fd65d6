"""The best loop we can write by hand for one workload: data in memory as bytes, one resampling a batch, in pieces that
stay in the caches, or boxes enlarged as bytes, NHWC, pooling before ReLU, byte masks, index lists for multi-hot rows
with our own sums over them, foreach clipping, the fused optimizer; and, where told so, replicas of the network that
share its weights and compute a part of each batch on a core of their own, where whoever is done first makes the next
batch beside those who are not, and beside the update.
"""

import math
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from copy import deepcopy
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.contestants.networks import Cnn, Mlp, network_of, rate_at
from benchmarks.contestants.race import Race, enter
from worker.training.column_sums import PLACES, lay_by_columns, summed

Result = TypeVar("Result")


class FastCnn(Cnn):
    def forward(self, x: Tensor) -> Tensor:
        x = F.relu_(self.conv1(x))
        x = F.relu_(F.max_pool2d(self.conv2(x), 2))
        x = drop_half(F.relu_(self.head(x.permute(0, 2, 3, 1).flatten(1))))
        return self.output(x)  # type: ignore[no-any-return]


def drop_half(x: Tensor) -> Tensor:
    words = torch.empty(-(-x.numel() // 8), dtype=torch.int64).random_(-(2**63), None)
    return x * (words.view(torch.uint8)[: x.numel()].view(x.shape) < 128).to(x.dtype).mul_(2.0)


Places = tuple[Tensor, Tensor, Tensor, Tensor]
"""To read from: what the column and what the row adds to x, and to y, (count, width) or (count, height) each."""


def drawn(count: int, height: int, width: int) -> Places:
    """Rotation ±10°, shift 10 %, shear 0.2, zoom 20 %, half of them mirrored, as one matrix."""
    angle, shear, down, across, tall, wide, mirror = torch.rand(7, count)
    angle, shear = (angle * 2 - 1) * math.radians(10), (shear * 2 - 1) * 0.2
    tall, wide = tall * 0.4 + 0.8, (wide * 0.4 + 0.8) * (1.0 - 2.0 * (mirror < 0.5))
    cosine, sine = angle.cos(), angle.sin()
    x = torch.linspace(-1 + 1 / width, 1 - 1 / width, width)
    y = torch.linspace(-1 + 1 / height, 1 - 1 / height, height)
    a, b = wide * cosine, wide * (shear * cosine - sine)
    d, e = tall * sine, tall * (cosine + shear * sine)
    c, f = (across * 2 - 1) * 0.2, (down * 2 - 1) * 0.2
    return a[:, None] * x, b[:, None] * y + c[:, None], d[:, None] * x, e[:, None] * y + f[:, None]


TRIES = 10


def boxed(count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Of boxes of 8 to 100 % of a square image, 3 : 4 to 4 : 3, the sides as parts of the image's, and where they lie,
    from 0 to 1, (2, count) each: vertical and horizontal; and −1 for those that are mirrored.
    """
    area = torch.rand(count, TRIES) * 0.92 + 0.08
    ratio = ((torch.rand(count, TRIES) * 2 - 1) * math.log(4 / 3)).exp()
    sides = torch.stack([(area / ratio).sqrt(), (area * ratio).sqrt()])
    fits, first = (sides <= 1).all(0).max(1)
    drawn = torch.where(fits, sides.gather(2, first.expand(2, count)[..., None])[..., 0], 1.0)
    return drawn, torch.rand(2, count), torch.rand(count).sub_(0.5).sign()


def cropped(count: int, side: int) -> Places:
    """Of a box."""
    (tall, wide), (down, across), mirror = boxed(count)
    x = torch.linspace(-1 + 1 / side, 1 - 1 / side, side)
    columns = (wide * mirror)[:, None] * x + ((across * 2 - 1) * (1 - wide))[:, None]
    rows = tall[:, None] * x + ((down * 2 - 1) * (1 - tall))[:, None]
    return columns, torch.zeros_like(rows), torch.zeros_like(columns), rows


AT_ONCE = 1_000_000
"""Numbers."""
LARGE = 100
"""Pixels of a side from which on boxes are enlarged as bytes, an image at a time."""


def read(images: Tensor, places: Places) -> Tensor:
    """Bytes (count, height, width, channels) at these places, as (count, channels, height, width), normalized."""
    count, height, width, channels = images.shape
    done = torch.empty(images.shape).permute(0, 3, 1, 2)
    at_once = max(1, AT_ONCE // images[0].numel())
    for start in range(0, count, at_once):
        few = slice(start, start + at_once)
        across_x, down_x, across_y, down_y = (each[few] for each in places)
        grid = torch.empty(len(across_x), height, width, 2)
        torch.add(across_x[:, None, :], down_x[:, :, None], out=grid[..., 0])
        torch.add(across_y[:, None, :], down_y[:, :, None], out=grid[..., 1])
        floats = images[few].permute(0, 3, 1, 2).float()
        moved = F.grid_sample(floats, grid, padding_mode="border", align_corners=False).sub_(127.5)
        for channel in range(channels):
            torch.mul(moved[:, channel], 1 / 64, out=done[few, channel])
    return done


def enlarged(images: Tensor) -> Tensor:
    """Boxes of bytes (count, side, side, channels), as (count, channels, side, side), normalized."""
    count, side = images.shape[:2]
    sides, where, mirror = boxed(count)
    lengths = (sides * side).round()
    corners = torch.minimum((where * (side - lengths + 1)).floor(), side - lengths)
    sources, pixels = images.permute(0, 3, 1, 2), torch.empty_like(images)
    targets = pixels.permute(0, 3, 1, 2)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    for place, (top, left, tall, wide) in enumerate(torch.cat([corners, lengths]).T.int().tolist()):
        box = sources[place, None, :, top : top + tall, left : left + wide]
        if mirror[place] < 0:
            box = box.flip(3)
        torch.ops.aten.upsample_bilinear2d.out(box, [side, side], False, out=targets[place, None])
    torch.set_num_threads(threads)
    done = torch.empty(images.shape)
    few = max(1, AT_ONCE // images[0].numel())
    for some, into in zip(pixels.split(few), done.split(few), strict=True):
        torch.mul(some.float().sub_(127.5), 1 / 64, out=into)
    return done.permute(0, 3, 1, 2)


def changed(race: Race, images: Tensor) -> Tensor:
    """Bytes (count, height, width, channels) as the network is to see them, augmented."""
    count, height, width, _ = images.shape
    if race.is_jpeg and height >= LARGE:
        return enlarged(images)
    return read(images, cropped(count, height) if race.is_jpeg else drawn(count, height, width))


class Replica:
    """A network on the shared weights, with gradients of its own."""

    def __init__(self, race: Race, network: nn.Module) -> None:
        self.race, self.network = race, network
        self.parameters = list(network.parameters())

    def gradients(self) -> list[Tensor]:
        return [gradient for parameter in self.parameters if (gradient := parameter.grad) is not None]

    def differentiate(self, inputs: Tensor, labels: Tensor) -> None:
        for parameter in self.parameters:
            parameter.grad = None
        with torch.autocast("cpu", torch.bfloat16, enabled=self.race.precision == "bfloat16"):
            outputs = self.network(inputs)
        (F.cross_entropy(outputs.float(), labels) / self.race.replicas).backward()


def replicas_of(race: Race) -> list[Replica]:
    network = FastCnn() if race.workload == "fashion" else network_of(race)
    network.train().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    networks = [network, *(deepcopy(network) for _ in range(race.replicas - 1))]
    for other in networks[1:]:
        for mine, shared in zip(other.parameters(), network.parameters(), strict=True):
            mine.data = shared.data
    return [Replica(race, one) for one in networks]


def batches(race: Race, examples: int) -> Iterator[Tensor]:
    """Places of the examples, in a new order every epoch."""
    while True:
        whole = examples - examples % race.batch_size
        yield from torch.randperm(examples)[:whole].split(race.batch_size)


def at_once(work: Callable[..., Result], *arguments: Any) -> Future[Result]:
    """What a pool's `submit` does, here and now."""
    done: Future[Result] = Future()
    done.set_result(work(*arguments))
    return done


def run_images(race: Race) -> None:
    images, labels = torch.from_numpy(race.inputs()), torch.from_numpy(race.targets())
    replicas = replicas_of(race)
    first, *others = replicas
    pool = ThreadPoolExecutor(race.replicas, initializer=torch.set_num_threads, initargs=(torch.get_num_threads(),))
    submit = pool.submit if others else at_once
    kernels: list[Tensor] = [] if race.is_jpeg else [one for one in first.parameters if one.dim() > 1]
    optimizer = torch.optim.SGD(first.parameters, lr=0.05, momentum=0.9, fused=True)

    def make(places: Tensor) -> tuple[Tensor, Tensor]:
        return changed(race, images.index_select(0, places)), labels.index_select(0, places)

    def begun(places: Tensor) -> list[Future[tuple[Tensor, Tensor]]]:
        return [submit(make, part) for part in places.chunk(race.replicas)]

    coming = batches(race, len(images))
    parts = begun(next(coming))
    for step, places in enumerate(coming):
        working = [submit(one.differentiate, *part.result()) for one, part in zip(replicas, parts, strict=True)]
        parts = begun(places)
        for done in working:
            done.result()
        for one in others:
            torch._foreach_add_(first.gradients(), one.gradients())
        if kernels:
            with torch.no_grad():
                torch._foreach_add_([one.grad for one in kernels if one.grad is not None], kernels, alpha=2e-4)
        if race.clips:
            torch.nn.utils.clip_grad_norm_(first.parameters, 1.0, foreach=True)
        optimizer.param_groups[0]["lr"] = 0.05 * rate_at(race, step)
        optimizer.step()
        race.step_done()


def run_vectors(race: Race) -> None:
    rows, columns = map(torch.from_numpy, race.inputs().nonzero())
    labels = torch.from_numpy(race.targets()).float()
    lengths = torch.bincount(rows, minlength=len(labels))
    network = Mlp().train()
    lay_by_columns(network.first)
    lists = torch.full((len(labels), int(lengths.max())), network.first.in_features, dtype=PLACES)
    lists[torch.arange(lists.shape[1]) < lengths[:, None]] = columns.to(PLACES)
    optimizer = torch.optim.RMSprop(network.parameters(), lr=0.001, foreach=True)
    for places in batches(race, len(labels)):
        sums = summed(lists.index_select(0, places), network.first.weight, network.first.bias)
        optimizer.zero_grad()
        F.binary_cross_entropy_with_logits(network.rest(sums), labels[places]).backward()
        with torch.no_grad():
            assert network.first.weight.grad is not None
            assert network.second.weight.grad is not None
            network.first.weight.grad.add_(network.first.weight.sign(), alpha=1e-3)
            network.second.weight.grad.add_(network.second.weight, alpha=2e-3)
        optimizer.step()
        race.step_done()


if __name__ == "__main__":
    entered = enter("torch")
    torch.set_num_threads(entered.threads // entered.replicas)
    if entered.is_image:
        run_images(entered)
    else:
        run_vectors(entered)
