"""Tensors in memory, augmented a batch at a time by kornia."""

from typing import Any

import torch
from kornia.augmentation import AugmentationSequential, RandomAffine, RandomHorizontalFlip, RandomResizedCrop

from benchmarks.contestants.networks import loss_of, network_of, optimizer_of, schedule_of
from benchmarks.contestants.race import Race, enter


def run(race: Race) -> None:
    torch.set_num_threads(race.threads)
    images = torch.from_numpy(race.inputs()).permute(0, 3, 1, 2).contiguous()
    labels = torch.from_numpy(race.targets())
    if race.is_jpeg:
        geometry: Any = RandomResizedCrop((images.shape[2], images.shape[3]), (0.08, 1.0), (3 / 4, 4 / 3))
    else:
        shear = torch.rad2deg(torch.tensor(0.2)).item()
        geometry = RandomAffine(10.0, (0.1, 0.1), (0.8, 1.2), shear, padding_mode="border", p=1.0)
    change = AugmentationSequential(geometry, RandomHorizontalFlip(p=0.5))
    network = network_of(race).train()
    optimizer = optimizer_of(race, network)
    schedule = schedule_of(race, optimizer)
    while True:
        for places in torch.randperm(len(images)).split(race.batch_size):
            if len(places) < race.batch_size:
                continue
            with torch.no_grad():
                inputs = (change(images[places].float() / 255.0) - 0.5) / 0.25
            optimizer.zero_grad()
            loss_of(race, network, inputs, labels[places]).backward()
            if race.clips:
                torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            race.step_done()


if __name__ == "__main__":
    run(enter("torch", "kornia"))
