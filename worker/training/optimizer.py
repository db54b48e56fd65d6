"""Optimizers, fused wherever PyTorch has it, and what a checkpoint needs of them."""

from collections import defaultdict
from collections.abc import Mapping
from typing import Any, assert_never

import torch
from torch import Tensor, nn

from models.spec.job import JobSpec
from models.spec.optimizer import Adadelta, Adagrad, Adam, Adamax, AdamW, NAdam, Optimizer, RAdam, RMSprop, Sgd
from worker.training import rmsprop
from worker.training.projection import Projections
from worker.training.regularization import decays_of, kinds_of
from worker.training.undo import begin_at_zero, step_unless

UNDONE = torch.optim.NAdam | torch.optim.RAdam | torch.optim.Adamax | torch.optim.Adagrad | torch.optim.Adadelta
"""PyTorch's own that do not know `found_inf`."""


class Stepper:
    """An optimizer with its decoupled weight decay, able to leave out a step without asking the device."""

    def __init__(self, spec: JobSpec, network: nn.Module) -> None:
        self.names: dict[Tensor, str] = {parameter: name for name, parameter in network.named_parameters()}
        self.decayed: dict[float, list[Tensor]] = defaultdict(list)
        decays = decays_of(spec, network)
        for name, parameter in network.named_parameters():
            if decays[name]:
                self.decayed[decays[name]].append(parameter)
        self.optimizer = build_optimizer(spec.optimizer, network)
        self.projections = Projections(spec, network, self.optimizer)

    @torch.no_grad()
    def step(self, learning_rate: float, skipped: Tensor) -> None:
        """One step at this rate; where `skipped`, a float scalar on the device, is 1, nothing changes."""
        for decay, parameters in self.decayed.items():
            torch._foreach_mul_(parameters, 1.0 - learning_rate * decay * (1.0 - skipped))
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        if isinstance(self.optimizer, UNDONE):
            step_unless(self.optimizer, skipped)
        else:
            self.optimizer.found_inf = skipped  # type: ignore[attr-defined]
            self.optimizer.step()
        self.projections.project(learning_rate, skipped)

    def tensors(self) -> dict[str, Tensor]:
        """The optimizer's averages, as `optimizer/<parameter>/<average>`."""
        return {
            f"optimizer/{self.names[parameter]}/{key}": value
            for parameter, averages in self.optimizer.state.items()
            for key, value in averages.items()
            if isinstance(value, Tensor)
        }

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Takes up the averages of `tensors`, in the memory layout of their parameters, which fused steps rely on."""
        for parameter, name in self.names.items():
            prefix = f"optimizer/{name}/"
            averages: dict[str, Any] = self.optimizer.state[parameter]
            for key, value in tensors.items():
                if key.startswith(prefix):
                    like = parameter if value.shape == parameter.shape else value
                    averages[key.removeprefix(prefix)] = torch.empty_like(like, dtype=value.dtype).copy_(value)


def build_optimizer(spec: Optimizer, network: nn.Module) -> torch.optim.Optimizer:
    rate = spec.learning_rate
    parameters = list(network.parameters())
    match spec:
        case Sgd():
            optimizer = torch.optim.SGD(
                parameters, rate, spec.momentum, spec.dampening, nesterov=spec.nesterov, fused=True
            )
            begin_momentum_at_zero(optimizer)
            return optimizer
        case Adam():
            return torch.optim.Adam(parameters, rate, spec.betas, spec.epsilon, fused=True)
        case AdamW():
            kinds = kinds_of(network)
            named = list(network.named_parameters())
            kernels = [parameter for name, parameter in named if kinds[name] == "kernel"]
            others = [parameter for name, parameter in named if kinds[name] != "kernel"]
            groups: list[dict[str, Any]] = [{"params": kernels}, {"params": others, "weight_decay": 0.0}]
            return torch.optim.AdamW(groups, rate, spec.betas, spec.epsilon, spec.weight_decay, fused=True)
        case NAdam() | RAdam() | Adamax() | Adadelta():
            return adaptive(spec, parameters)
        case Adagrad():
            start = spec.initial_accumulator
            return torch.optim.Adagrad(
                parameters, rate, initial_accumulator_value=start, eps=spec.epsilon, foreach=True
            )
        case RMSprop():
            return rmsprop.RMSprop(
                parameters,
                lr=rate,
                alpha=spec.alpha,
                eps=spec.epsilon,
                momentum=spec.momentum,
                centered=spec.centered,
            )
        case _:
            assert_never(spec)


def adaptive(spec: NAdam | RAdam | Adamax | Adadelta, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
    """On an accelerator they count their steps there, so that a step can be left out."""
    words: dict[str, Any] = {"lr": spec.learning_rate, "eps": spec.epsilon, "foreach": True}
    words["capturable"] = parameters[0].is_cuda
    optimizer: torch.optim.Optimizer
    match spec:
        case NAdam():
            optimizer = torch.optim.NAdam(parameters, betas=spec.betas, momentum_decay=spec.momentum_decay, **words)
            begin_at_zero(optimizer, "exp_avg", "exp_avg_sq")
        case RAdam():
            optimizer = torch.optim.RAdam(parameters, betas=spec.betas, **words)
            begin_at_zero(optimizer, "exp_avg", "exp_avg_sq")
        case Adamax():
            optimizer = torch.optim.Adamax(parameters, betas=spec.betas, **words)
            begin_at_zero(optimizer, "exp_avg", "exp_inf")
        case Adadelta():
            optimizer = torch.optim.Adadelta(parameters, rho=spec.rho, **words)
            begin_at_zero(optimizer, "square_avg", "acc_delta")
        case _:
            assert_never(spec)
    return optimizer


def begin_momentum_at_zero(optimizer: torch.optim.SGD) -> None:
    """v ← momentum · 0 + (1 − dampening) · g at the first step, as the spec says.

    PyTorch would make the buffer at the first step, and leave it unwritten if that step is skipped.
    """
    for group in optimizer.param_groups:
        for parameter in group["params"] if group["momentum"] else ():
            optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
