"""Weights of an earlier job as the start of this one, and layers that keep them for a while."""

import json
from collections.abc import Mapping
from dataclasses import replace

import torch
from pydantic import TypeAdapter
from torch import Tensor, nn

from models.spec.errors import parse_spec
from models.spec.job import JobSpec
from models.spec.layers import plan_of
from models.spec.network import Network
from models.spec.task import Task
from models.spec.warm_start import WarmStart
from models.spec.warm_start_check import Earlier, frozen_layers, taken_layers
from worker.training.data import Dataset, Normalization
from worker.training.events import WarmStarted
from worker.training.layers import BatchNorm
from worker.training.optimizer import layers_by_module
from worker.training.schedule import Clock
from worker.training.state import Resume, Weights


class NotACheckpoint(ValueError):
    """These weights do not say which job they come from: they are no checkpoint of one."""

    def __init__(self) -> None:
        super().__init__(type(self).__doc__)


def earlier_of(weights: Weights, checkpoint: str, sha256: str) -> Earlier:
    """What a check must know of a checkpoint, by its own words. Raises NotACheckpoint where it has none."""
    try:
        spec = parse_spec(json.loads(weights.metadata["spec"]))
        return Earlier(checkpoint, sha256, spec, TypeAdapter(Task).validate_json(weights.metadata["task"]))
    except KeyError:
        raise NotACheckpoint from None


def scaled_as_before(data: Dataset, spec: JobSpec, start_from: Weights | None, resume_from: Resume | None) -> Dataset:
    """The data with the normalization of the earlier job, where this one inherits it."""
    start = spec.warm_start
    if start is None:
        return data
    assert start_from is not None or resume_from is not None, "a warm start needs the weights of its checkpoint"
    if start.normalization != "inherit":
        return data
    if resume_from is not None:
        words = resume_from.state.progress["normalization"]
    else:
        assert start_from is not None
        words = json.loads(start_from.metadata["normalization"])
    normalization = Normalization(float(words["divisor"]), tuple(words["mean"]), tuple(words["std"]))
    return replace(data, normalization=normalization)


def reads_otherwise(data: Dataset, start_from: Weights) -> bool:
    """Whether this job reads text, and by other words than the earlier one."""
    return bool(data.vocabularies) and json.loads(start_from.metadata["vocabularies"]) != data.vocabularies


@torch.no_grad()
def warm_start(spec: JobSpec, task: Task, network: nn.Module, weights: Weights, clock: Clock) -> WarmStarted:
    """Puts the checkpoint's tensors into the layers that take them; the others stay as they are.

    What does not fit has been refused by the check, which compares the plans of both networks.
    """
    start = spec.warm_start
    assert start is not None
    assert isinstance(start.checkpoint, str)
    assert start.normalization != "auto"
    layers = plan_of(spec.network, task)
    mine = by_layer(network.state_dict(), spec.network)
    theirs = by_layer(weights.tensors, parse_spec(json.loads(weights.metadata["spec"])).network)
    taken = taken_layers(start, layers)
    pairs = [(mine[layer][name], theirs[layer][name]) for layer in taken for name in mine[layer]]
    for here, there in pairs:
        assert here.shape == there.shape
        here.copy_(there)
    return WarmStarted(
        checkpoint=start.checkpoint,
        sha256=start.sha256 or "",
        loaded=list(taken),
        replaced=[layer for layer in mine if layer not in taken],
        left=[layer for layer in theirs if layer not in taken],
        parameters=sum(here.numel() for here, _ in pairs),
        frozen=list(frozen_layers(start, layers)),
        frozen_until_step=thaws_at(start, clock),
        normalization=start.normalization,
    )


def by_layer(tensors: Mapping[str, Tensor], network: Network) -> dict[str, dict[str, Tensor]]:
    """Layer, as the spec calls it → the end of a tensor's name → the tensor."""
    names = layers_by_module(network)
    found: dict[str, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        module, _, name = key.rpartition(".")
        if "/" in module:  # what a technique keeps beside the weights
            continue
        found.setdefault(names.get(module, module), {})[name] = tensor
    return found


def thaws_at(start: WarmStart, clock: Clock) -> int | None:
    """The first step, counted from 0, at which frozen layers learn."""
    until = start.freeze_until
    return None if until is None else until.in_steps(clock.steps_per_epoch, clock.steps)


class Freezer:
    """Keeps layers as they are up to a step. What is frozen is a function of the step's number alone."""

    def __init__(self, spec: JobSpec, task: Task, network: nn.Module, clock: Clock) -> None:
        self.until: int | None = 0
        self.parameters: list[nn.Parameter] = []
        self.norms: list[BatchNorm] = []
        if spec.warm_start is None:
            return
        names = layers_by_module(spec.network)
        frozen = set(frozen_layers(spec.warm_start, plan_of(spec.network, task)))
        for name, module in network.named_modules():
            if names.get(name, name) in frozen:
                own = module.parameters(recurse=False)
                # what has the rate 0 is frozen for good
                self.parameters += [parameter for parameter in own if parameter.requires_grad]
                self.norms += [module] if isinstance(module, BatchNorm) else []
        self.until = thaws_at(spec.warm_start, clock)

    def hold(self, step: int) -> None:
        """Freezes or thaws for a step, counted from 0."""
        frozen = self.until is None or step < self.until
        for parameter in self.parameters:
            parameter.requires_grad_(not frozen)
        for norm in self.norms:
            norm.frozen = frozen
