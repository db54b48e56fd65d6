"""When an operation acts."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import torch
from torch import Tensor

from models.spec.timed import Timed
from worker.training.copying import onto
from worker.training.geometry import Finish
from worker.training.tally import Tally, differing

Operation = TypeVar("Operation", bound=Timed)


@dataclass(frozen=True)
class Planned(Generic[Operation]):
    """One operation and the steps in which it acts: from `begin` to before `end`."""

    operation: Operation
    begin: int
    end: int
    place: int = 0
    """In the list of augmentations."""


def planned(operation: Operation, steps_per_epoch: int, steps: int, place: int = 0) -> Planned[Operation]:
    begin, end = (moment.in_steps(steps_per_epoch, steps) for moment in (operation.from_, operation.until))
    return Planned(operation, begin, end, place)


def acting(operations: Sequence[Planned[Operation]], step: int) -> Iterator[Planned[Operation]]:
    """Those that act in this step, counted from 0."""
    return (one for one in operations if one.begin <= step < one.end)


def note(
    tally: Tally | None,
    operations: Sequence[Planned[Operation]],
    chosen: Sequence[Tensor],
    before: Tensor,
    after: Tensor,
    finish: Finish | None = None,
) -> None:
    """Counts, of the examples that operations were offered together, those each was drawn to change, `chosen`
    (examples,) bool on the CPU, and those of them that are different now. Before they were not finished yet.
    """
    if tally is None or not operations:
        return
    changed = differing(before, after, torch.stack(list(chosen)).any(0), finish)
    for one, its in zip(operations, chosen, strict=True):
        tally.add(f"augmentation/{one.place}/examples", len(its))
        tally.add(f"augmentation/{one.place}/chosen", int(its.sum()))
        tally.count(f"augmentation/{one.place}/changed", changed & onto(changed.device, its))
