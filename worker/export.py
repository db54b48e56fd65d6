"""A checkpoint in another form: `python -m worker.export WEIGHTS FORMAT DESTINATION`, a process of its own.

The network takes what is stored — pixels from 0 to 255, plain numbers, tokens — and normalizes it itself; it gives
logits or values. Before a file counts, what it computes is held against what we compute.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import TypeAdapter
from torch import Tensor, nn

from models.spec import parse_spec
from models.spec.task import Task
from worker.training import Weights, read_weights
from worker.training.data import Normalization
from worker.training.inputs import affine_of
from worker.training.network import build_network

FORMATS = ("onnx", "torch_export")
TOLERANCE = 1e-4
"""Of an output, relative to the largest one: two libraries add in another order."""
EXAMPLES = (2, 5)
"""Batches that the file is tried with; the first is what it is traced with."""


class NotExportable(ValueError):
    """The network has no such form, or not one that computes the same."""


class Exported(nn.Module):
    """The network with its normalization in front."""

    def __init__(self, network: nn.Module, normalization: Normalization, *, is_image: bool) -> None:
        super().__init__()
        self.network = network
        scale, offset = affine_of(normalization, is_image, "cpu")
        self.normalizes = scale is not None
        self.scale: Tensor
        self.offset: Tensor
        self.register_buffer("scale", torch.ones(()) if scale is None else scale)
        self.register_buffer("offset", offset)

    def forward(self, inputs: Tensor) -> Tensor:
        if self.normalizes:
            inputs = torch.addcmul(self.offset, inputs, self.scale)
        return self.network(inputs)  # type: ignore[no-any-return]


def network_of(weights: Weights) -> tuple[Exported, Task]:
    """The network that a checkpoint's own words describe, with its weights."""
    spec = parse_spec(json.loads(weights.metadata["spec"]))
    task = TypeAdapter(Task).validate_json(weights.metadata["task"])
    words = json.loads(weights.metadata["normalization"])
    normalization = Normalization(float(words["divisor"]), tuple(words["mean"]), tuple(words["std"]))
    network = build_network(spec, task)
    network.load_state_dict(weights.tensors)
    return Exported(network, normalization, is_image=len(task.input_shape) == 3).eval(), task


def examples_of(task: Task, count: int) -> Tensor:
    """Inputs of the right kind, (count, …)."""
    generator = torch.Generator().manual_seed(count)
    if task.vocabulary:
        return torch.randint(1, task.vocabulary, (count, *task.input_shape), generator=generator)
    return torch.rand(count, *task.input_shape, generator=generator) * (255 if len(task.input_shape) == 3 else 1)


def export(weights: Path, form: str, destination: Path) -> float:
    """Write the file; returns the largest difference that was seen, relative to the largest output.

    Raises:
        NotExportable: with the reason.
    """
    network, task = network_of(read_weights(weights))
    batches = [examples_of(task, count) for count in EXAMPLES]
    try:
        with torch.no_grad():
            program = torch.export.export(
                network, (batches[0],), dynamic_shapes={"inputs": {0: torch.export.Dim.DYNAMIC}}
            )
    except Exception as error:
        raise NotExportable(f"torch.export cannot trace this network: {_first_line(error)}") from error
    match form:
        case "onnx":
            _write_onnx(program, destination)
            found = [_run_onnx(destination, batch) for batch in batches]
        case "torch_export":
            torch.export.save(program, destination)
            found = [program.module()(batch).detach() for batch in batches]
        case _:
            raise NotExportable(f"there is no form called {form}")
    with torch.no_grad():
        apart = max(_distance(one, network(batch)) for one, batch in zip(found, batches, strict=True))
    if not apart <= TOLERANCE:
        raise NotExportable(f"its outputs would be {apart:.2g} away from ours, relative to the largest one")
    return apart


def _write_onnx(program: torch.export.ExportedProgram, destination: Path) -> None:
    try:
        exported = torch.onnx.export(program, input_names=["inputs"], output_names=["outputs"], verbose=False)
        assert exported is not None
        exported.save(destination, include_initializers=True, external_data=False)
    except ImportError as error:
        raise NotExportable(
            f"this worker cannot write ONNX: {error.name} is not installed; it is in the group `export`"
        ) from error
    except Exception as error:
        raise NotExportable(f"this network cannot be written as ONNX: {_first_line(error)}") from error


def _run_onnx(file: Path, batch: Tensor) -> Tensor:
    try:
        import onnxruntime
    except ImportError as error:
        raise NotExportable(
            "this worker cannot check ONNX: onnxruntime is not installed; it is in the group `export`"
        ) from error
    session: Any = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    outputs: np.ndarray[Any, np.dtype[np.float32]] = session.run(None, {"inputs": batch.numpy()})[0]
    return torch.from_numpy(outputs)


def _distance(found: Tensor, ours: Tensor) -> float:
    return float((found - ours).abs().max() / ours.abs().max().clamp(min=1e-6))


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]


def main(weights: str, form: str, destination: str) -> int:
    """Says on standard output, as JSON, how far the outputs are apart, or why there is no file."""
    try:
        said: dict[str, Any] = {"apart": export(Path(weights), form, Path(destination))}
    except NotExportable as error:
        said = {"reason": str(error)}
    sys.stdout.write(f"\n{json.dumps(said)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
