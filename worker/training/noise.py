"""Gaussian noise on inputs, weights and gradients: a function of (seed, step)."""

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from models.spec.job import JobSpec
from models.spec.regularization import InjectedNoise
from worker.training.randomness import generator_for
from worker.training.regularization import kernel_modules
from worker.training.tally import Tally


def noise_on_inputs(spec: JobSpec) -> float:
    """The standard deviation of all noise on inputs together."""
    return math.hypot(*(technique.std for technique in injected(spec, "inputs")))


def injected(spec: JobSpec, on: str) -> list[InjectedNoise]:
    return [one for one in spec.regularization if isinstance(one, InjectedNoise) and one.on == on]


class Noise:
    """What a job asks for on weights and gradients; independent noises add up to one."""

    def __init__(self, spec: JobSpec, network: nn.Module, tally: Tally | None = None) -> None:
        self.seed = spec.seed
        self.tally = Tally() if tally is None else tally
        self.kernels = [network.get_parameter(f"{name}.weight") for name in kernel_modules(network)]
        self.on_kernels = math.hypot(*(technique.std for technique in injected(spec, "weights")))
        self.on_gradients = injected(spec, "gradients")

    @contextmanager
    def on_weights(self, step: int) -> Iterator[None]:
        """The kernels that learn are noisy in here, and to the bit what they were behind it."""
        if not self.on_kernels:
            yield
            return
        kernels = [kernel.detach() for kernel in self.kernels if kernel.requires_grad]
        before = [kernel.clone() for kernel in kernels]
        self.add("weights", kernels, self.on_kernels, step)
        try:
            yield
        finally:
            for kernel, plain in zip(kernels, before, strict=True):
                kernel.copy_(plain)

    def add_to(self, gradients: list[Tensor], step: int) -> None:
        """Variance std² / (1 + step)^decay, steps counted from 0; Neelakantan et al. 2015, arXiv:1511.06807."""
        if self.on_gradients:
            spread = math.hypot(*(noise.std * (1 + step) ** (-noise.decay / 2) for noise in self.on_gradients))
            self.add("gradients", gradients, spread, step)

    def add(self, on: str, tensors: list[Tensor], std: float, step: int) -> None:
        if not tensors:
            return
        generator = generator_for(self.seed, f"noise on {on}", step, device=tensors[0].device)
        for tensor in tensors:
            drawn = torch.empty(tensor.shape, device=tensor.device)  # in rows, however the tensor lies in memory
            tensor.add_(drawn.normal_(0.0, std, generator=generator))
            self.tally.add(f"gaussian_noise/{on}", tensor.numel())
