"""The list of contents of a safetensors file, which needs no torch: a length, and as many bytes of JSON."""

import json
import math
from dataclasses import dataclass
from pathlib import Path

LENGTH_BYTES = 8
LONGEST_HEADER = 100 * 1024 * 1024
"""The format's own limit."""


@dataclass(frozen=True)
class TensorEntry:
    """One tensor: its name, its type as in `F32`, its shape."""

    name: str
    dtype: str
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        return math.prod(self.shape)


def list_tensors(path: Path) -> list[TensorEntry]:
    """What is in the file, in its order.

    Raises:
        ValueError: it is not a safetensors file.
    """
    with path.open("rb") as file:
        length = int.from_bytes(file.read(LENGTH_BYTES), "little")
        if not 2 <= length <= min(LONGEST_HEADER, path.stat().st_size - LENGTH_BYTES):
            raise ValueError(f"{path} is not a safetensors file")
        header = json.loads(file.read(length))
    header.pop("__metadata__", None)
    entries = sorted(header.items(), key=lambda entry: entry[1]["data_offsets"])
    return [TensorEntry(name, entry["dtype"], tuple(entry["shape"])) for name, entry in entries]
