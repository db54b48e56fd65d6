"""What the name of a target means: layers, all layers below a name, or the parameters of one kind."""

from typing import Literal

from .plan import PlannedLayer

Kind = Literal["kernel", "bias", "norm"]
"""Of a parameter. What is learned besides (positions, class tokens, scales of branches) counts as a norm's."""

KINDS: dict[str, Kind] = {"kernels": "kernel", "biases": "bias", "norms": "norm"}
"""The targets that name no layer."""


def is_meant(target: str, layer: str, kind: Kind) -> bool:
    """Whether `target` means the parameters of this kind in this layer."""
    if target in KINDS:
        return KINDS[target] == kind
    return layer == target or layer.startswith(f"{target}.")


def hidden_kernels(layers: tuple[PlannedLayer, ...]) -> tuple[str, ...]:
    """The layers whose kernels are hidden matrices: all but the first, which embeds the inputs, and the last."""
    return tuple(layer.name for layer in layers if layer.kernel)[1:-1]
