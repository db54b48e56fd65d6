"""Data-parallel training on the cores of a processor: networks on the same weights that each compute a part of every
batch, with one thread or a few of its own.

What comes out depends on how many there are, for every one has masks of its own and batch norms that see its part
alone; which of them is done first changes nothing.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch
from torch import Tensor, nn

from worker.training.compilation import Forward, compiled
from worker.training.dropout import NamedDropout
from worker.training.inputs import Feed
from worker.training.layers import BatchNorm
from worker.training.randomness import derive_seed
from worker.training.tally import Tally

Part = TypeVar("Part")
Result = TypeVar("Result")


class Replica:
    """A network on the weights of the run, with gradients, running statistics, masks and counts of its own."""

    def __init__(self, network: nn.Module, feed: Feed, *, compiles: bool = False) -> None:
        self.network, self.feed = network, feed
        self.parameters = list(network.parameters())
        self.buffers: list[Tensor] = list(network.buffers())
        self.norms = [module for module in network.modules() if isinstance(module, BatchNorm)]
        self.dropout.tally = feed.tally
        self.forward: Forward = compiled(network, self.dropout) if compiles else network

    @property
    def dropout(self) -> NamedDropout:
        dropout = self.network.dropout
        assert isinstance(dropout, NamedDropout)
        return dropout

    @property
    def moving(self) -> list[Tensor]:
        """Buffers that a pass changes."""
        frozen = {id(buffer) for norm in self.norms if norm.frozen for buffer in norm.buffers()}
        return [buffer for buffer in self.buffers if id(buffer) not in frozen]

    @property
    def gradients(self) -> list[Tensor]:
        """Of the parameters that learn, in their order; none before a backward pass."""
        return [parameter.grad for parameter in self.parameters if parameter.grad is not None]


class Replicas:
    """The first one is the run's own network, which all others follow."""

    def __init__(self, all_of_them: Sequence[Replica], device: str) -> None:
        self.all = list(all_of_them)
        self.first, *self.others = self.all
        self.threads = torch.get_num_threads()
        self.each_has = max(1, self.threads // len(all_of_them))
        self.pool: ThreadPoolExecutor | None = None
        at_once = min(len(all_of_them), self.threads)
        if at_once > 1 and device == "cpu":
            self.pool = ThreadPoolExecutor(at_once, "replica", torch.set_num_threads, (self.each_has,))

    def __len__(self) -> int:
        return len(self.all)

    def begin(self, seed: int, step: int) -> None:
        """Before a pass: no gradients, masks that are a function of (seed, step), everything else as the first one
        has it. From here on this thread has a replica's share of the cores.
        """
        if self.pool is not None:
            torch.set_num_threads(self.each_has)
        for place, replica in enumerate(self.all):
            position = (step, place) if place else (step,)
            replica.dropout.generator.manual_seed(derive_seed(seed, "dropout", *position))
            for parameter in replica.parameters:
                parameter.grad = None
        for replica in self.others:
            for mine, its in zip(self.first.parameters, replica.parameters, strict=True):
                its.requires_grad_(mine.requires_grad)
            for norm, followed in zip(replica.norms, self.first.norms, strict=True):
                norm.frozen = followed.frozen
            copy(self.first.buffers, replica.buffers)

    def share_out(self, batch: Tensor) -> list[tuple[Replica, Tensor]]:
        """A part of the batch for each; the last replicas have none where there are too few examples."""
        parts = batch.tensor_split(min(len(self), len(batch)))
        return list(zip(self.all, parts, strict=False))

    def each(
        self,
        work: Callable[[Replica, Part], Result],
        parts: Sequence[Part],
        meanwhile: Callable[[], None] | None = None,
    ) -> list[Result]:
        """The results of every replica's work on its part, as many at the same time as there are cores; the last
        replicas have nothing to do where there are fewer parts. `meanwhile` is called before they are done.
        """
        working = list(zip(self.all, parts, strict=False))
        waiting = [] if self.pool is None else [self.pool.submit(work, *one) for one in working]
        if meanwhile is not None:
            meanwhile()
        return [one.result() for one in waiting] or [work(*one) for one in working]

    def together(self) -> None:
        """All threads for the run's own network, until the next step: threads that have just helped it keep spinning
        for a while, where a replica would want to be.
        """
        if self.pool is not None:
            torch.set_num_threads(self.threads)

    def close(self) -> None:
        self.together()
        if self.pool is not None:
            self.pool.shutdown(wait=False)

    @torch.no_grad()
    def gather(self, tally: Tally) -> None:
        """After a pass: the first replica has the sum of all gradients, the mean of the running statistics, and its
        `tally` the counts of all.
        """
        worked = [replica for replica in self.others if replica.gradients]
        for replica in worked:
            torch._foreach_add_(self.first.gradients, replica.gradients)
            tally.take(replica.feed.tally)
        if worked and (own := self.first.moving):
            for replica in worked:
                torch._foreach_add_(own, replica.moving)
            torch._foreach_div_(own, 1 + len(worked))


def copy(these: list[Tensor], into: list[Tensor]) -> None:
    if these:
        torch._foreach_copy_(into, these)
