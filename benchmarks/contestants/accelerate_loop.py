"""The plain loop under accelerate."""

import torch
from accelerate import Accelerator

from benchmarks.contestants.networks import loss_of, network_of, optimizer_of, schedule_of
from benchmarks.contestants.race import Race, enter
from benchmarks.contestants.samples import loader_of


def run(race: Race) -> None:
    torch.set_num_threads(race.threads)
    accelerator = Accelerator(cpu=True)
    plain = network_of(race).train()
    optimizer = optimizer_of(race, plain)
    network, optimizer, loader, schedule = accelerator.prepare(
        plain, optimizer, loader_of(race), schedule_of(race, optimizer)
    )
    while True:
        for inputs, targets in loader:
            optimizer.zero_grad()
            loss = loss_of(race, network, inputs, targets)
            accelerator.backward(loss)
            if race.clips:
                accelerator.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            race.step_done()


if __name__ == "__main__":
    run(enter("torch", "accelerate"))
