"""Where the threads of a trainer get their memory from."""

import ctypes
from contextlib import suppress
from math import prod

from models.spec import JobSpec
from models.spec.estimate import FLOAT32
from models.spec.layers import plan_of
from models.spec.manifest import Manifest
from models.spec.task import task_of

ARENA_BYTES = 64 * 1024**2
"""No larger block fits into the arenas that glibc gives all threads but a process's first."""
ARENA_MAX = -8
"""mallopt(3), malloc.h."""


def choose_arenas(spec: JobSpec, manifest: Manifest) -> None:
    """Has the threads that replicas will have share the process's heap, if a layer makes too large a block of a part of
    a batch for arenas: such a block is mapped and zeroed each time anew. Smaller ones are had quicker from arenas, for
    there threads do not wait for each other. To be called before the process has a second thread, with a spec that has
    been checked.
    """
    if spec.training.replicas > 1 and largest_block(spec, manifest) > ARENA_BYTES:
        with suppress(AttributeError):  # other libraries than glibc have none
            ctypes.CDLL(None).mallopt(ARENA_MAX, 1)


def largest_block(spec: JobSpec, manifest: Manifest) -> int:
    """Bytes of the largest that a replica's network gets or makes of its part of a batch, in 32 bits."""
    task = task_of(spec, manifest)
    shapes = [task.input_shape, *(layer.output for layer in plan_of(spec.network, task))]
    part = -(-spec.training.batch_size // spec.training.replicas)
    return FLOAT32 * part * max(map(prod, shapes))
