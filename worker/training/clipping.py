"""Gradient clipping, and what is done about gradients that are not finite.

Everything here stays on the device: the norm, whether it was clipped and whether the step must be skipped are tensors.
"""

import torch
from torch import Tensor

CLIP_EPSILON = 1e-6
"""What `torch.nn.utils.clip_grad_norm_` adds to the norm before it divides by it."""


def gradient_norm(gradients: list[Tensor], norm_type: float = 2.0) -> Tensor:
    """The norm of all gradients taken as one vector: a scalar tensor."""
    norm: Tensor = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients, norm_type)), norm_type)
    return norm


def clip_by_global_norm(gradients: list[Tensor], norm: Tensor, max_norm: float) -> Tensor:
    """Scales all gradients, in place, by min(1, max_norm / (norm + 1e-6)) and says whether that was below 1 (Pascanu et
    al. 2013, 1211.5063).
    """
    scale = max_norm / (norm + CLIP_EPSILON)
    torch._foreach_mul_(gradients, scale.clamp(max=1.0))
    return scale < 1.0
