"""What a training run tells its caller, in the order it happens."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

type Json = None | bool | int | float | str | Sequence["Json"] | Mapping[str, "Json"]
