"""Random numbers for one operation on one batch: one draw per example, made on the CPU, so that a machine with another
device draws the same.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from worker.training.copying import onto

SEEDS = 2**62


@dataclass(frozen=True)
class Draws:
    """What is drawn for `samples` examples; all results are on the CPU."""

    samples: int
    generator: torch.Generator

    def chosen(self, p: float) -> Tensor:
        """(samples,) bool, true with this probability."""
        return self.between(0.0, 1.0) < p if p < 1.0 else torch.ones(self.samples, dtype=torch.bool)

    def between(self, low: float, high: float, tries: int | None = None) -> Tensor:
        """(samples,) uniform, or (samples, tries)."""
        shape = (self.samples,) if tries is None else (self.samples, tries)
        return torch.rand(shape, generator=self.generator) * (high - low) + low

    def symmetric(self, bound: float) -> Tensor:
        return self.between(-bound, bound)

    def sign(self, chance: float) -> Tensor:
        """−1 with this chance, else 1."""
        return 1.0 - 2.0 * (torch.rand(self.samples, generator=self.generator) < chance)

    def whole(self, low: int, high: int) -> Tensor:
        """(samples,) int64, uniform from `low` to `high`, both possible."""
        return torch.randint(low, high + 1, (self.samples,), generator=self.generator)

    def seed(self) -> int:
        """For draws that are made elsewhere."""
        return int(torch.randint(SEEDS, (), generator=self.generator))

    def on(self, device: torch.device) -> torch.Generator:
        """A generator for what has a number for every pixel, which is drawn where it is needed."""
        return torch.Generator(device=device).manual_seed(self.seed())


def first_that_fits(values: Tensor, fits: Tensor) -> Tensor:
    """Of (samples, tries) the first whose `fits` is true, (samples,); some try's where there is none."""
    return values.gather(1, fits.int().argmax(1, keepdim=True))[:, 0]


def per_sample(values: Tensor, images: Tensor) -> Tensor:
    """(samples,) as (samples, 1, …) beside the images."""
    return onto(images.device, values).view(-1, *[1] * (images.ndim - 1))
