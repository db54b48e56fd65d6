"""When an operation acts."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from models.spec.timed import Timed

Operation = TypeVar("Operation", bound=Timed)


@dataclass(frozen=True)
class Planned(Generic[Operation]):
    """One operation and the steps in which it acts: from `begin` to before `end`."""

    operation: Operation
    begin: int
    end: int


def planned(operation: Operation, steps_per_epoch: int, steps: int) -> Planned[Operation]:
    begin, end = (moment.in_steps(steps_per_epoch, steps) for moment in (operation.from_, operation.until))
    return Planned(operation, begin, end)


def acting(operations: Sequence[Planned[Operation]], step: int) -> Iterator[Operation]:
    """Those that act in this step, counted from 0."""
    return (one.operation for one in operations if one.begin <= step < one.end)
