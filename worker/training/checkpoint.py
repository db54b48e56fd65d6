"""Checkpoints: two safetensors files, the network's weights and the state that a resume needs besides them.

Equal content gives equal bytes: tensors and metadata are written in the order of their names and nothing about the time
or the machine is stored. The format is that of https://github.com/huggingface/safetensors; its own writer puts metadata
in an arbitrary order.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import torch
from safetensors import safe_open
from torch import Tensor

from worker.training.events import CheckpointReady
from worker.training.state import Resume, State, Weights

DTYPE_NAMES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
HEADER_ALIGNMENT = 8


def write_tensors(file: BinaryIO, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Writes one safetensors file."""
    for piece in pieces_of(tensors, metadata):
        file.write(piece)


def pieces_of(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> Iterator[bytes | memoryview]:
    """A safetensors file: the header's length (8 bytes, little endian), the header as JSON, the tensors end to end."""
    header: dict[str, Any] = {"__metadata__": dict(sorted(metadata.items()))}
    position = 0
    for name, tensor in sorted(tensors.items()):
        end = position + tensor.numel() * tensor.element_size()
        header[name] = {
            "dtype": DTYPE_NAMES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [position, end],
        }
        position = end
    encoded = json.dumps(header, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
    encoded += b" " * (-len(encoded) % HEADER_ALIGNMENT)
    yield len(encoded).to_bytes(8, "little") + encoded
    for _, tensor in sorted(tensors.items()):
        yield tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors and the metadata of a safetensors file."""
    with safe_open(path, framework="pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, dict(file.metadata() or {})  # noqa: SIM118


def read_weights(path: Path) -> Weights:
    """Reads the weights of a checkpoint. Raises `safetensors.SafetensorError` for a file that is none."""
    return Weights(*read_tensors(path))


FORMAT_VERSION = 1
"""It grows when what is written now could not have been read before; what was written before is read for ever."""


class UnknownFormat(ValueError):
    """A checkpoint that a newer release wrote."""


def state_metadata(state: State) -> dict[str, str]:
    return {"format_version": str(FORMAT_VERSION), "progress": json.dumps(state.progress, sort_keys=True)}


def read_checkpoint(weights: Path, state: Path) -> Resume:
    """Reads both files of a checkpoint.

    Raises `safetensors.SafetensorError` for a file that is no safetensors file and `KeyError` for a state that holds no
    progress, `UnknownFormat` for files of a newer release.
    """
    tensors, metadata = read_tensors(state)
    version = int(metadata.get("format_version", 1))
    if version > FORMAT_VERSION:
        raise UnknownFormat(f"the checkpoint has format {version}, and this release reads up to {FORMAT_VERSION}")
    return Resume(read_tensors(weights)[0], State(tensors, json.loads(metadata["progress"])))


def save_checkpoint(checkpoint: CheckpointReady, weights: Path, state: Path) -> None:
    """Writes both files of a checkpoint, each of them whole or not at all. Raises OSError where the disk does not take
    them.
    """
    save_atomically(weights, checkpoint.weights, checkpoint.weights_metadata)
    save_atomically(state, checkpoint.state.tensors, state_metadata(checkpoint.state))


def hand_over(checkpoint: CheckpointReady, weights: Path, state: Path) -> tuple[str, str]:
    """Writes both files for somebody who takes them to a safe place at once, so without waiting for the disk. Returns
    the sha256 of what each must hold. Raises OSError where the disk does not take them.
    """
    return (
        write_hashed(weights, checkpoint.weights, checkpoint.weights_metadata),
        write_hashed(state, checkpoint.state.tensors, state_metadata(checkpoint.state)),
    )


def write_hashed(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> str:
    digest = hashlib.sha256()
    with path.open("wb") as file:
        for piece in pieces_of(tensors, metadata):
            file.write(piece)
            digest.update(piece)
    return digest.hexdigest()


def save_atomically(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Writes to a temporary name, waits for the disk, then renames: `path` holds all of it or what it held before."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            write_tensors(file, tensors, metadata)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
