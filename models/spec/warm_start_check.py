"""Whether an earlier job's checkpoint fits a network, by the plans of both: nothing is loaded to find out."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Literal

from .errors import SpecError, SpecWarning, closest
from .estimate import steps_per_epoch, total_steps
from .job import JobSpec
from .layers import plan_of
from .network import Network
from .optimizer_check import kinds_in
from .plan import PlannedLayer, Shape
from .starts import names_of
from .targets import is_meant
from .task import Task
from .warm_start import WarmStart

SHOWN = 10
"""Layers that do not fit are told one by one up to so many."""

Tensors = Mapping[str, Mapping[str, Shape]]
"""Layer → the end of a tensor's name → its shape."""


@dataclass(frozen=True)
class Earlier:
    """A checkpoint, and of the job that took it what a spec that starts from it must know."""

    checkpoint: str
    sha256: str
    """Of the weights."""
    spec: JobSpec
    """Resolved."""
    task: Task

    @property
    def tensors(self) -> Tensors:
        return tensors_of(plan_of(self.spec.network, self.task))


def tensors_of(layers: Iterable[PlannedLayer]) -> Tensors:
    return {layer.name: layer.tensors for layer in layers if layer.tensors}


def is_named(layer: str, targets: Iterable[str]) -> bool:
    """Whether a layer is one of these or lies below one."""
    return not names_of(layer).isdisjoint(targets)


def output_layer(layers: Iterable[PlannedLayer]) -> str:
    """The last layer with a kernel; empty where there is none."""
    return next((layer.name for layer in reversed(tuple(layers)) if layer.kernel), "")


def taken_layers(start: WarmStart, layers: Sequence[PlannedLayer]) -> tuple[str, ...]:
    """The layers of a network that take the checkpoint's tensors, by a start that says what becomes of its output."""
    output = output_layer(layers)
    return tuple(
        name
        for name in tensors_of(layers)
        if (start.layers == "all" or is_named(name, start.layers)) and (name != output or start.output == "keep")
    )


def frozen_layers(start: WarmStart, layers: Sequence[PlannedLayer]) -> tuple[str, ...]:
    """The layers that do not learn at first."""
    if start.freeze == "body":
        output = output_layer(layers)
        return tuple(name for name in tensors_of(layers) if name != output)
    return tuple(name for name in tensors_of(layers) if is_named(name, start.freeze))


def resolve_warm_start(spec: JobSpec, task: Task, earlier: Earlier) -> WarmStart | None:
    """The start with everything said that it leaves to the two jobs."""
    if spec.warm_start is None:
        return None
    layers = plan_of(spec.network, task)
    start = spec.warm_start.model_copy(
        update={"checkpoint": earlier.checkpoint, "sha256": earlier.sha256, "output": _output(spec, task, earlier)}
    )
    return start.model_copy(update={"normalization": _normalization(start, spec, task, layers, earlier)})


def _output(spec: JobSpec, task: Task, earlier: Earlier) -> Literal["keep", "replace"]:
    assert spec.warm_start is not None
    if spec.warm_start.output != "auto":
        return spec.warm_start.output
    output = output_layer(plan_of(spec.network, task))
    asked = spec.warm_start.layers == "all" or is_named(output, spec.warm_start.layers)
    return "keep" if asked and _same_answers(task, earlier.task) else "replace"


def _same_answers(one: Task, other: Task) -> bool:
    return (one.kind, one.classes, one.outputs) == (other.kind, other.classes, other.outputs)


def _normalization(
    start: WarmStart, spec: JobSpec, task: Task, layers: Sequence[PlannedLayer], earlier: Earlier
) -> Literal["inherit", "fit"]:
    if start.normalization != "auto":
        return start.normalization
    first = next(iter(tensors_of(layers)), "")
    fits = first in taken_layers(start, layers) and not list(_inheritance(spec, task, earlier))
    return "inherit" if fits else "fit"


