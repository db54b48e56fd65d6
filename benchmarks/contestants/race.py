"""What every contestant does: read its orders, train, and wait for its turn when it is warm and after each one."""

import argparse
import json
import os
import sys
import time
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

LABELS = 10
"""Classes of the image workloads; `vectors` has one logit."""


@dataclass
class Race:
    """Counts steps; says `warm` when the warm-up is over and `turn` after each turn."""

    workload: str
    data: Path
    warm_up: int
    steps: int
    """Of a turn."""
    threads: int
    precision: str
    replicas: int = 1
    decoded: bool = False
    """Pictures are taken from `inputs`; only for a contestant that can read the files as well."""
    profiled: bool = False
    """What PyTorch's operations take is told at the end; all that is measured takes longer by it."""
    libraries: tuple[str, ...] = ()
    profiler: Any = None
    done: int = 0
    begun: float = field(default=0.0)

    @property
    def batch_size(self) -> int:
        return {"vectors": 512, "jpeg224": 64}.get(self.workload, 128)

    @property
    def is_image(self) -> bool:
        return self.workload != "vectors"

    @property
    def is_jpeg(self) -> bool:
        """Pictures of W4: cropped and mirrored; nothing penalized, clipped or scheduled."""
        return self.workload.startswith("jpeg")

    @property
    def clips(self) -> bool:
        return self.is_image and not self.is_jpeg

    def inputs(self) -> NDArray[np.uint8]:
        """(examples, height, width, channels) or (examples, features)."""
        return np.load(self.data / "inputs.npy")  # type: ignore[no-any-return]

    def targets(self) -> NDArray[np.int64]:
        return np.load(self.data / "targets.npy")  # type: ignore[no-any-return]

    def files(self) -> tuple[list[Path], list[int]]:
        """`images/<class>/<name>.jpg` and the places of their classes."""
        paths = sorted((self.data / "images").glob("*/*.jpg"))
        classes = sorted({path.parent.name for path in paths})
        return paths, [classes.index(path.parent.name) for path in paths]

    def step_done(self) -> None:
        """Waits behind the warm-up and each turn until it is told to go on; ends the process where nobody will."""
        self.done += 1
        turns, rest = divmod(self.done - self.warm_up, self.steps)
        if turns < 0 or rest:
            return
        seconds = time.perf_counter() - self.begun
        tell(
            {
                "event": "turn" if turns else "warm",
                "seconds": seconds,
                "examples": self.steps * self.batch_size,
                "versions": {name: version(name) for name in self.libraries},
                "operations": self.operations() if self.profiler else {},
            }
        )
        if not sys.stdin.readline():
            os._exit(0)
        if self.profiled:
            from torch.profiler import ProfilerActivity, profile

            self.profiler = profile(activities=[ProfilerActivity.CPU])
            self.profiler.start()
        self.begun = time.perf_counter()

    def operations(self) -> dict[str, float]:
        """Seconds that each took by itself, of those in this thread."""
        self.profiler.stop()
        return {one.key: one.self_cpu_time_total / 1e6 for one in self.profiler.key_averages()}


def tell(message: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def enter(*libraries: str) -> Race:
    """The race that this process was started for."""
    parser = argparse.ArgumentParser()
    parser.add_argument("workload")
    parser.add_argument("data", type=Path)
    parser.add_argument("--warm-up", type=int, required=True)
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--replicas", type=int, default=1)
    parser.add_argument("--decoded", action="store_true")
    parser.add_argument("--profiled", action="store_true")
    return Race(**vars(parser.parse_args()), libraries=libraries)
