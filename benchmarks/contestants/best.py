"""The best loop we can write by hand for one workload: data in memory as bytes, one resampling a batch, NHWC, pooling
before ReLU, byte masks, index lists for multi-hot rows, foreach clipping, the fused optimizer; and, where told so,
replicas of the network that share its weights and compute a part of each batch on a core of their own.
"""

import math
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.contestants.networks import Cnn, Mlp, network_of, rate_at
from benchmarks.contestants.race import Race, enter


class FastCnn(Cnn):
    def forward(self, x: Tensor) -> Tensor:
        x = F.relu_(self.conv1(x))
        x = F.relu_(F.max_pool2d(self.conv2(x), 2))
        x = drop_half(F.relu_(self.head(x.permute(0, 2, 3, 1).flatten(1))))
        return self.output(x)  # type: ignore[no-any-return]


def drop_half(x: Tensor) -> Tensor:
    words = torch.empty(-(-x.numel() // 8), dtype=torch.int64).random_(-(2**63), None)
    return x * (words.view(torch.uint8)[: x.numel()].view(x.shape) < 128).to(x.dtype).mul_(2.0)


def drawn(images: Tensor) -> Tensor:
    """Rotation ±10°, shift 10 %, shear 0.2, zoom 20 %, half of them mirrored, as one matrix and one resampling."""
    count, _, height, width = images.shape
    angle, shear, down, across, tall, wide, mirror = torch.rand(7, count)
    angle, shear = (angle * 2 - 1) * math.radians(10), (shear * 2 - 1) * 0.2
    tall, wide = tall * 0.4 + 0.8, (wide * 0.4 + 0.8) * (1.0 - 2.0 * (mirror < 0.5))
    cosine, sine = angle.cos(), angle.sin()
    x = torch.linspace(-1 + 1 / width, 1 - 1 / width, width)
    y = torch.linspace(-1 + 1 / height, 1 - 1 / height, height)
    a, b = wide * cosine, wide * (shear * cosine - sine)
    d, e = tall * sine, tall * (cosine + shear * sine)
    c, f = (across * 2 - 1) * 0.2, (down * 2 - 1) * 0.2
    grid = torch.empty(count, height, width, 2)
    torch.add((a[:, None] * x)[:, None, :], (b[:, None] * y + c[:, None])[:, :, None], out=grid[..., 0])
    torch.add((d[:, None] * x)[:, None, :], (e[:, None] * y + f[:, None])[:, :, None], out=grid[..., 1])
    return F.grid_sample(images, grid, padding_mode="border", align_corners=False)


class Replica:
    """A network on the shared weights, with gradients of its own."""

    def __init__(self, race: Race, network: nn.Module) -> None:
        self.race, self.network = race, network
        self.parameters = list(network.parameters())

    def gradients(self) -> list[Tensor]:
        return [gradient for parameter in self.parameters if (gradient := parameter.grad) is not None]

    def differentiate(self, images: Tensor, labels: Tensor, share: float) -> None:
        inputs = drawn(images.permute(0, 3, 1, 2).float())
        inputs = inputs.sub_(127.5).mul_(1 / 64).contiguous(memory_format=torch.channels_last)
        for parameter in self.parameters:
            parameter.grad = None
        with torch.autocast("cpu", torch.bfloat16, enabled=self.race.precision == "bfloat16"):
            outputs = self.network(inputs)
        (F.cross_entropy(outputs.float(), labels) * share).backward()


def replicas_of(race: Race) -> list[Replica]:
    network: nn.Module = FastCnn() if race.workload == "fashion" else network_of(race)
    network.train().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    networks = [network, *(deepcopy(network) for _ in range(race.replicas - 1))]
    for other in networks[1:]:
        for mine, shared in zip(other.parameters(), network.parameters(), strict=True):
            mine.data = shared.data
    return [Replica(race, one) for one in networks]


def run_images(race: Race) -> None:
    images, labels = torch.from_numpy(race.inputs()), torch.from_numpy(race.targets())
    replicas = replicas_of(race)
    first, *others = replicas
    pool = ThreadPoolExecutor(max(1, len(others)), initializer=torch.set_num_threads, initargs=(1,))
    optimizer = torch.optim.SGD(first.parameters, lr=0.05, momentum=0.9, weight_decay=2e-4, fused=True)
    step = 0
    while True:
        for places in torch.randperm(len(images)).split(race.batch_size):
            if len(places) < race.batch_size:
                continue
            chunks = places.chunk(len(replicas))
            parts = [(images.index_select(0, chunk), labels.index_select(0, chunk)) for chunk in chunks]
            share = 1.0 / len(replicas)
            waited = [pool.submit(one.differentiate, *part, share) for one, part in zip(others, parts[1:], strict=True)]
            first.differentiate(*parts[0], share)
            for one, done in zip(others, waited, strict=True):
                done.result()
                torch._foreach_add_(first.gradients(), one.gradients())
            torch.nn.utils.clip_grad_norm_(first.parameters, 1.0, foreach=True)
            optimizer.param_groups[0]["lr"] = 0.05 * rate_at(step)
            optimizer.step()
            step += 1
            race.step_done()


def run_vectors(race: Race) -> None:
    rows, columns = map(torch.from_numpy, race.inputs().nonzero())
    labels = torch.from_numpy(race.targets()).float()
    lengths = torch.bincount(rows, minlength=len(labels))
    lists = columns.split(lengths.tolist())
    network = Mlp().train()
    table = nn.Parameter(network.first.weight.detach().T.contiguous())
    others = [network.first.bias, *network.second.parameters(), *network.output.parameters()]
    optimizer = torch.optim.RMSprop([table, *others], lr=0.001, foreach=True)
    while True:
        for places in torch.randperm(len(labels)).split(race.batch_size):
            if len(places) < race.batch_size:
                continue
            words = torch.cat([lists[place] for place in places.tolist()])
            counts = lengths[places]
            sums = F.embedding_bag(words, table, counts.cumsum(0) - counts, mode="sum") + network.first.bias
            optimizer.zero_grad()
            F.binary_cross_entropy_with_logits(network.rest(sums), labels[places]).backward()
            with torch.no_grad():
                assert table.grad is not None
                assert network.second.weight.grad is not None
                table.grad.add_(table.sign(), alpha=1e-3)
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
