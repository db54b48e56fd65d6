"""How replicas get their parts of each batch.

A small one is made whole, by one thread: threads that have many little things to do keep each other waiting for Python.
Of a large one each part is made by itself. Where replicas have threads of their own, those that are done with their
parts of a step make the next step's batch, beside whoever is not done yet and beside the update of the weights.
"""

from collections.abc import Callable, Sequence
from functools import cache, partial
from math import prod
from typing import NamedTuple

from torch import Tensor

from worker.training.data import Dataset
from worker.training.read_ahead import ReadAhead
from worker.training.replicas import Replica, Replicas
from worker.training.tally import Tally

LARGE_BATCH = 500_000
"""Numbers in a batch from which on it is worth the replicas' while to make their parts at the same time. What is drawn
for the examples depends on it."""


class Batch(NamedTuple):
    """Inputs and targets, and what has happened to them."""

    inputs: Tensor
    targets: Tensor
    counts: Tally


class Place(NamedTuple):
    """Where a batch stands: in an epoch, a step of the run, and there behind so many others."""

    epoch: int
    step: int
    number: int = 0


Make = Callable[[], Batch]
"""Makes it, if nobody has, and gives the same one each time."""


class Batches:
    def __init__(self, replicas: Replicas, data: Dataset) -> None:
        self.replicas = replicas
        self.part = data.training
        self.numbers = prod(data.task.input_shape)
        self.ahead = ReadAhead(self.part.inputs)
        self.coming: tuple[Place, Callable[[], Sequence[Make]]] | None = None

    def read_ahead(self, positions: Tensor) -> None:
        """Ask the disk for these examples, a step before they are needed."""
        rows = self.part.rows
        self.ahead.ask(positions if rows is None else rows[positions])

    def parts(self, positions: Tensor, place: Place) -> Sequence[Make]:
        """How each replica gets its part of the batch of these examples."""
        coming, self.coming = self.coming, None
        return coming[1]() if coming is not None and coming[0] == place else self.begun(positions, place)

    def begun(self, positions: Tensor, place: Place) -> Sequence[Make]:
        replicas = self.replicas
        if self.is_large(positions):
            shared = enumerate(replicas.share_out(positions), place.number * len(replicas))
            return [cache(partial(self.made, replica, part, place, index)) for index, (replica, part) in shared]
        whole = self.made(replicas.first, positions, place, place.number)
        inputs, targets = ([part for _, part in replicas.share_out(all_of_it)] for all_of_it in whole[:2])
        counts = [whole.counts, *(Tally(whole.counts.device) for _ in inputs[1:])]
        return [partial(Batch, *one) for one in zip(inputs, targets, counts, strict=True)]

    def made(self, replica: Replica, positions: Tensor, place: Place, index: int) -> Batch:
        counts = Tally(replica.feed.device)
        inputs, targets = replica.feed.training_batch(self.part, positions, place.epoch, place.step, index, counts)
        return Batch(inputs, targets, counts)

    def prepare(self, positions: Tensor, place: Place) -> None:
        """Have a batch that will be asked for made by the threads of the replicas, once they have done what they have
        to do.
        """
        pool = self.replicas.pool
        if pool is None or not len(positions):
            return
        if self.is_large(positions):
            makes = [pool.submit(make).result for make in self.begun(positions, place)]
            self.coming = (place, lambda: makes)
        else:
            self.coming = (place, pool.submit(self.begun, positions, place).result)

    def is_large(self, positions: Tensor) -> bool:
        return len(positions) * self.numbers >= LARGE_BATCH
