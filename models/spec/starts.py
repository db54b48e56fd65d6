"""Which layer starts how, and whether that can be."""

from collections.abc import Iterator
from math import ceil

from .errors import SpecError, SpecWarning, closest
from .initialization import AnyInitialization, Constant, KaimingNormal, Lsuv, Ones, Override, Sparse, Zeros
from .job import JobSpec
from .layers import layer_name
from .network import Embedding, KernelLayer, Network, Sequential
from .plan import PlannedLayer
from .regularization import SpectralNorm

Planned = tuple[PlannedLayer, ...]


def starts_of(start: AnyInitialization, network: Network, plan: Planned) -> dict[str, AnyInitialization]:
    """How every layer with a kernel starts: as it says itself, else as the last override that means it, else as the
    job. An embedding has a start only where it or an override says one.
    """
    starts: dict[str, AnyInitialization] = dict.fromkeys((layer.name for layer in plan if layer.kernel), start)
    for override in start.overrides:
        starts |= dict.fromkeys(meant(override, plan), override.initialization)
    if isinstance(network, Sequential):
        for index, layer in enumerate(network.layers):
            if isinstance(layer, KernelLayer | Embedding) and layer.initialization is not None:
                starts[layer_name(layer, index)] = layer.initialization
    return starts


def meant(override: Override, plan: Planned) -> list[str]:
    """The layers that an override means."""
    target = override.target
    if isinstance(target, str):
        return [layer.name for layer in plan if is_started(layer) and layer.kind == target]
    return [layer.name for layer in plan if is_started(layer) and not names_of(layer.name).isdisjoint(target)]


def is_started(layer: PlannedLayer) -> bool:
    """Whether a spec may say how the layer starts."""
    return layer.kernel > 0 or layer.kind == "embedding"


def names_of(layer: str) -> set[str]:
    """Its own, and those of what it lies in: `stages.0.0.conv1` is in `stages.0.0`, `stages.0` and `stages`."""
    parts = layer.split(".")
    return {".".join(parts[:end]) for end in range(1, len(parts) + 1)}


def branch_ends(plan: Planned) -> list[PlannedLayer]:
    """What each residual branch ends in: a norm, a convolution, a dense layer or a scale."""
    ends, last = [], None
    for layer in plan:
        if layer.kind == "sum":
            assert last is not None
            ends.append(last)
        elif ".shortcut" not in layer.name:
            last = layer
    return ends


def start_errors(spec: JobSpec, plan: Planned) -> Iterator[SpecError]:
    """What cannot start as it says."""
    start = spec.initialization
    starts = starts_of(start or KaimingNormal(), spec.network, plan)
    if start is not None:
        yield from _overrides(start, starts, plan)
        yield from _zero_residual(start, plan)
    yield from _lsuv(starts, plan)
    yield from _spectral_norm(spec, starts, plan)


def start_warnings(spec: JobSpec, plan: Planned) -> Iterator[SpecWarning]:
    """What leaves nothing of a start; the spec is a resolved one."""
    assert spec.initialization is not None
    starts = starts_of(spec.initialization, spec.network, plan)
    if spec.initialization.overrides and not any(start is spec.initialization for start in starts.values()):
        detail = f"Every layer starts as an override says: `{spec.initialization.type}` itself never acts"
        yield SpecWarning("/initialization/type", "never_acts", detail)
    yield from _alike(starts, plan)
    for layer in plan:
        start, units = starts.get(layer.name), layer.output[0 if layer.kind == "conv" else -1]
        if isinstance(start, Sparse) and ceil(start.sparsity * units) >= units:
            what = f"`{layer.name}`, which has {units} units"
            detail = f"A sparsity of {start.sparsity} leaves nothing of the weights of {what}"
            yield SpecWarning("/initialization", "starts_at_0", detail)
            return


def _alike(starts: dict[str, AnyInitialization], plan: Planned) -> Iterator[SpecWarning]:
    """Hidden layers whose units all start as one. What ends a residual branch may: other branches tell it apart."""
    ends = {end.name for end in branch_ends(plan)}
    *hidden, _ = [layer.name for layer in plan if layer.kernel]
    for name in hidden:
        if name not in ends and isinstance(start := starts.get(name), Zeros | Ones | Constant):
            detail = f"All units of `{name}` start alike under `{start.type}`, get the same gradients and stay alike"
            yield SpecWarning("/initialization", "starts_alike", detail)
            return


