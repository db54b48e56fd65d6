"""Copies of tensors: to where they are needed, and again and again in the same memory, for fresh pages cost several
times as much as the copying.
"""

from collections import defaultdict
from collections.abc import Mapping

import torch
from torch import Tensor


def onto(device: str | torch.device, tensor: Tensor) -> Tensor:
    """A tensor of the CPU on the device, without waiting for what the device has been told to do. The driver has taken
    what it needs of the tensor when this returns.
    """
    return tensor.to(device, non_blocking=True)


Form = tuple[torch.dtype, torch.Size, tuple[int, ...]]


class Copier:
    """Copies into what was given back, and into new memory where nothing was. Giving back may happen in any thread."""

    def __init__(self) -> None:
        self._spare: dict[Form, list[Tensor]] = defaultdict(list)

    def copies(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Copies on the CPU."""
        return {name: self._copy(tensor.detach()) for name, tensor in tensors.items()}

    def take_back(self, copies: Mapping[str, Tensor]) -> None:
        """Nobody reads these any more."""
        for tensor in copies.values():
            self._spare[form_of(tensor)].append(tensor)

    def _copy(self, tensor: Tensor) -> Tensor:
        spare = self._spare[form_of(tensor)]
        return spare.pop().copy_(tensor) if spare else tensor.to("cpu", copy=True)


def form_of(tensor: Tensor) -> Form:
    return tensor.dtype, tensor.shape, tensor.stride()
