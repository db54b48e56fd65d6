"""Whether an optimizer fits the network and the regularization beside it."""

from collections.abc import Iterator
from typing import assert_never

from .errors import SpecError, SpecWarning, closest
from .job import JobSpec
from .optimizer import Adadelta, Adagrad, Adam, Adamax, AdamW, NAdam, Optimizer, RAdam, RMSprop, Sgd
from .plan import PlannedLayer
from .regularization import L1, WeightDecay
from .targets import KINDS, Kind, is_meant


def optimizer_errors(spec: JobSpec, layers: tuple[PlannedLayer, ...]) -> Iterator[SpecError]:
    """`layers` is empty where the network does not fit its inputs."""
    yield from _decay(spec)
    yield from _proximal(spec)
    if layers:
        yield from _multipliers(spec, layers)


def optimizer_warnings(spec: JobSpec) -> Iterator[SpecWarning]:
    usual = usual_rate(spec.optimizer)
    if spec.optimizer.learning_rate >= 100 * usual:
        detail = f"At least 100 times the usual rate of {spec.optimizer.type} ({usual}): the run will probably diverge"
        yield SpecWarning("/optimizer/learning_rate", "large_rate", detail)


def _decay(spec: JobSpec) -> Iterator[SpecError]:
    if not isinstance(spec.optimizer, AdamW) or spec.optimizer.weight_decay == 0.0:
        return
    for index, technique in enumerate(spec.regularization):
        if isinstance(technique, WeightDecay):
            detail = "adamw has a weight decay of its own: use `optimizer.weight_decay`, or `adam` with this one"
            yield SpecError(f"/regularization/{index}", "decay_twice", detail, suggestion="/optimizer/weight_decay")


def _proximal(spec: JobSpec) -> Iterator[SpecError]:
    if isinstance(spec.optimizer, Sgd | Adam | AdamW | RMSprop):
        return
    for index, technique in enumerate(spec.regularization):
        if isinstance(technique, L1) and technique.mode == "proximal":
            detail = "The proximal step follows the step size of sgd, adam, adamw or rmsprop: take one, or the penalty"
            yield SpecError(f"/regularization/{index}/mode", "optimizer_does_not_fit", detail, ["penalty"], "penalty")


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
        case Adagrad():
            return 0.01
        case Adadelta():
            return 1.0
        case Adam() | AdamW() | NAdam() | RAdam() | Adamax() | RMSprop():
            return 0.001
        case _:
            assert_never(optimizer)