def _overrides(start: AnyInitialization, starts: dict[str, AnyInitialization], plan: Planned) -> Iterator[SpecError]:
    """Every target means a layer, and every override is the last word on one."""
    for index, override in enumerate(start.overrides):
        pointer = f"/initialization/overrides/{index}"
        unknown = list(_unknown(override, f"{pointer}/target", plan))
        yield from unknown
        if not unknown and not any(one is override.initialization for one in starts.values()):
            detail = "Each of its layers starts as a later override or the layer itself says: it never acts"
            yield SpecError(pointer, "never_acts", detail)


def _unknown(override: Override, pointer: str, plan: Planned) -> Iterator[SpecError]:
    names = [layer.name for layer in plan if is_started(layer)]
    if isinstance(override.target, str):
        if not meant(override, plan):
            kinds = sorted({layer.kind for layer in plan if is_started(layer)})
            yield SpecError(pointer, "unknown_layer", f"The network has no {override.target} layers", kinds)
        return
    known = set[str]().union(*map(names_of, names))
    for index, name in enumerate(override.target):
        if name not in known:
            detail = "The network has no such layer here"
            yield SpecError(f"{pointer}/{index}", "unknown_layer", detail, names[:100], closest(name, names))


def _zero_residual(start: AnyInitialization, plan: Planned) -> Iterator[SpecError]:
    if start.zero_residual and not branch_ends(plan):
        detail = "This network has no residual branches that could start at 0: a `resnet` has"
        yield SpecError("/initialization/zero_residual", "no_place", detail, suggestion="false")


def _lsuv(starts: dict[str, AnyInitialization], plan: Planned) -> Iterator[SpecError]:
    if any(layer.kind in ("recurrent", "embedding") and isinstance(starts.get(layer.name), Lsuv) for layer in plan):
        detail = (
            "`lsuv` scales what a layer makes of its inputs; recurrent layers and embeddings cannot be scaled so: let "
            'them start otherwise, "overrides": [{"target": "recurrent", "initialization": {"type": "orthogonal"}}]'
        )
        yield SpecError("/initialization", "network_does_not_fit", detail)


def _spectral_norm(spec: JobSpec, starts: dict[str, AnyInitialization], plan: Planned) -> Iterator[SpecError]:
    """It needs kernels with a scale, and takes that scale away."""
    named = [index for index, technique in enumerate(spec.regularization) if isinstance(technique, SpectralNorm)]
    for index in named[1:]:
        detail = "A kernel is divided by its norm once: name all the layers in one `target`"
        yield SpecError(f"/regularization/{index}", "named_twice", detail)
    for index in named[:1]:
        if any(isinstance(start, Lsuv) for start in starts.values()):
            detail = "What `lsuv` scales is divided by its own scale again: take `orthogonal`, which it starts from"
            yield SpecError("/initialization", "never_acts", detail, suggestion="orthogonal")
        technique = spec.regularization[index]
        assert isinstance(technique, SpectralNorm)
        kernels = [layer.name for layer in plan if layer.kernel]
        targets = kernels if technique.target == "kernels" else technique.target
        if empty := sorted(_empty(spec, starts, plan).intersection(targets)):
            detail = f"The kernel of `{empty[0]}` starts at 0, and has no norm that it could be divided by"
            yield SpecError(f"/regularization/{index}", "all_zero", detail)


def _empty(spec: JobSpec, starts: dict[str, AnyInitialization], plan: Planned) -> set[str]:
    """The layers whose kernels start at 0."""
    zeros = {name for name, start in starts.items() if isinstance(start, Zeros) or _is_constant_0(start)}
    if spec.initialization is not None and spec.initialization.zero_residual:
        zeros |= {end.name for end in branch_ends(plan)}
    return zeros


def _is_constant_0(start: AnyInitialization) -> bool:
    return isinstance(start, Constant) and start.value == 0.0
