"""The loop that most people write: a DataLoader, with two workers for images, and the optimizer as it comes."""

from collections.abc import Iterator

import torch
from torch import Tensor

from benchmarks.contestants.networks import loss_of, network_of, optimizer_of, schedule_of
from benchmarks.contestants.race import Race, enter
from benchmarks.contestants.samples import endless


def run(race: Race, batches: Iterator[tuple[Tensor, Tensor]]) -> None:
    torch.set_num_threads(race.threads)
    network = network_of(race).train()
    optimizer = optimizer_of(race, network)
    schedule = schedule_of(race, optimizer)
    total = 0.0
    for inputs, targets in batches:
        optimizer.zero_grad()
        loss = loss_of(race, network, inputs, targets)
        loss.backward()
        if race.clips:
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        total += loss.item()
        race.step_done()


if __name__ == "__main__":
    entered = enter("torch", "pillow")
    run(entered, endless(entered))
