"""Optimizers, fused wherever PyTorch has it, and what a checkpoint needs of them."""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, assert_never

import torch
from torch import Tensor, nn

from models.spec.job import JobSpec
from models.spec.layers import kernel_names, layer_name
from models.spec.network import Network, Sequential
from models.spec.optimizer import (
    Adadelta,
    Adafactor,
    Adagrad,
    Adam,
    Adamax,
    AdamW,
    Elementwise,
    Lamb,
    Lion,
    Muon,
    NAdam,
    RAdam,
    RMSprop,
    Sgd,
)
from models.spec.targets import is_meant
from worker.training import adafactor, lamb, lion, muon, rmsprop
from worker.training.layers import parts_of
from worker.training.network import module_name
from worker.training.projection import Projections
from worker.training.regularization import decays_of, kinds_of
from worker.training.undo import begin_at_zero, step_unless

LEAVES_OUT = torch.optim.SGD | torch.optim.Adam | torch.optim.AdamW | torch.optim.Adagrad | rmsprop.RMSprop
"""Those that know `found_inf`; on a device a step of the others is undone."""

Group = dict[str, Any]
"""Parameters and the factor of their learning rate, as `params` and `factor`."""


class Stepper:
    """An optimizer with its decoupled weight decay, able to leave out a step without waiting for the device.

    Parameters whose learning rate has the factor 0 are frozen here: they have no gradient from now on.
    """

    def __init__(self, spec: JobSpec, network: nn.Module) -> None:
        named = dict(network.named_parameters())
        self.names: dict[Tensor, str] = {parameter: name for name, parameter in named.items()}
        factors = factors_of(spec, network)
        decays = decays_of(spec, network)
        self.decayed: dict[float, list[Tensor]] = defaultdict(list)
        for name, parameter in named.items():
            parameter.requires_grad_(factors[name] > 0.0)
            if decays[name] * factors[name]:
                self.decayed[decays[name] * factors[name]].append(parameter)
        self.optimizer = build_optimizer(spec, network, factors)
        self.projections = Projections(spec, network, self.optimizer)

    @torch.no_grad()
    def step(self, learning_rate: float, skipped: Tensor) -> None:
        """One step at this rate; where `skipped`, a float scalar on the device, is 1, nothing changes."""
        asked = is_known(skipped)
        if asked and skipped:
            return
        for decay, parameters in self.decayed.items():
            if moving := [parameter for parameter in parameters if parameter.requires_grad]:
                torch._foreach_mul_(moving, 1.0 - learning_rate * decay * (1.0 - skipped))
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate * group["factor"]
        if asked:
            self.optimizer.step()
        elif isinstance(self.optimizer, LEAVES_OUT):
            self.optimizer.found_inf = skipped  # type: ignore[union-attr]
            self.optimizer.step()
        else:
            step_unless(self.optimizer, skipped)
        self.projections.project(skipped)

    def tensors(self) -> dict[str, Tensor]:
        """The optimizer's averages, as `optimizer/<parameter>/<average>`."""
        return {
            f"optimizer/{self.names[parameter]}/{key}": value
            for parameter, averages in self.optimizer.state.items()
            for key, value in averages.items()
            if isinstance(value, Tensor)
        }

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Takes up the averages of `tensors`, where and in which memory layout the optimizer has its own."""
        for name, value in self.tensors().items():
            value.copy_(tensors[name])


def is_known(number: Tensor) -> bool:
    """Whether nobody waits for a device who asks for it."""
    return number.is_cpu


def factors_of(spec: JobSpec, network: nn.Module) -> dict[str, float]:
    """What the learning rate of every parameter, by name, is multiplied by."""
    layers = layers_by_module(spec.network)
    factors = {}
    for name, kind in kinds_of(network).items():
        module = name.rpartition(".")[0]
        layer = layers.get(module, module)
        meant = (value for target, value in spec.optimizer.multipliers.items() if is_meant(target, layer, kind))
        factors[name] = math.prod(meant)
    return factors


def layers_by_module(network: Network) -> dict[str, str]:
    """The spec's name of every module that has another one."""
    if not isinstance(network, Sequential):
        return {}
    return {f"layers.{index}": layer_name(layer, index) for index, layer in enumerate(network.layers)}


def grouped(names: Iterable[str], network: nn.Module, factors: Mapping[str, float]) -> list[Group]:
    """These parameters by the factor of their learning rate, without those that are frozen."""
    alike: dict[float, list[nn.Parameter]] = defaultdict(list)
    for name in names:
        if factors[name]:
            alike[factors[name]].append(network.get_parameter(name))
    return [{"params": parameters, "factor": factor} for factor, parameters in alike.items()]


def build_optimizer(spec: JobSpec, network: nn.Module, factors: Mapping[str, float]) -> torch.optim.Optimizer:
    """With all averages already there: what a step would first make, it could not leave out."""
    match spec.optimizer:
        case Muon():
            return with_muon(spec, spec.optimizer, network, factors)
        case _:
            return elementwise(spec.optimizer, network, factors)


