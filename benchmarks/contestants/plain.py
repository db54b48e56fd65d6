"""The loop that most people write: a DataLoader with two workers, an example at a time, the optimizer as it comes."""

import torch

from benchmarks.contestants.networks import loss_of, network_of, optimizer_of, schedule_of
from benchmarks.contestants.race import Race, enter
from benchmarks.contestants.samples import endless


def run(race: Race) -> None:
    torch.set_num_threads(race.threads)
    network = network_of(race).train()
    optimizer = optimizer_of(race, network)
    schedule = schedule_of(optimizer)
    total = 0.0
    for inputs, targets in endless(race):
        optimizer.zero_grad()
        loss = loss_of(race, network, inputs, targets)
        loss.backward()
        if race.is_image:
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        total += loss.item()
        race.step_done()


if __name__ == "__main__":
    run(enter("torch", "pillow"))
