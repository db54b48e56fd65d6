"""How an optimizer that does not know `found_inf` leaves out a step without asking the device."""

import torch
from torch import Tensor


def tensors_of(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    """All that a step changes."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    averages = [
        value for parameter in parameters for value in optimizer.state[parameter].values() if isinstance(value, Tensor)
    ]
    return [*parameters, *averages]


def step_unless(optimizer: torch.optim.Optimizer, skipped: Tensor) -> None:
    """One step; where `skipped`, a float scalar on the device, is 1, weights and averages stay as they are.

    The averages must exist before: a first step that is left out would leave what it made of them.
    """
    changed = [value for value in tensors_of(optimizer) if value.device == skipped.device]
    before = [value.detach().clone() for value in changed]
    optimizer.step()
    for value, old in zip(changed, before, strict=True):
        value.copy_(torch.where(skipped.bool(), old, value))


def begin_at_zero(
    optimizer: torch.optim.Optimizer, *averages: str, counts: tuple[str, ...] = ("step",)
) -> torch.optim.Optimizer:
    """Makes the averages and counts that PyTorch would make at the first step, and where it would: counts on the CPU
    unless the step is fused or captured.
    """
    for group in optimizer.param_groups:
        on_device = group.get("fused") or group.get("capturable")
        for parameter in group["params"]:
            state = optimizer.state[parameter]
            for name in counts:
                start = 1.0 if name == "mu_product" else 0.0
                device = parameter.device if on_device else torch.device("cpu")
                state[name] = torch.full((), start, dtype=torch.float32, device=device)
            for name in averages:
                state[name] = torch.zeros_like(parameter)
    return optimizer
