"""What a checkpoint holds."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor


@dataclass(frozen=True)
class State:
    """All that a resume needs besides the weights: tensors by name, and the rest as JSON."""

    tensors: Mapping[str, Tensor]
    progress: Mapping[str, Any]


@dataclass(frozen=True)
class Weights:
    """The weights of a checkpoint, and the words beside them."""

    tensors: Mapping[str, Tensor]
    metadata: Mapping[str, str]


@dataclass(frozen=True)
class Resume:
    """A checkpoint read back."""

    weights: Mapping[str, Tensor]
    state: State
