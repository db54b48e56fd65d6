"""Counts of what really happened in a run. They stay on the device until somebody asks, and go into every checkpoint:
an interrupted run counts what an undisturbed one does.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor

from worker.training.copying import onto

TENSORS = "tally/"


class Tally:
    """Numbers by name, such as `augmentation/0/changed`, that only grow."""

    def __init__(self, device: str | torch.device = "cpu") -> None:
        self.device = device
        self.known: dict[str, int] = defaultdict(int)
        """What is known without asking the device."""
        self.counted: dict[str, Tensor] = {}
        """Scalars on the device, float64."""
        self.counts = True

    @contextmanager
    def paused(self) -> Iterator[None]:
        """What happens in here has been counted before."""
        self.counts = False
        try:
            yield
        finally:
            self.counts = True

    def add(self, name: str, amount: int) -> None:
        if self.counts:
            self.known[name] += amount

    def count(self, name: str, amount: Tensor) -> None:
        """`amount` is a scalar, or what is summed up: true counts 1. Nothing waits for it."""
        if not self.counts:
            return
        amount = amount.detach()
        total = (amount.count_nonzero() if amount.dtype == torch.bool else amount.sum()).double()
        self.counted[name] = self.counted[name] + total if name in self.counted else total

    def take(self, other: "Tally") -> None:
        """Counts what another one has counted, which begins anew."""
        self.include(other)
        other.clear()

    def include(self, other: "Tally") -> None:
        """Counts what another one has counted."""
        for name, amount in other.known.items():
            self.add(name, amount)
        for name, total in other.counted.items():
            self.count(name, total)

    def read(self) -> dict[str, float]:
        """All of them, by name; waits for the device once."""
        values = torch.stack(list(self.counted.values())).tolist() if self.counted else []
        return {**self.known, **dict(zip(self.counted, values, strict=True))}

    def clear(self) -> None:
        self.known.clear()
        self.counted.clear()

    def tensors(self) -> dict[str, Tensor]:
        """What a checkpoint needs."""
        known = {name: torch.tensor(value) for name, value in self.known.items()}
        return {f"{TENSORS}{name}": value for name, value in {**known, **self.counted}.items()}

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        for key, value in tensors.items():
            name = key.removeprefix(TENSORS)
            if name == key:
                continue
            if value.is_floating_point():
                self.counted[name] = value.to(self.device)
            else:
                self.known[name] = int(value)


def differing(before: Tensor, after: Tensor, among: Tensor, finish: Callable[[Tensor], Tensor] | None = None) -> Tensor:
    """(examples,) bool: where any number is another one, of those `among` (examples,) on the CPU; to those before is
    done first what was done to those after.

    A row tells of nearly every image: on a CPU, where asking is not waiting, only those that it leaves open are
    compared whole.
    """

    def is_other(old: Tensor, new: Tensor) -> Tensor:
        return ((old if finish is None else finish(old)) != new).flatten(1).any(1)

    if before.device.type != "cpu" or before.dim() != 4:
        return is_other(before, after) & onto(after.device, among)
    middle = before.shape[2] // 2
    found = is_other(before[:, :, middle : middle + 1], after[:, :, middle : middle + 1]) & among
    left = (among & ~found).nonzero().flatten()
    if len(left):
        found[left] = is_other(before[left], after[left])
    return found
