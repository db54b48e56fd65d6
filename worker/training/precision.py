"""Computing in 16 bits where that is sound: the weights, the loss, the gradients and the update stay in float32.

float16 reaches no further down than 6e-8, so the loss is multiplied by a scale before backward and the gradients are
divided by it after; the scale adapts (Micikevicius et al. 2018, "Mixed precision training", arXiv:1710.03740, with the
numbers of PyTorch's GradScaler), all of it on the device.
"""

import math
from collections.abc import Mapping
from contextlib import AbstractContextManager

import torch
from torch import Tensor

from models.spec.training import Training

FIRST_SCALE = 65_536.0
LARGEST_SCALE = 2.0**24
GROWTH_STEPS = 2000
"""After so many steps without overflow the scale is doubled; it is halved at each overflow."""


def is_native(precision: str, device: str) -> bool:
    """Whether the device computes with it at all; where not, PyTorch makes do number by number. A build of PyTorch that
    does not know says yes.
    """
    if precision == "float32":
        return True
    if torch.device(device).type == "cuda":
        return precision == "float16" or bool(torch.cuda.is_bf16_supported(including_emulation=False))
    ask = getattr(torch.ops.mkldnn, f"_is_mkldnn_{'bf16' if precision == 'bfloat16' else 'fp16'}_supported", None)
    return ask is None or bool(ask())


class Precision:
    def __init__(self, training: Training, device: str) -> None:
        self.precision = training.precision
        self.kind = torch.device(device).type
        self.scales = training.precision == "float16"
        self.halvings = int(math.log2(LARGEST_SCALE)) if self.scales else 0
        """So many overflows in a row may be the scale's fault, and no fault of the gradients."""
        self.scale = torch.tensor(FIRST_SCALE if self.scales else 1.0, device=device)
        self.good = torch.zeros((), device=device)
        """Steps since the scale has changed."""

    def autocast(self) -> AbstractContextManager[object]:
        """In here, products are computed in 16 bits and sums that need it in 32."""
        dtype = torch.float16 if self.precision == "float16" else torch.bfloat16
        return torch.autocast(self.kind, dtype, enabled=self.precision != "float32")

    def scaled(self, loss: Tensor) -> Tensor:
        return loss * self.scale if self.scales else loss

    def unscale(self, gradients: list[Tensor]) -> None:
        """Divides the gradients by the scale; where it was too large they are not finite."""
        if self.scales:
            torch._foreach_div_(gradients, self.scale)

    def adapt(self, skipped: Tensor) -> None:
        """Takes up whether the step was skipped, 1 or 0."""
        if not self.scales:
            return
        grown = self.good + 1.0 >= GROWTH_STEPS
        kept = torch.where(grown, (self.scale * 2.0).clamp(max=LARGEST_SCALE), self.scale)
        self.good.copy_(torch.where(skipped.bool() | grown, 0.0, self.good + 1.0))
        self.scale.copy_(torch.where(skipped.bool(), self.scale * 0.5, kept))

    def tensors(self) -> dict[str, Tensor]:
        return {"precision/scale": self.scale, "precision/good": self.good} if self.scales else {}

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        if self.scales:
            self.scale.copy_(tensors["precision/scale"])
            self.good.copy_(tensors["precision/good"])
