"""A network's layers with their shapes and parameters, laid down one after another."""

from dataclasses import dataclass, field
from math import prod
from typing import Literal

from .network import Activation, Padding

FEATURES = "features"
"""What the body of a network gives to its head."""
LARGE_IMAGE = 96
"""From this shorter side on (pixels) stems and patches are large unless the spec says otherwise."""

Shape = tuple[int, ...]
"""(channels, height, width) of images, (steps, features) of sequences, (features,) of vectors, (tokens,) of tokens."""


@dataclass(frozen=True, slots=True)
class PlannedLayer:
    """One operation of the network."""

    name: str
    """What `target` and `after` call it; what has no name of its own (an activation) has its layer's and `.activation`.
    """
    kind: Literal[
        "dense",
        "conv",
        "recurrent",
        "embedding",
        "attention",
        "learned",
        "norm",
        "activation",
        "pooling",
        "dropout",
        "flatten",
        "sum",
    ]
    output: Shape
    """The shape of one example behind it."""
    weight: Shape = ()
    """The shape of its weights as a checkpoint has them; none where it has none."""
    kernel: int = 0
    """Weights with two or more dimensions: what penalties act on."""
    bias: int = 0
    norm: int = 0
    """Scales and shifts."""
    learned: int = 0
    """Embeddings of tokens, positions, class tokens and scales of branches: trained, but neither penalized nor decayed.
    """
    buffers: int = 0
    """Running means and variances, which are kept but not trained."""
    activation: Activation = "linear"

    @property
    def parameters(self) -> int:
        """What is trained."""
        return self.kernel + self.bias + self.norm + self.learned

    @property
    def tensors(self) -> dict[str, Shape]:
        """What a checkpoint holds of it, by the end of its name: `weight`, `bias`, `running_mean`, `running_var`."""
        found = {"weight": self.weight} if self.weight else {}
        if self.bias or self.norm:
            found["bias"] = (self.bias,) if self.bias else self.weight
        if self.buffers:
            found |= {"running_mean": self.weight, "running_var": self.weight}
        return found


class ShapeMismatch(ValueError):
    """A layer cannot take what the layer before it gives."""

    def __init__(self, pointer: str, detail: str) -> None:
        self.pointer = pointer
        self.detail = detail
        super().__init__(f"{pointer}: {detail}")


@dataclass
class Plan:
    """The layers so far and the shape behind the last of them."""

    shape: Shape
    vocabulary: int = 0
    """Of sequences of tokens that no embedding has read yet."""
    layers: list[PlannedLayer] = field(default_factory=list)

    def embed(self, name: str, width: int, pointer: str) -> None:
        """A row of numbers for each token: (tokens,) → (tokens, width)."""
        if not self.vocabulary:
            detail = f"`{name}` reads tokens and gets {_words(self.shape)}: leave it out, or read a text as tokens"
            raise ShapeMismatch(pointer, detail)
        self.shape = (*self.shape, width)
        weight = (self.vocabulary, width)
        self.layers.append(PlannedLayer(name, "embedding", self.shape, weight, learned=prod(weight)))
        self.vocabulary = 0

    def dense(self, name: str, units: int, bias: bool, pointer: str) -> None:
        if len(self.shape) != 1:
            raise ShapeMismatch(
                pointer, f"`{name}` takes vectors and gets {_words(self.shape)}: put a `flatten` before it"
            )
        self.project(name, units, bias)

    def project(self, name: str, units: int, bias: bool = True) -> None:
        """A dense layer over the last dimension: (features,) → (units,), (steps, features) → (steps, units)."""
        weight = (units, self.shape[-1])
        self.shape = (*self.shape[:-1], units)
        self.layers.append(PlannedLayer(name, "dense", self.shape, weight, prod(weight), units if bias else 0))

    def conv(
        self,
        name: str,
        filters: int,
        kernel: int,
        stride: int,
        padding: Padding,
        bias: bool,
        pointer: str,
        groups: int = 1,
    ) -> None:
        self._needs_image(name, pointer)
        channels, *sides = self.shape
        if channels % groups:
            detail = f"`{name}` has {groups} groups, which do not divide the {channels} channels that it gets"
            raise ShapeMismatch(pointer, detail)
        pad = (kernel - 1) // 2 if padding == "same" else 0
        self.shape = (filters, *(self._side(side + 2 * pad, kernel, stride, name, pointer) for side in sides))
        weight = (filters, channels // groups, kernel, kernel)
        self.layers.append(PlannedLayer(name, "conv", self.shape, weight, prod(weight), filters if bias else 0))

    def pool(self, name: str, size: int, stride: int, pointer: str, pad: int = 0) -> None:
        self._needs_image(name, pointer)
        channels, *sides = self.shape
        self.shape = (channels, *(self._side(side + 2 * pad, size, stride, name, pointer) for side in sides))
        self.layers.append(PlannedLayer(name, "pooling", self.shape))

    def global_pool(self, name: str, pointer: str) -> None:
        if len(self.shape) == 2:
            self.pool_steps(name)
            return
        self._needs_image(name, pointer)
        self.shape = self.shape[:1]
        self.layers.append(PlannedLayer(name, "pooling", self.shape))

    def batch_norm(self, name: str) -> None:
        channels = self.shape[0]
        doubled = 2 * channels
        self.layers.append(PlannedLayer(name, "norm", self.shape, (channels,), norm=doubled, buffers=doubled))

    def layer_norm(self, name: str) -> None:
        self.layers.append(PlannedLayer(name, "norm", self.shape, self.shape, norm=2 * prod(self.shape)))

    def norm_of(self, name: str, features: int) -> None:
        """A norm with a scale and a shift for each of so many features, whatever it goes over."""
        self.layers.append(PlannedLayer(name, "norm", self.shape, (features,), norm=2 * features))

    def learn(self, name: str, *weight: int) -> None:
        self.layers.append(PlannedLayer(name, "learned", self.shape, weight, learned=prod(weight)))

    def add(self, name: str) -> None:
        """A branch joins what it left."""
        self.layers.append(PlannedLayer(name, "sum", self.shape))

    def pool_steps(self, name: str) -> None:
        """(steps, features) → (features,)."""
        self.shape = self.shape[-1:]
        self.layers.append(PlannedLayer(name, "pooling", self.shape))

    def activate(self, name: str, activation: Activation) -> None:
        if activation != "linear":
            self.layers.append(PlannedLayer(name, "activation", self.shape, activation=activation))

    def flatten(self, name: str) -> None:
        self.shape = (prod(self.shape),)
        self.layers.append(PlannedLayer(name, "flatten", self.shape))

    def _needs_image(self, name: str, pointer: str) -> None:
        if len(self.shape) != 3:
            raise ShapeMismatch(pointer, f"`{name}` takes images and gets {_words(self.shape)}")

    def _side(self, side: int, window: int, stride: int, name: str, pointer: str) -> int:
        if side < window:
            detail = (
                f"`{name}` looks through a window of {window} pixels at {_words(self.shape)}: nothing would be left"
            )
            raise ShapeMismatch(pointer, detail)
        return (side - window) // stride + 1


def _words(shape: Shape) -> str:
    if len(shape) == 1:
        return f"vectors of {shape[0]:,} features"
    if len(shape) == 2:
        return f"sequences of {shape[0]:,} steps of {shape[1]:,} features"
    channels, height, width = shape
    return f"images of {height} × {width} with {channels:,} channel{'s' if channels > 1 else ''}"