def with_muon(
    spec: JobSpec, technique: Muon, network: nn.Module, factors: Mapping[str, float]
) -> torch.optim.Optimizer:
    """Muon for the hidden matrices, and its `other` for the rest at its own rate of the same schedule."""
    names = [module_name(spec.network, layer) for layer in kernel_names(spec.network)[1:-1]]
    hidden = {f"{name}.weight": network.get_submodule(name) for name in names}
    share = technique.other.learning_rate / technique.learning_rate
    rest = {name: 0.0 if name in hidden else factor * share for name, factor in factors.items()}
    other = elementwise(technique.other, network, rest) if any(rest.values()) else None
    groups = grouped(hidden, network, factors)
    if not groups:
        assert other is not None
        return other
    parts = {layer.weight: parts_of(layer) for layer in hidden.values() if isinstance(layer, nn.Linear | nn.Conv2d)}
    words = technique.model_dump(include={"momentum", "nesterov", "steps", "adjust"})
    return muon.Muon(groups, parts, other, lr=technique.learning_rate, **words)


def elementwise(spec: Elementwise, network: nn.Module, factors: Mapping[str, float]) -> torch.optim.Optimizer:
    rate = spec.learning_rate
    kinds = kinds_of(network)
    groups = grouped(kinds, network, factors)
    optimizer: torch.optim.Optimizer
    match spec:
        case Sgd():
            optimizer = torch.optim.SGD(groups, rate, spec.momentum, spec.dampening, nesterov=spec.nesterov, fused=True)
            if spec.momentum:
                begin_at_zero(optimizer, "momentum_buffer", counts=())
        case Adam():
            optimizer = torch.optim.Adam(groups, rate, spec.betas, spec.epsilon, fused=True)
            begin_at_zero(optimizer, "exp_avg", "exp_avg_sq")
        case AdamW():
            groups = apart(network, factors, {"weight_decay": 0.0})
            optimizer = torch.optim.AdamW(groups, rate, spec.betas, spec.epsilon, spec.weight_decay, fused=True)
            begin_at_zero(optimizer, "exp_avg", "exp_avg_sq")
        case NAdam() | RAdam() | Adamax() | Adadelta():
            optimizer = adaptive(spec, groups)
        case Adagrad():
            start = spec.initial_accumulator
            optimizer = torch.optim.Adagrad(groups, rate, initial_accumulator_value=start, eps=spec.epsilon, fused=True)
        case RMSprop():
            optimizer = rmsprop.RMSprop(
                groups, lr=rate, alpha=spec.alpha, eps=spec.epsilon, momentum=spec.momentum, centered=spec.centered
            )
        case Adafactor():
            words = spec.model_dump(include={"decay", "smallest_scale", "clip_threshold"})
            optimizer = adafactor.Adafactor(groups, lr=rate, eps=spec.epsilon, **words)
        case Lion():
            optimizer = lion.Lion(groups, lr=rate, betas=spec.betas)
        case Lamb():
            groups = apart(network, factors, {"weight_decay": 0.0, "adapted": False})
            optimizer = lamb.Lamb(groups, lr=rate, betas=spec.betas, eps=spec.epsilon, weight_decay=spec.weight_decay)
        case _:
            assert_never(spec)
    return optimizer


def apart(network: nn.Module, factors: Mapping[str, float], others: Group) -> list[Group]:
    """Groups of kernels, and of biases and norms with the options `others`."""
    kinds = kinds_of(network)
    kernels = grouped((name for name, kind in kinds.items() if kind == "kernel"), network, factors)
    rest = grouped((name for name, kind in kinds.items() if kind != "kernel"), network, factors)
    return [*kernels, *({**group, **others} for group in rest)]


def adaptive(spec: NAdam | RAdam | Adamax | Adadelta, groups: list[Group]) -> torch.optim.Optimizer:
    """On an accelerator they count their steps there, so that a step can be left out."""
    words: dict[str, Any] = {"lr": spec.learning_rate, "eps": spec.epsilon, "foreach": True}
    words["capturable"] = groups[0]["params"][0].is_cuda
    optimizer: torch.optim.Optimizer
    match spec:
        case NAdam():
            optimizer = torch.optim.NAdam(groups, betas=spec.betas, momentum_decay=spec.momentum_decay, **words)
            begin_at_zero(optimizer, "exp_avg", "exp_avg_sq", counts=("step", "mu_product"))
        case RAdam():
            optimizer = torch.optim.RAdam(groups, betas=spec.betas, **words)
            begin_at_zero(optimizer, "exp_avg", "exp_avg_sq")
        case Adamax():
            optimizer = torch.optim.Adamax(groups, betas=spec.betas, **words)
            begin_at_zero(optimizer, "exp_avg", "exp_inf")
        case Adadelta():
            optimizer = torch.optim.Adadelta(groups, rho=spec.rho, **words)
            begin_at_zero(optimizer, "square_avg", "acc_delta")
        case _:
            assert_never(spec)
    return optimizer
