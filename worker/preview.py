"""One preview, in a process of its own: forked warm as trainers are, on the CPU, polite, and bounded in time and
memory. It answers once, through the pipe, and ends."""

import json
import os
import resource
import sys
import traceback
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter

from models.spec import parse_spec
from models.spec.job import JobSpec
from models.spec.manifest import Manifest
from worker.order import PreviewOrder
from worker.trainer import begin_a_life_of_its_own
from worker.training import load_dataset, read_weights
from worker.training.previews import preview_augmentation, preview_initialization, preview_schedule
from worker.training.warm_start import scaled_as_before

NICENESS = 10
"""Training goes first."""
MEMORY = 2 * 1024**3
"""Bytes beyond what the data take."""
MANIFEST: TypeAdapter[Manifest] = TypeAdapter(Manifest)


def main(pipe: Connection, order: PreviewOrder) -> None:
    """Says `result`, or the `reason` why there is none."""
    begin_a_life_of_its_own()
    os.nice(NICENESS)
    resource.setrlimit(resource.RLIMIT_CPU, (order.seconds * order.threads + 1, order.seconds * order.threads + 1))
    torch.set_num_threads(order.threads)
    try:
        said: dict[str, Any] = {"result": shown(order)}
    except Exception as error:  # noqa: BLE001  whatever it is, it is told to whoever asked
        said = {"reason": reason_of(error), "trace": "".join(traceback.format_exception(error))}
    pipe.send_bytes(json.dumps(said).encode())
    pipe.close()


def shown(order: PreviewOrder) -> dict[str, Any]:
    spec = parse_spec(order.spec)
    if order.kind == "schedule":
        return preview_schedule(spec, MANIFEST.validate_python(order.manifest))
    return of_data(order, spec)


def of_data(order: PreviewOrder, spec: JobSpec) -> dict[str, Any]:
    assert order.packed is not None
    start = None if order.start_weights is None else read_weights(Path(order.start_weights))
    packed = Path(order.packed)
    data = scaled_as_before(load_dataset(packed, spec, packed), spec, start, None)
    limit_memory(MEMORY)
    if order.kind == "initialization":
        return preview_initialization(spec, data, start)
    told, picture = preview_augmentation(spec, data)
    if picture is not None:
        Path(order.picture).write_bytes(picture)
    return told


def limit_memory(more: int) -> None:
    """Allow so many bytes beyond what there are; where a process cannot know that, nothing."""
    if sys.platform == "linux":
        has = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmData:"))
        limit = int(has.split()[1]) * 1024 + more
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


def reason_of(error: Exception) -> str:
    if isinstance(error, MemoryError) or "can't allocate memory" in str(error):
        return f"it needs more than the {MEMORY // 1024**3} GiB of memory that a preview has: try a smaller batch_size"
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:300]}"
