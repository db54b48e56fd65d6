"""Environment that a trainer process must be started with."""

import os

KEEP_FREED_BYTES = 4 * 1024**3
SPINS = 30_000
"""So often a thread without work looks for some before it sleeps: for about a millisecond, longer than Python takes
between two operations."""
LARGE_PAGES = "glibc.malloc.hugetlb"


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
        "GLIBC_TUNABLES": with_large_pages(os.environ.get("GLIBC_TUNABLES", "")),
        "OMP_NUM_THREADS": str(threads),
        "GOMP_SPINCOUNT": str(SPINS),
        "MKL_NUM_THREADS": str(threads),
        "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
        "TORCHINDUCTOR_COMPILE_THREADS": "1",
        "TORCHINDUCTOR_DETERMINISTIC": "1",
    }


def with_large_pages(tunables: str) -> str:
    """Of glibc, those that somebody has set, who may have set this one too."""
    return tunables if LARGE_PAGES in tunables else ":".join(filter(None, [tunables, f"{LARGE_PAGES}=1"]))
