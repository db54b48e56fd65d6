"""What a step's time goes into: ours beside the best loop by hand, on one core, by PyTorch's profiler.

Writes docs/benchmarks.json and docs/benchmarks.md. Usage: python -m benchmarks.profiles [--rounds 3]
"""

import argparse
import statistics
import sys
import tempfile
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

from benchmarks import images, training
from benchmarks.contest import Contestant, Measurement, race, say, surroundings
from benchmarks.report import record

WORKLOADS = {
    "W1": ("fashion", "float32"),
    "W1, bfloat16": ("fashion", "bfloat16"),
    "W2": ("cifar", "float32"),
    "W2, bfloat16": ("cifar", "bfloat16"),
    "W3": ("vectors", "float32"),
    "W4, 64 px": ("jpeg64", "float32"),
    "W4, 224 px": ("jpeg224", "float32"),
}
STEPS = 20
"""To warm up, in which memory grows to what a step needs, and as many to measure."""

KINDS = {
    "convolutions": ("convolution",),
    "sums over lists of places": ("embedding_bag", "sort", "nonzero", "repeat_interleave", "bincount", "cumsum"),
    "dense layers": ("addmm", "aten::mm"),
    "batch norm": ("batch_norm",),
    "pooling, activations, dropout": ("relu", "threshold", "clamp_min", "pool", "random_", "aten::mean", "aten::lt"),
    "making the batch": ("grid_sampler", "upsample", "index_select", "flip", "addcmul", "aten::mul", "aten::sub_"),
    "clipping, optimizer": ("linalg_vector_norm", "Optimizer", "_fused_sgd", "_foreach", "aten::sign"),
    "all other operations": ("",),
}
"""Of an operation's name the first of these words that is in it tells what it is for."""
REST = "Python between them"
LEAST = 0.05
"""Milliseconds that are worth a row."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    rows: list[list[str]] = []
    for name, (workload, precision) in WORKLOADS.items():
        with tempfile.TemporaryDirectory() as folder:
            prepare(workload, Path(folder))
            order = [workload, folder, f"--warm-up={STEPS}", f"--steps={STEPS}", "--threads=1", "--profiled"]
            found: dict[str, list[dict[str, float]]] = {"engine": [], "best": []}
            for _ in range(options.rounds):
                for module, measured in found.items():
                    one = Contestant(module, module, precision=precision, is_tuned=True)
                    measured.append(by_kind(race(one, order)))
        ours, best = (middle(found[module]) for module in ("engine", "best"))
        say(f"{name}: {sum(ours.values()):.1f} ms, the best loop {sum(best.values()):.1f} ms")
        rows += table_of(name, ours, best)
    record(
        "profiles",
        {
            "kind": "table",
            "title": "Where a step's time goes",
            "command": " ".join(["python -m benchmarks.profiles", *sys.argv[1:]]),
            "about": f"Milliseconds of a step on one core with one replica, medians of means over {STEPS} steps; and "
            "their share, which tells more where the same convolutions are faster one time than another. What is named "
            "is from PyTorch's profiler, which makes each of a few hundred operations some microseconds longer.",
            "columns": ["workload", "what for", "ours", "best loop by hand"],
            "rows": rows,
            "rounds": options.rounds,
            **surroundings(),
        },
    )


def prepare(workload: str, folder: Path) -> None:
    if workload in training.TITLES:
        training.prepare(folder, workload, None)
        return
    images.prepare(folder, images.SIDES[workload], images.COUNTS[workload] // 4)


def by_kind(measured: Measurement) -> dict[str, float]:
    """Milliseconds of a step."""
    step = 1000.0 / STEPS
    times: dict[str, float] = defaultdict(float)
    for name, seconds in measured.operations.items():
        times[kind_of(name)] += seconds * step
    times[REST] = measured.seconds * step - sum(times.values())
    return times


def kind_of(operation: str) -> str:
    return next(kind for kind, words in KINDS.items() if any(word in operation for word in words))


def middle(rounds: list[dict[str, float]]) -> dict[str, float]:
    return {kind: statistics.median(one.get(kind, 0.0) for one in rounds) for kind in (*KINDS, REST)}


def table_of(name: str, ours: Mapping[str, float], best: Mapping[str, float]) -> list[list[str]]:
    rows = [[name, kind, part(ours, kind), part(best, kind)] for kind in ours if max(ours[kind], best[kind]) > LEAST]
    return [*rows, [name, "**all**", f"**{sum(ours.values()):.1f}**", f"**{sum(best.values()):.1f}**"]]


def part(times: Mapping[str, float], kind: str) -> str:
    return f"{times[kind]:.1f}, {times[kind] / sum(times.values()):.1%}"


if __name__ == "__main__":
    main()
