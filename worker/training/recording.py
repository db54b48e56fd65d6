"""On a GPU, the forward and backward pass of a step recorded once as a CUDA graph, and from then on launched whole: the
hundreds of kernels of a small network take less time than their launches do.

A recording is only used where it leaves the bits that the pass itself has left, on the batch that it was made with;
where one cannot be made, or differs, the passes go on as they are.

NVIDIA 2024, "CUDA C++ programming guide", 3.2.8.7; the rules for what may be recorded are those of `torch.cuda.graph`.
"""

from collections import Counter
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from math import nan
from typing import Any

import torch
from torch import Tensor

from models.spec.training import Training
from worker.training.replicas import Replica
from worker.training.tally import Tally

Results = tuple[Tensor, ...]
Pass = Callable[[Replica, Tensor, Tensor], Results]
"""Inputs and targets → scalars and sums on the device; leaves gradients at the replica's parameters, which had none."""

WARM_UP = 3
"""Passes over batches of one form before it is recorded: in them libraries choose their kernels and get memory."""


@dataclass
class Left:
    """What a pass leaves behind."""

    results: Results
    gradients: list[Tensor | None]
    tally: Tally

    def tensors(self) -> Iterator[Tensor]:
        yield from self.results
        yield from (gradient for gradient in self.gradients if gradient is not None)
        yield from self.tally.counted.values()


Replay = Callable[[], None]
Make = Callable[[Callable[[], Left], torch.Generator], tuple[Replay, Left]]
"""Records what a function does on the device, with numbers of a generator: to do it again, into the same tensors."""


class OnCuda:
    """Records CUDA graphs, which have their memory in common: what one leaves is used up before another is launched."""

    def __init__(self, device: str) -> None:
        self.device = torch.device(device)
        self.pool: Any = None

    def __call__(self, work: Callable[[], Left], generator: torch.Generator) -> tuple[Replay, Left]:
        """Raises RuntimeError where something in it waits for the device, or there is no memory for it."""
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.device(self.device):
            if torch.cuda.mem_get_info()[0] < torch.cuda.max_memory_allocated():
                raise torch.OutOfMemoryError("a recording has memory of its own, beside that of an evaluation")
            graph.register_generator_state(generator)
            aside = torch.cuda.Stream()  # type: ignore[no-untyped-call]
            with torch.cuda.stream(torch.cuda.current_stream()), torch.cuda.graph(graph, self.pool, aside):
                left = work()
        self.pool = graph.pool()
        return graph.replay, left


@dataclass
class Recording:
    """A pass over batches of one form, with its tensors, which stay where they are."""

    inputs: Tensor
    targets: Tensor
    replay: Replay
    left: Left

    def forget(self) -> None:
        """What was left is gone: only a replay brings it back."""
        for tensor in self.left.tensors():
            tensor.detach().fill_(nan if tensor.is_floating_point() else -1)

    def run(self, replica: Replica, inputs: Tensor, targets: Tensor) -> Results:
        self.inputs.copy_(inputs)
        self.targets.copy_(targets)
        self.replay()
        for parameter, gradient in zip(replica.parameters, self.left.gradients, strict=True):
            parameter.grad = gradient
        replica.dropout.tally.include(self.left.tally)
        return tuple(result.clone() for result in self.left.results)


