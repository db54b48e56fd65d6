"""How a trainer's memory is managed: the environment that its process must be started with, and what depends on its
job."""

import ctypes
from contextlib import suppress

from models.spec import JobSpec
from models.spec.estimate import estimate
from models.spec.manifest import Manifest

KEEP_FREED_BYTES = 4 * 1024**3
SPINS = 30_000
"""So often a thread without work looks for some before it sleeps: for about a millisecond, longer than Python takes
between two operations."""
ARENA_BYTES = 64 * 1024**2
"""The largest block in the arenas that glibc gives all threads but a process's first."""
ARENA_MAX = -8
"""mallopt(3), malloc.h."""


def trainer_environment(threads: int = 1) -> dict[str, str]:
    """Variables to set before a trainer's Python starts; glibc, OpenMP, cuBLAS and PyTorch's compiler read
    them only then.

    glibc hands large freed blocks back to the kernel, so that every training step pays for mapping and zeroing its
    activations anew; with high thresholds they stay with the process. It asks Linux for pages of 2 MB, of which a
    processor finds more in its tables than of those of 4 KB; where there are none, nothing changes. OpenMP's
    threads look for work for milliseconds before they sleep, and where others want the cores, they keep those off
    that all wait for. cuBLAS leaves the same bits each time only where its workspaces have a fixed size. Networks
    are compiled by the trainer itself, not by a pool of workers that could outlive it, and to kernels that are
    chosen by rules, not by a race: the winner might be another one the next time.
    """
    return {
        "MALLOC_MMAP_THRESHOLD_": str(KEEP_FREED_BYTES),
        "MALLOC_TRIM_THRESHOLD_": str(KEEP_FREED_BYTES),
        "MALLOC_TOP_PAD_": str(64 * 1024**2),
        "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
        "OMP_NUM_THREADS": str(threads),
        "GOMP_SPINCOUNT": str(SPINS),
        "MKL_NUM_THREADS": str(threads),
        "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
        "TORCHINDUCTOR_COMPILE_THREADS": "1",
        "TORCHINDUCTOR_DETERMINISTIC": "1",
    }


def make_room(spec: JobSpec, manifest: Manifest) -> None:
    """Before a process has a second thread: have all share its heap, if what replicas make of their parts of a batch is
    too large for arenas. What does not fit into one is mapped and zeroed each time anew; small blocks are had quicker
    from arenas, for there threads do not wait for each other.
    """
    replicas = spec.training.replicas
    if replicas > 1 and estimate(spec, manifest).activation_bytes > replicas * ARENA_BYTES:
        with suppress(AttributeError):  # other libraries than glibc have none
            ctypes.CDLL(None).mallopt(ARENA_MAX, 1)
