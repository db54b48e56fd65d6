"""A loop in the style of timm's training script: workers hand over bytes, the batch is normalized as a whole, the loss
is read now and then only; vectors come as everybody's do. Written after it, not run from it: timm needs torchvision,
which asks for another torch.
"""

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from benchmarks.contestants.networks import loss_of, network_of, optimizer_of, rate_at
from benchmarks.contestants.race import Race, enter
from benchmarks.contestants.samples import Samples, endless

LOG_EVERY = 50


class Bytes(Samples):
    """Examples as they come out of the transforms, (channels, height, width) of uint8."""

    def __getitem__(self, place: int) -> tuple[Tensor, int]:
        array, target = self.examples[place]
        return torch.from_numpy(array.transpose(2, 0, 1)), target


def collate(examples: list[tuple[Tensor, int]]) -> tuple[Tensor, Tensor]:
    """Inputs as one tensor of bytes, (examples, channels, height, width), and targets."""
    batch = torch.empty((len(examples), *examples[0][0].shape), dtype=torch.uint8)
    for place, (values, _) in enumerate(examples):
        batch[place].copy_(values)
    return batch, torch.tensor([target for _, target in examples])


def batches(race: Race) -> Iterator[tuple[Tensor, Tensor]]:
    loader = DataLoader(
        Bytes(race),
        race.batch_size,
        shuffle=True,
        num_workers=2,
        collate_fn=collate,
        drop_last=True,
        persistent_workers=True,
    )
    while True:
        for inputs, targets in loader:
            yield inputs.float().sub_(127.5).div_(63.75), targets


def run(race: Race) -> None:
    torch.set_num_threads(race.threads)
    network = network_of(race).train()
    optimizer = optimizer_of(race, network)
    rates = [group["lr"] for group in optimizer.param_groups]
    total = 0.0
    for step, (inputs, targets) in enumerate(batches(race) if race.is_image else endless(race)):
        loss = loss_of(race, network, inputs, targets)
        loss.backward()
        if race.clips:
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate * rate_at(race, step + 1)
        if step % LOG_EVERY == 0:
            total += loss.item()
        race.step_done()


if __name__ == "__main__":
    run(enter("torch", "pillow"))
