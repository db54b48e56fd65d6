"""What a run will cost, worked out from the spec and the manifest alone."""

from dataclasses import dataclass, replace
from math import prod
from typing import assert_never

from .errors import SpecError, SpecInvalid
from .job import JobSpec
from .layers import plan_of
from .manifest import Manifest
from .metrics import evaluation_bytes
from .optimizer import (
    Adadelta,
    Adafactor,
    Adagrad,
    Adam,
    Adamax,
    AdamW,
    Lamb,
    Lion,
    Muon,
    NAdam,
    Optimizer,
    RAdam,
    RMSprop,
    Sgd,
)
from .plan import PlannedLayer, ShapeMismatch
from .regularization import Sam, SpectralNorm
from .targets import hidden_kernels
from .task import Task, task_of
from .training import Training

FLOAT32, FLOAT16 = 4, 2
"""Bytes."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """Sizes in bytes, lengths in steps."""

    parameters: int
    """What is trained."""
    buffers: int
    """What is kept beside it: running means and variances."""
    activation_bytes: int
    """The input of one batch and what every layer makes of it, in the precision of the run."""
    passes: int
    """How often a step goes forward and backward through each of its batches: twice with `sam`."""
    memory_bytes: int
    """Parameters, their gradients, their averages, those of the optimizer and what `sam` sets aside; activations with
    their gradients, and the next batch instead of the input's; what an evaluation keeps of all its examples.
    """
    steps_per_epoch: int
    steps: int
    checkpoint_bytes: int
    """Weights, raw too where they are normalized, their averages and those of the optimizer; without the few kilobytes
    of metadata.
    """


def estimate(spec: JobSpec, manifest: Manifest) -> Estimate:
    """The cost of this spec on this data set. Raises SpecInvalid where the two do not fit."""
    task = task_of(spec, manifest)
    try:
        layers = plan_of(spec.network, task)
    except ShapeMismatch as mismatch:
        raise SpecInvalid((SpecError(mismatch.pointer, "shape", mismatch.detail),)) from None
    return estimate_task(spec, task, layers)


def estimate_task(spec: JobSpec, task: Task, layers: tuple[PlannedLayer, ...]) -> Estimate:
    """The cost of training these layers on this task."""
    parameters = sum(layer.parameters for layer in layers)
    buffers = sum(layer.buffers for layer in layers)
    averages = averages_of(spec.optimizer, layers)
    averaged = 0 if spec.training.averaging is None else parameters + buffers
    sharpness = any(isinstance(technique, Sam) for technique in spec.regularization)
    aside = 2 * parameters + buffers if sharpness else 0
    normalized = any(isinstance(technique, SpectralNorm) for technique in spec.regularization)
    raw = parameters + buffers if normalized else 0
    batch = min(spec.training.batch_size, max(1, task.train))
    values = prod(task.input_shape) + sum(prod(layer.output) for layer in layers if layer.kind != "flatten")
    activation_bytes = (FLOAT32 if spec.training.precision == "float32" else FLOAT16) * batch * values
    per_epoch = steps_per_epoch(task.train, spec.training.examples_per_step)
    return Estimate(
        parameters=parameters,
        buffers=buffers,
        activation_bytes=activation_bytes,
        passes=2 if sharpness else 1,
        memory_bytes=FLOAT32 * (2 * parameters + buffers + averages + averaged + aside + raw)
        + 2 * activation_bytes
        + evaluation_bytes(task),
        steps_per_epoch=per_epoch,
        steps=total_steps(spec.training, per_epoch),
        checkpoint_bytes=FLOAT32 * (parameters + buffers + averages + averaged + raw),
    )


def averages_of(optimizer: Optimizer, layers: tuple[PlannedLayer, ...]) -> int:
    """How many numbers the optimizer keeps, if nothing is frozen."""
    parameters = sum(layer.parameters for layer in layers)
    match optimizer:
        case Sgd():
            return parameters * (optimizer.momentum > 0.0)
        case Adam() | AdamW() | NAdam() | RAdam() | Adamax() | Adadelta() | Lamb():
            return 2 * parameters
        case Adagrad() | Lion():
            return parameters
        case RMSprop():
            return parameters * (1 + (optimizer.momentum > 0.0) + optimizer.centered)
        case Adafactor():
            return sum(factored(layer) for layer in layers)
        case Muon():
            hidden = hidden_kernels(layers)
            rest = tuple(replace(layer, kernel=0) if layer.name in hidden else layer for layer in layers)
            return sum(layer.kernel for layer in layers if layer.name in hidden) + averages_of(optimizer.other, rest)
        case _:
            assert_never(optimizer)


def factored(layer: PlannedLayer) -> int:
    """Rows and columns of everything that is a matrix or taken as one, and as many numbers as the rest has."""
    shapes = [shape for name, shape in layer.tensors.items() if not name.startswith("running")]
    return sum(shape[0] + (prod(shape[1:]) if len(shape) > 1 else 0) for shape in shapes)


def steps_per_epoch(examples: int, batch_size: int) -> int:
    """Batches that show every example once; the last one may be smaller."""
    return -(-examples // batch_size)


def total_steps(training: Training, steps_per_epoch: int) -> int:
    """Optimizer steps of the whole run."""
    return training.steps if training.steps is not None else (training.epochs or 0) * steps_per_epoch
