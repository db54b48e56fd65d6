"""Spectral normalization: Miyato et al. 2018, arXiv:1802.05957.

The parameters are the raw kernels W; while gradients are taken, and in all that is evaluated or saved, W / σ(W) stands
in their place. The gradient of W follows from that of W / σ(W) in closed form (their equation 12).
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.spec.job import JobSpec
from models.spec.regularization import SpectralNorm
from worker.training.randomness import generator_for
from worker.training.regularization import kernel_modules, matrix_of, targeted

FIRST_ITERATIONS = 15
"""Of the power method, before the first step; as many as PyTorch makes."""
PREFIX = "spectral/"


class SpectralNorms:
    """The kernels that are divided by their largest singular values, if any, with estimates of its vectors."""

    def __init__(self, spec: JobSpec, network: nn.Module) -> None:
        self.iterations = 1
        self.kernels: dict[str, nn.Parameter] = {}
        for technique in spec.regularization:
            if isinstance(technique, SpectralNorm):
                self.iterations = technique.iterations
                names = targeted(spec, kernel_modules(network), technique.target)
                self.kernels = {name: network.get_parameter(f"{name}.weight") for name in names}
        self.left = {name: self.first(spec.seed, f"{name}.left", kernel, 0) for name, kernel in self.kernels.items()}
        self.right = {name: self.first(spec.seed, f"{name}.right", kernel, 1) for name, kernel in self.kernels.items()}
        self.iterate(FIRST_ITERATIONS)

    def first(self, seed: int, name: str, kernel: Tensor, side: int) -> Tensor:
        """A random direction on one side of the kernel's matrix."""
        drawn = torch.randn(matrix_of(kernel).shape[side], generator=generator_for(seed, "spectral norm", name))
        return F.normalize(drawn, dim=0).to(kernel.device)

    @torch.no_grad()
    def iterate(self, times: int) -> None:
        """The power method: u ← W · v, v ← Wᵀ · u, each of length 1."""
        for name, kernel in self.kernels.items():
            matrix, u, v = matrix_of(kernel), self.left[name], self.right[name]
            for _ in range(times):
                u.copy_(F.normalize(matrix @ v, dim=0))
                v.copy_(F.normalize(matrix.T @ u, dim=0))

    def norm(self, name: str) -> Tensor:
        """uᵀ · W · v, a scalar."""
        return self.left[name] @ (matrix_of(self.kernels[name]) @ self.right[name])

    @contextmanager
    def divided(self) -> Iterator[dict[str, Tensor]]:
        """The kernels are W / σ(W) in here; gives every σ(W)."""
        if not self.kernels:
            yield {}
            return
        with torch.no_grad():
            raw = {name: kernel.clone() for name, kernel in self.kernels.items()}
            norms = {name: self.norm(name) for name in self.kernels}
            for name, kernel in self.kernels.items():
                kernel.div_(norms[name])
        try:
            yield norms
        finally:
            with torch.no_grad():
                for name, kernel in self.kernels.items():
                    kernel.copy_(raw[name])

    @contextmanager
    def trained(self) -> Iterator[None]:
        """As `divided`, after a few iterations; the gradients that were left in here become those of W."""
        if not self.kernels:
            yield
            return
        self.iterate(self.iterations)
        with self.divided() as norms:
            yield
            with torch.no_grad():
                for name, norm in norms.items():
                    self.through(name, norm)

    def through(self, name: str, norm: Tensor) -> None:
        """G ← (G − ⟨G, W / σ⟩ · u · vᵀ) / σ, with u and v as constants."""
        kernel = self.kernels[name]
        if kernel.grad is not None:
            along = torch.outer(self.left[name], self.right[name]).view_as(kernel)
            kernel.grad.sub_(along * (kernel.grad * kernel).sum()).div_(norm)

    def tensors(self) -> dict[str, Tensor]:
        left = {f"{PREFIX}{name}.left": vector for name, vector in self.left.items()}
        return left | {f"{PREFIX}{name}.right": vector for name, vector in self.right.items()}

    def without(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {name: value for name, value in tensors.items() if not name.startswith(PREFIX)}

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Takes up the vectors among these tensors, if they are there."""
        for name, vector in self.tensors().items():
            if name in tensors:
                vector.copy_(tensors[name])