class Recorder:
    """Does passes, from recordings where it can."""

    def __init__(self, make: Make) -> None:
        self.make = make
        self.seen: Counter[Hashable] = Counter()
        self.recordings: dict[Hashable, Recording | None] = {}
        """By form; None where the passes go on as they are."""

    def run(self, work: Pass, replica: Replica, inputs: Tensor, targets: Tensor) -> Results:
        if not inputs.is_floating_point():  # tokens, and rows as lists: what is done with them depends on them
            return work(replica, inputs, targets)
        form = form_of(replica, inputs, targets)
        recording = self.recordings.get(form)
        if recording is not None:
            return recording.run(replica, inputs, targets)
        self.seen[form] += 1
        if form in self.recordings or self.seen[form] <= WARM_UP:
            return work(replica, inputs, targets)
        return self.first(form, work, replica, inputs, targets)

    def first(self, form: Hashable, work: Pass, replica: Replica, inputs: Tensor, targets: Tensor) -> Results:
        """Do a pass as it is, make a recording, and keep it if it does the same."""
        before = Standing.of(replica)
        results = work(replica, inputs, targets)
        after = Standing.of(replica)
        if not after.is_finite():  # numbers that are none are alike: another batch will tell
            return results
        before.restore(replica)
        try:
            recording = self.recorded(work, replica, inputs, targets)
            before.restore(replica)
            recording.forget()
            again = recording.run(replica, inputs, targets)
            same = after.is_that_of(replica) and all(map(torch.equal, results, again))
        except RuntimeError:
            recording, same = None, False
        after.restore(replica)
        self.recordings[form] = recording if same else None
        return results

    def recorded(self, work: Pass, replica: Replica, inputs: Tensor, targets: Tensor) -> Recording:
        own = inputs.clone(), targets.clone()

        def once() -> Left:
            with replica.dropout.counting(Tally(inputs.device)) as tally:
                results = work(replica, *own)
            return Left(results, [parameter.grad for parameter in replica.parameters], tally)

        return Recording(*own, *self.make(once, replica.dropout.generator))


@dataclass
class Standing:
    """What a pass changes: gradients, running statistics, counts, and where the generator is."""

    gradients: list[Tensor | None]
    buffers: list[Tensor]
    known: dict[str, int]
    counted: dict[str, Tensor]
    generator: Tensor

    @classmethod
    def of(cls, replica: Replica) -> "Standing":
        dropout = replica.dropout
        return cls(
            [parameter.grad for parameter in replica.parameters],
            [buffer.clone() for buffer in replica.buffers],
            dict(dropout.tally.known),
            dict(dropout.tally.counted),
            dropout.generator.get_state(),
        )

    def restore(self, replica: Replica) -> None:
        for parameter, gradient in zip(replica.parameters, self.gradients, strict=True):
            parameter.grad = gradient
        for buffer, value in zip(replica.buffers, self.buffers, strict=True):
            buffer.copy_(value)
        tally = replica.dropout.tally
        tally.clear()
        tally.known.update(self.known)
        tally.counted.update(self.counted)
        replica.dropout.generator.set_state(self.generator)
        replica.dropout.activity = []  # of a pass that did not reach its end

    def is_finite(self) -> bool:
        return all(bool(gradient.isfinite().all()) for gradient in self.gradients if gradient is not None)

    def is_that_of(self, replica: Replica) -> bool:
        """Whether gradients, statistics and counts are the same, bit by bit."""
        tally = replica.dropout.tally
        mine = [*self.gradients, *self.buffers, *self.counted.values()]
        its = [*(parameter.grad for parameter in replica.parameters), *replica.buffers, *tally.counted.values()]
        return self.known == tally.known and len(mine) == len(its) and all(map(same_bits, mine, its))


def same_bits(one: Tensor | None, other: Tensor | None) -> bool:
    return one is other if one is None or other is None else torch.equal(one, other)


def form_of(replica: Replica, inputs: Tensor, targets: Tensor) -> Hashable:
    """What a recording holds good for: it knows tensors by their places and shapes, which of them learn, and what is
    counted."""
    shapes = [(tensor.shape, tensor.stride(), tensor.dtype) for tensor in (inputs, targets)]
    places = [tensor.data_ptr() for tensor in (*replica.parameters, *replica.buffers)]
    learning = [parameter.requires_grad for parameter in replica.parameters]
    frozen = [norm.frozen for norm in replica.norms]
    return (*shapes, *places, *learning, *frozen, replica.dropout.tally.counts)


def recorder_of(training: Training, device: str) -> Recorder | None:
    """None where a step is no single pass on a GPU."""
    is_one_pass = training.replicas == 1 and training.accumulate == 1
    return Recorder(OnCuda(device)) if is_one_pass and device.startswith("cuda") else None