def _inheritance(spec: JobSpec, task: Task, earlier: Earlier) -> Iterator[SpecError]:
    """What stands in the way of the earlier job's mean and spread."""
    pointer = "/warm_start/normalization"
    if spec.dataset.normalize != earlier.spec.dataset.normalize:
        theirs = earlier.spec.dataset.normalize
        detail = f"The earlier job read its inputs with `dataset.normalize` `{theirs}`: say the same, or `fit`"
        yield SpecError(pointer, "normalize_differs", detail, ["auto", "fit"], "fit")
    elif _channels(task) != _channels(earlier.task) or task.features != earlier.task.features:
        detail = "The earlier job read other channels, columns or features, and its means and spreads are theirs"
        yield SpecError(pointer, "inputs_differ", detail, ["auto", "fit"], "fit")


def _channels(task: Task) -> tuple[int, int]:
    """The rank of an input and its first size: a mean and a spread belong to each channel or feature."""
    return len(task.input_shape), task.input_shape[0]


def warm_start_errors(
    spec: JobSpec, task: Task, layers: Sequence[PlannedLayer], earlier: Earlier | None
) -> Iterator[SpecError]:
    """`earlier` is None where the checkpoint is not known, which has been told already."""
    if spec.warm_start is None or not layers:
        return
    yield from _frozen(spec, spec.warm_start, layers)
    yield from _unknown("/warm_start/layers", spec.warm_start.layers, layers)
    if earlier is None:
        return
    if spec.warm_start.sha256 not in (None, earlier.sha256):
        yield SpecError("/warm_start/sha256", "other_weights", "The weights of this checkpoint have another sha256")
    if spec.warm_start.normalization == "inherit":
        yield from _inheritance(spec, task, earlier)
    start = spec.warm_start.model_copy(update={"output": _output(spec, task, earlier)})
    misfits = list(_misfits(start, layers, earlier.tensors))
    yield from islice(misfits, SHOWN)
    if len(misfits) > SHOWN:
        yield SpecError("/warm_start", "more_errors", f"… and {len(misfits) - SHOWN} more layers do not fit")


def _misfits(start: WarmStart, layers: Sequence[PlannedLayer], theirs: Tensors) -> Iterator[SpecError]:
    mine, taken, output = tensors_of(layers), taken_layers(start, layers), output_layer(layers)
    fitting = [name for name in mine if mine[name] == theirs.get(name)]
    if start.output == "keep" and output not in taken:
        detail = f"`{output}` is not among the layers that are taken, so it cannot be kept"
        yield SpecError("/warm_start/output", "not_taken", detail, ["auto", "replace"], "replace")
    for name in taken:
        if mine[name] != theirs.get(name):
            pointer = "/warm_start/output" if name == output else "/warm_start/layers"
            code = "shape" if name in theirs else "not_in_checkpoint"
            yield SpecError(pointer, code, _difference(name, mine[name], theirs.get(name)), fitting[:100])
    if start.layers == "all":
        for name in theirs.keys() - mine.keys() - {output}:
            detail = f"The checkpoint has a layer `{name}`, and this network has not: name the layers to take"
            yield SpecError("/warm_start/layers", "not_in_network", detail, fitting[:100])
    elif not taken:
        yield SpecError("/warm_start/layers", "nothing_taken", "Nothing would be taken from the checkpoint", fitting)


def _difference(name: str, mine: Mapping[str, Shape], theirs: Mapping[str, Shape] | None) -> str:
    if theirs is None:
        return f"The checkpoint has no layer `{name}`"
    for tensor in (*mine, *theirs):
        here, there = mine.get(tensor), theirs.get(tensor)
        if here != there:
            return f"The {tensor} of `{name}` is {_words(here)} here and {_words(there)} in the checkpoint"
    raise AssertionError(name)


def _words(shape: Shape | None) -> str:
    return "absent" if shape is None else " × ".join(f"{size:,}" for size in shape)


