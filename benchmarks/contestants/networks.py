"""The workloads' networks as PyTorch modules, written the way a model is usually written; and their optimizers."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.contestants.race import LABELS, Race

SCHEDULED_STEPS = 4690
"""Of the cosine: ten epochs of 469 steps."""


class Cnn(nn.Module):
    """conv 32 – conv 64 – pool – dense 128 – dropout – 10, 1.2 million parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 32, 3)
        self.conv2 = nn.Conv2d(32, 64, 3)
        self.head = nn.Linear(9216, 128)
        self.output = nn.Linear(128, LABELS)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.conv1(x))
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        x = F.dropout(F.relu(self.head(x.flatten(1))), 0.5, self.training)
        return self.output(x)  # type: ignore[no-any-return]


class Block(nn.Module):
    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(width)
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1 or inputs != width:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, width, 1, stride, bias=False), nn.BatchNorm2d(width))

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm2(self.conv2(F.relu(self.norm1(self.conv1(x)))))
        return F.relu(y + self.shortcut(x))


class Resnet(nn.Module):
    """Depth 20, widths 24, 48 and 96, 0.6 million parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 24, 3, 1, 1, bias=False), nn.BatchNorm2d(24), nn.ReLU())
        blocks, channels = [], 24
        for stage in range(3):
            for index in range(3):
                width = 24 * 2**stage
                blocks.append(Block(channels, width, 2 if stage > 0 and index == 0 else 1))
                channels = width
        self.blocks = nn.Sequential(*blocks)
        self.output = nn.Linear(channels, LABELS)

    def forward(self, x: Tensor) -> Tensor:
        return self.output(self.blocks(self.stem(x)).mean((2, 3)))  # type: ignore[no-any-return]


def strided(workload: str) -> nn.Sequential:
    """W4's: three convolutions with strides, the mean over the places, one dense layer."""
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


class Mlp(nn.Module):
    """10,000 – 16 – 16 – 1 with dropout behind both hidden layers."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(10_000, 16)
        self.second = nn.Linear(16, 16)
        self.output = nn.Linear(16, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.rest(self.first(x))

    def rest(self, x: Tensor) -> Tensor:
        """From the first layer's sums on."""
        x = F.dropout(F.relu(x), 0.5, self.training)
        x = F.dropout(F.relu(self.second(x)), 0.5, self.training)
        return self.output(x).squeeze(1)  # type: ignore[no-any-return]


def network_of(race: Race) -> nn.Module:
    match race.workload:
        case "fashion":
            return Cnn()
        case "cifar":
            return Resnet()
        case "vectors":
            return Mlp()
        case _:
            return strided(race.workload)


def optimizer_of(race: Race, network: nn.Module) -> torch.optim.Optimizer:
    """L2 of 1e-4 is a weight decay of 2e-4 in SGD."""
    if race.is_image:
        decay = 0.0 if race.is_jpeg else 2e-4
        return torch.optim.SGD(network.parameters(), lr=0.05, momentum=0.9, weight_decay=decay)
    return torch.optim.RMSprop(network.parameters(), lr=0.001)


def schedule_of(race: Race, optimizer: torch.optim.Optimizer) -> torch.optim.lr_scheduler.LambdaLR:
    return torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: rate_at(race, step))


def rate_at(race: Race, step: int) -> float:
    """Part of the learning rate: a cosine, or all of it."""
    return 1.0 if race.is_jpeg else 0.5 + 0.5 * math.cos(math.pi * min(step / SCHEDULED_STEPS, 1.0))


def loss_of(race: Race, network: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    """With the penalties of `vectors`, whose layers have their own."""
    outputs = network(inputs)
    if race.is_image:
        return F.cross_entropy(outputs, targets)
    loss = F.binary_cross_entropy_with_logits(outputs, targets.float())
    assert isinstance(network, Mlp)
    return loss + 1e-3 * network.first.weight.abs().sum() + 1e-3 * network.second.weight.square().sum()
