"""When an operation acts."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from torch import Tensor

from models.spec.timed import Timed
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


def note(tally: Tally | None, one: Planned[Operation], chosen: Tensor, before: Tensor, after: Tensor) -> None:
    """Counts, of the examples that an operation was offered, those it was drawn to change, `chosen` (examples,) bool on
    the CPU, and those of them that are different now.
    """
    if tally is None:
        return
    tally.add(f"augmentation/{one.place}/examples", len(chosen))
    tally.add(f"augmentation/{one.place}/chosen", int(chosen.sum()))
    tally.count(f"augmentation/{one.place}/changed", differing(before, after) & chosen.to(after.device))