def _frozen(spec: JobSpec, start: WarmStart, layers: Sequence[PlannedLayer]) -> Iterator[SpecError]:
    frozen = frozen_layers(start, layers)
    still = [target for target, factor in spec.optimizer.multipliers.items() if factor == 0.0]
    yield from _unknown("/warm_start/freeze", start.freeze, layers)
    if start.freeze_until is not None and not start.freeze:
        detail = "Nothing is frozen: name layers in `freeze`"
        yield SpecError("/warm_start/freeze_until", "never_acts", detail, suggestion="/warm_start/freeze")
    learning = ((layer.name, kind) for layer in layers if layer.name not in frozen for kind in kinds_in(layer))
    if frozen and all(any(is_meant(target, *one) for target in still) for one in learning):
        detail = "With all these frozen nothing is left to train: leave out one at least"
        yield SpecError("/warm_start/freeze", "all_frozen", detail, suggestion="body")


def _unknown(pointer: str, targets: str | Sequence[str], layers: Sequence[PlannedLayer]) -> Iterator[SpecError]:
    names = list(tensors_of(layers))
    for index, target in enumerate(() if isinstance(targets, str) else targets):
        if not any(is_named(name, [target]) for name in names):
            detail = "The network has no layer with weights of this name, and none below it"
            yield SpecError(f"{pointer}/{index}", "unknown_layer", detail, names[:100], closest(target, names))


def warm_start_warnings(
    spec: JobSpec, task: Task, layers: Sequence[PlannedLayer], earlier: Earlier | None
) -> Iterator[SpecWarning]:
    if spec.warm_start is None or earlier is None:
        return
    start = spec.warm_start.model_copy(update={"output": _output(spec, task, earlier)})
    taken = taken_layers(start, layers)
    if start.output == "keep" and not _same_answers(task, earlier.task):
        detail = f"`{output_layer(layers)}` keeps weights that tell other classes apart, or predict other numbers"
        yield SpecWarning("/warm_start/output", "other_classes", detail)
    random = [name for name in frozen_layers(start, layers) if name not in taken]
    if random:
        until = "never learns" if start.freeze_until is None else f"does not learn until {start.freeze_until}"
        detail = f"`{random[0]}` starts anew and {until}: it is frozen and not taken from the checkpoint"
        yield SpecWarning("/warm_start/freeze", "frozen_at_random", detail)
    first = next(iter(tensors_of(layers)), "")
    if first in taken and (task.features or task.vocabulary) and spec.dataset.id != earlier.spec.dataset.id:
        detail = (
            f"`{first}` has learned to read another data set: here the same number may stand for another word or "
            "category. Sets that were prepared together have the same ones"
        )
        yield SpecWarning("/warm_start/layers", "other_inputs", detail)
    yield from _idle(spec, task, start, layers)
    differences = _differences(spec.network, earlier.spec.network)
    if differences:
        detail = f"The shapes fit, and the networks compute differently: {', '.join(differences)}"
        yield SpecWarning("/network", "networks_differ", detail)


def _idle(spec: JobSpec, task: Task, start: WarmStart, layers: Sequence[PlannedLayer]) -> Iterator[SpecWarning]:
    """A thaw behind the run's end, and techniques on layers all of which are frozen for good."""
    per_epoch = steps_per_epoch(task.train, spec.training.examples_per_step)
    steps = total_steps(spec.training, per_epoch)
    if start.freeze_until is not None and start.freeze_until.in_steps(per_epoch, steps) >= steps:
        detail = f"The run ends after {steps:,} steps: what is frozen never learns"
        yield SpecWarning("/warm_start/freeze_until", "never_reached", detail)
    frozen = frozen_layers(start, layers) if start.freeze_until is None else ()
    for index, technique in enumerate(spec.regularization):
        target = getattr(technique, "target", None)
        if isinstance(target, tuple) and set(target) <= set(frozen):
            detail = "All of these layers are frozen for good: it never acts"
            yield SpecWarning(f"/regularization/{index}/target", "never_acts", detail)


def _differences(mine: Network, theirs: Network) -> list[str]:
    """Words of the two networks that change what the same weights compute; `null` and `auto` say nothing."""
    if mine.type != theirs.type:
        return [f"`{mine.type}` here and `{theirs.type}` there"]
    here, there = (network.model_dump(mode="json") for network in (mine, theirs))
    silent = (None, "auto")
    return [
        f"`{key}` is `{here[key]}` here and `{there[key]}` there"
        for key in here
        if here[key] != there[key] and not isinstance(here[key], list | int) and here[key] not in silent
    ]
