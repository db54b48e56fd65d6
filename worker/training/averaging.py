"""Averages of the weights: what is evaluated and saved, while training goes on from the raw weights."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import assert_never

import torch
from torch import Tensor, nn

from models.spec.averaging import Averaging, Ema, Lookahead, Swa
from models.spec.duration import Duration
from worker.training.layers import BatchNorm
from worker.training.schedule import Clock

BUFFERS = "averaging/has_buffers"


class Average:
    """The averaged weights of a network. When a step has which effect is a function of its number alone."""

    def __init__(self, technique: Averaging, network: nn.Module, clock: Clock) -> None:
        self.technique, self.network, self.clock = technique, network, clock
        self.parameters: list[Tensor] = list(network.parameters())
        self.buffers: list[Tensor] = list(network.buffers())
        self.averaged = [parameter.detach().clone() for parameter in self.parameters]
        self.averaged_buffers = [buffer.clone() for buffer in self.buffers]
        self.has_buffers = torch.zeros(())
        """1 once there are statistics that belong to the averaged weights."""

    @torch.no_grad()
    def update(self, step: int) -> bool:
        """Takes up the weights after `step` steps; whether that was one of those that are averaged."""
        match self.technique:
            case Ema():
                torch._foreach_lerp_(self.averaged, self.parameters, 1.0 - decay_of(self.technique, step, self.clock))
                return True
            case Swa():
                since, every = step - self.start, self.in_steps(self.technique.every)
                due = since >= 0 and since % every == 0
                if due:
                    torch._foreach_lerp_(self.averaged, self.parameters, 1.0 / (since // every + 1))
                return due
            case Lookahead():
                due = step % self.technique.k == 0
                if due:
                    torch._foreach_lerp_(self.averaged, self.parameters, self.technique.alpha)
                    torch._foreach_copy_(self.parameters, self.averaged)
                return due
            case _:
                assert_never(self.technique)

    def has_begun(self, step: int) -> bool:
        """Whether there is an average after so many steps; until then the raw weights are taken."""
        return not isinstance(self.technique, Swa) or step >= self.start

    @contextmanager
    def shown(self, step: int) -> Iterator[None]:
        """The network has its averaged weights in here, and buffers that belong to them."""
        if not self.has_begun(step):
            yield
            return
        held: list[Tensor] = list(self.parameters)
        shown = list(self.averaged)
        if isinstance(self.technique, Swa):
            held += self.buffers
            shown += self.averaged_buffers if self.has_buffers else self.buffers
        with torch.no_grad():
            raw = [tensor.clone() for tensor in held]
            copy(shown, held)
        try:
            yield
        finally:
            with torch.no_grad():
                copy(raw, held)

    @torch.no_grad()
    def take(self) -> None:
        """The network's present weights and buffers become the averaged ones."""
        copy(self.parameters, self.averaged)
        copy(self.buffers, self.averaged_buffers)

    @torch.no_grad()
    def take_buffers(self) -> None:
        """The network's present buffers belong to the averaged weights."""
        copy(self.buffers, self.averaged_buffers)
        self.has_buffers.fill_(1.0)

    def tensors(self) -> dict[str, Tensor]:
        return {BUFFERS: self.has_buffers} if isinstance(self.technique, Swa) else {}

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """What an earlier release has saved says nothing of it: there the buffers counted from the first step on."""
        self.has_buffers.copy_(tensors.get(BUFFERS, torch.ones(())))

    @property
    def start(self) -> int:
        assert isinstance(self.technique, Swa)
        return self.in_steps(self.technique.start)

    def in_steps(self, duration: Duration) -> int:
        return duration.in_steps(self.clock.steps_per_epoch, self.clock.steps)


def copy(these: list[Tensor], into: list[Tensor]) -> None:
    if these:
        torch._foreach_copy_(into, these)


def rate_of_averaging(technique: Averaging | None, step: int, clock: Clock) -> float | None:
    """The rate that takes the place of the schedule's at a step, counted from 0."""
    return technique.learning_rate if isinstance(technique, Swa) and step >= clock.count(technique.start) else None


def decay_of(ema: Ema, step: int, clock: Clock) -> float:
    """What is kept of the average at a step, counted from 1."""
    decay = ema.decay_in(clock.steps_per_epoch, clock.steps)
    return min(decay, (1 + step) / (10 + step)) if ema.warmup else decay


@torch.no_grad()
def refresh_norms(network: nn.Module, batches: Iterable[Tensor]) -> None:
    """Takes running means and variances of batch norms anew from `batches`, each counting alike, without dropout.

    PyTorch's `swa_utils.update_bn`, but what is frozen stays.
    """
    norms = [module for module in network.modules() if isinstance(module, BatchNorm) and not module.frozen]
    if not norms:
        return
    momenta = [norm.momentum for norm in norms]
    network.eval()
    for norm in norms:
        norm.train()
        norm.running_mean.zero_()
        norm.running_var.fill_(1.0)
    for count, inputs in enumerate(batches, 1):
        for norm in norms:
            norm.momentum = 1.0 / count
        network(inputs)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    network.train()
