"""Where in a network a technique acts, read off the plan of its layers."""

from collections.abc import Iterator

from .images import Convnext, WideResnet
from .layers import dropout_after, dropout_places, layer_name
from .network import DropoutLayer, Network, Resnet, Sequential
from .plan import PlannedLayer
from .regularization import Activity, AlphaDropout, DropBlock, Dropout, DropPath, Regularization, SpatialDropout
from .technique import FINEST_RATE

Planned = tuple[PlannedLayer, ...]
Acting = Dropout | SpatialDropout | AlphaDropout | DropPath | DropBlock | Activity
"""What acts on the numbers that flow through the network."""

SUM = ".sum"
"""What the plan calls the end of the block of the name before it."""

IMAGE_RANK = 3
"""(channels, height, width)."""


def acting_at(
    network: Network, plan: Planned, regularization: tuple[Regularization, ...]
) -> dict[str, tuple[Acting, ...]]:
    """What acts at each place, in the list's order; a `sequential` has its dropout layers besides.

    A place is the name of a layer (behind its activation), or of the sum of a residual block (on the branch, before
    it). `drop_path` comes with the rate of its block.
    """
    acting: dict[str, tuple[Acting, ...]] = {}
    for place, technique in (*_own_dropout(network), *_asked_for(network, plan, regularization)):
        acting[place] = (*acting.get(place, ()), technique)
    return acting


def _own_dropout(network: Network) -> Iterator[tuple[str, Acting]]:
    if isinstance(network, Sequential):
        for index, layer in enumerate(network.layers):
            if isinstance(layer, DropoutLayer):
                yield layer_name(layer, index), Dropout(rate=layer.rate)


def _asked_for(
    network: Network, plan: Planned, regularization: tuple[Regularization, ...]
) -> Iterator[tuple[str, Acting]]:
    for technique in regularization:
        match technique:
            case DropPath():
                places, rates = branches(plan), path_rates(technique, len(branches(plan)))
                yield from zip(places, (DropPath(rate=rate) for rate in rates), strict=True)
            case Dropout() | SpatialDropout() | AlphaDropout() | DropBlock() | Activity():
                yield from ((place, technique) for place in places_of(technique, network, plan))
            case _:
                pass


def places_of(
    technique: Dropout | SpatialDropout | AlphaDropout | DropBlock | Activity, network: Network, plan: Planned
) -> tuple[str, ...]:
    """The places it names, or those it has by default: none where the network has none for it."""
    match technique:
        case Dropout() | AlphaDropout():
            return dropout_after(network, Dropout(after=technique.after))
        case SpatialDropout(after=after):
            return convolutions(network, plan) if after == "convolutions" else after
        case DropBlock(after=after):
            return late_convolutions(network, plan) if after == "late" else after
        case Activity(after=after):
            return hidden_layers(network, plan) if after == "hidden" else after


def branches(plan: Planned) -> tuple[str, ...]:
    """The sums that end a residual branch, from the first to the last."""
    return tuple(layer.name for layer in plan if layer.kind == "sum")


def path_rates(drop_path: DropPath, count: int) -> list[float]:
    """The rate of each of `count` branches: 0 at the first and the whole rate at the last, or the same for all."""
    if drop_path.mode == "uniform" or count == 1:
        return [drop_path.rate] * count
    rates = (drop_path.rate * index / (count - 1) for index in range(count))
    return [rate if rate >= FINEST_RATE else 0.0 for rate in rates]


def image_places(network: Network, plan: Planned) -> tuple[str, ...]:
    """Behind which layers and blocks images come, one channel beside another."""
    images = {layer.name.removesuffix(SUM) for layer in plan if len(layer.output) == IMAGE_RANK}
    return tuple(place for place in dropout_places(network) if place in images)


def convolutions(network: Network, plan: Planned) -> tuple[str, ...]:
    """The convolutions and residual blocks behind which something may stand."""
    weighty = {layer.name.removesuffix(SUM) for layer in plan if layer.kind in ("conv", "sum")}
    return tuple(place for place in image_places(network, plan) if place in weighty)


def late_convolutions(network: Network, plan: Planned) -> tuple[str, ...]:
    """The blocks of the last two stages of a residual network, the last two convolutions of another."""
    if not isinstance(network, Resnet | WideResnet | Convnext):
        return convolutions(network, plan)[-2:]
    blocks = [layer.name.removesuffix(SUM) for layer in plan if layer.kind == "sum"]
    late = sorted({name.split(".")[1] for name in blocks})[-2:]
    return tuple(name for name in blocks if name.split(".")[1] in late)


def hidden_layers(network: Network, plan: Planned) -> tuple[str, ...]:
    """The hidden dense and convolutional layers, and residual blocks."""
    weighty = {layer.name.removesuffix(SUM) for layer in plan if layer.kernel or layer.kind == "sum"}
    return tuple(place for place in dropout_places(network) if place in weighty)
