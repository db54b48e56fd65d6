"""Whether an optimizer fits the network and the regularization beside it."""

from collections.abc import Iterator
from typing import assert_never

from .errors import SpecError, SpecWarning, closest
from .job import JobSpec
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
from .plan import PlannedLayer
from .regularization import L1, WeightDecay
from .targets import KINDS, Kind, hidden_kernels, is_meant


def optimizer_errors(spec: JobSpec, layers: tuple[PlannedLayer, ...]) -> Iterator[SpecError]:
    """`layers` is empty where the network does not fit its inputs."""
    yield from _decay(spec)
    yield from _proximal(spec)
    if layers:
        yield from _multipliers(spec, layers)
        yield from _hidden_matrices(spec, layers)


def optimizer_warnings(spec: JobSpec) -> Iterator[SpecWarning]:
    usual = usual_rate(spec.optimizer)
    if spec.optimizer.learning_rate >= 100 * usual:
        detail = f"At least 100 times the usual rate of {spec.optimizer.type} ({usual}): the run will probably diverge"
        yield SpecWarning("/optimizer/learning_rate", "large_rate", detail)


def own_decay(optimizer: Optimizer) -> tuple[str, AdamW | Lamb] | None:
    """The optimizer that decays weights itself, and where it stands."""
    pointer, stepping = (
        ("/optimizer/other", optimizer.other) if isinstance(optimizer, Muon) else ("/optimizer", optimizer)
    )
    return (pointer, stepping) if isinstance(stepping, AdamW | Lamb) and stepping.weight_decay else None


def _decay(spec: JobSpec) -> Iterator[SpecError]:
    own = own_decay(spec.optimizer)
    if own is None:
        return
    pointer, decaying = own
    for index, technique in enumerate(spec.regularization):
        if isinstance(technique, WeightDecay):
            without = "`adam` with this one" if isinstance(decaying, AdamW) else "set that to 0"
            detail = f"{decaying.type} has a weight decay of its own: use its `weight_decay`, or {without}"
            yield SpecError(f"/regularization/{index}", "decay_twice", detail, suggestion=f"{pointer}/weight_decay")


def _proximal(spec: JobSpec) -> Iterator[SpecError]:
    optimizer = spec.optimizer
    match optimizer:
        case Sgd() | Adam() | AdamW() | NAdam() | RAdam() | Adamax() | RMSprop() | Adagrad():
            return
        case Lion() | Muon():
            why = f"a step of {optimizer.type} is as long for a small gradient as for a large one"
        case Adadelta() | Adafactor() | Lamb():
            why = f"how long a step of {optimizer.type} is follows its earlier steps or the weights"
        case _:
            assert_never(optimizer)
    for index, technique in enumerate(spec.regularization):
        if isinstance(technique, L1) and technique.mode == "proximal":
            detail = (
                f"The proximal step pulls as far as the optimizer would move for that gradient, and {why}. "
                f"Take the penalty, or one of {', '.join(WITH_STEP_SIZE)}"
            )
            yield SpecError(f"/regularization/{index}/mode", "optimizer_does_not_fit", detail, ["penalty"], "penalty")


WITH_STEP_SIZE = ("sgd", "adam", "adamw", "nadam", "radam", "adamax", "rmsprop", "adagrad")
"""Optimizers whose step follows the gradient by a factor that is known."""


def _hidden_matrices(spec: JobSpec, layers: tuple[PlannedLayer, ...]) -> Iterator[SpecError]:
    if isinstance(spec.optimizer, Muon) and not hidden_kernels(layers):
        detail = (
            "Muon steps for the kernels between the first layer and the last, and this network has none: "
            "take a deeper one, or another optimizer"
        )
        yield SpecError("/optimizer/type", "network_does_not_fit", detail, suggestion=spec.optimizer.other.type)


def _multipliers(spec: JobSpec, layers: tuple[PlannedLayer, ...]) -> Iterator[SpecError]:
    multipliers = spec.optimizer.multipliers
    trained = [(layer.name, kind) for layer in layers for kind in kinds_in(layer)]
    known = [*KINDS, *dict.fromkeys(name for name, _ in trained)]
    for target in multipliers:
        if not any(is_meant(target, *one) for one in trained):
            detail = "Nothing in this network that is trained has this name or one that begins with it"
            pointer = "/optimizer/multipliers/" + target.replace("~", "~0").replace("/", "~1")
            yield SpecError(pointer, "unknown_target", detail, known[:100], closest(target, known))
    frozen = [target for target, factor in multipliers.items() if factor == 0.0]
    if all(any(is_meant(target, *one) for target in frozen) for one in trained):
        yield SpecError("/optimizer/multipliers", "all_frozen", "With all of these at 0 nothing is left to train")


def kinds_in(layer: PlannedLayer) -> Iterator[Kind]:
    """The kinds of parameters that a layer has."""
    if layer.kernel:
        yield "kernel"
    if layer.bias:
        yield "bias"
    if layer.norm or layer.learned:
        yield "norm"


def usual_rate(optimizer: Optimizer) -> float:
    match optimizer:
        case Sgd():
            return 0.1
        case Muon():
            return 0.02
        case Adagrad() | Adafactor():
            return 0.01
        case Adadelta():
            return 1.0
        case Adam() | AdamW() | NAdam() | RAdam() | Adamax() | RMSprop() | Lamb():
            return 0.001
        case Lion():
            return 1e-4
        case _:
            assert_never(optimizer)
