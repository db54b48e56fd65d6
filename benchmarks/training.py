"""Training throughput of the engine, through its spec, against loops written by hand and other libraries.

By default the first workload against a plain loop, the best loop and Lightning, in less than five minutes; writes
docs/benchmarks.json and docs/benchmarks.md.

Usage: python -m benchmarks.training [fashion] [cifar] [vectors] [--all] [--rounds 12] [--fashion-mnist FILE.npz]
  [--machine NAME]
"""

import argparse
import sys
import tempfile
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks import peers
from benchmarks.contest import CORES, TUNED, Contestant, contest, say, tuned
from benchmarks.report import record
from worker.ingest import ingest

OURS = "this engine"
TITLES = {
    "fashion": "W1: a small convolutional network, 28 × 28 pixels, augmented",
    "cifar": "W2: a residual network of 0.6 million parameters, 32 × 32 pixels, augmented",
    "vectors": "W3: multi-hot vectors of 10,000, 16 – 16 – 1",
}
STEPS = {"fashion": (20, 10), "cifar": (4, 2), "vectors": (50, 50)}
"""To warm up, and of a turn."""
SHAPES = {"fashion": (12_800, 28, 28, 1), "cifar": (6_400, 32, 32, 3), "vectors": (25_600, 10_000)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("workloads", nargs="*", choices=[*TITLES, []], metavar="WORKLOAD", help=", ".join(TITLES))
    parser.add_argument("--all", action="store_true", help="every contestant, and bfloat16")
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--steps", type=int, help="of a turn, instead of as many as usual")
    parser.add_argument("--minutes", type=float, default=4.5, help="for each workload, at most, installing apart")
    parser.add_argument(
        "--fashion-mnist", type=Path, help="the real data for `fashion`; else as many numbers of chance"
    )
    parser.add_argument("--machine", help="its name: what is found is kept beside that of other machines")
    options = parser.parse_args()
    where = f", {options.machine}" if options.machine else ""
    missing = peers.install()
    for workload in options.workloads or ["fashion"]:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            real = options.fashion_mnist if workload == "fashion" else None
            prepare(folder, workload, real)
            warm_up, usual = STEPS[workload]
            steps = options.steps or usual
            numbers = [f"--warm-up={warm_up}", f"--steps={steps}", f"--threads={CORES}"]
            say(TITLES[workload])
            order = [workload, str(folder), *numbers]
            result = contest(contestants(workload, options.all), order, options.rounds, 60 * options.minutes)
        result["left_out"] |= dict.fromkeys(missing, "cannot be installed here")
        result |= {
            "title": TITLES[workload] + where,
            "unit": "rows" if workload == "vectors" else "images",
            "command": " ".join(["python -m benchmarks.training", *map(without_folder, sys.argv[1:])]),
            "about": f"Turns of {steps} steps, after {warm_up} of warm-up; "
            + ("Fashion-MNIST." if real else "data of chance in the real one's shape.")
            + (" Our spec says `replicas: 2`." if workload != "vectors" else "")
            + f" {TUNED}",
        }
        record(f"training/{workload}{where}", result)


def without_folder(word: str) -> str:
    """Where somebody's files lie is nobody else's business."""
    return Path(word).name


def contestants(workload: str, everybody: bool) -> list[Contestant]:
    python = str(peers.PYTHON)
    is_image = workload != "vectors"
    two, low = ("--replicas=2",) if is_image else (), "bfloat16"
    ours = partial(Contestant, module="engine", is_tuned=True)
    best = partial(Contestant, module="best", is_tuned=True)
    chosen = [
        ours(OURS, arguments=two),
        best("best loop by hand"),
        *([best("best loop by hand, two replicas", arguments=two)] if is_image else []),
    ]
    loops = [Contestant("plain loop", "plain"), Contestant("Lightning", "lightning_trainer", python)]
    if not everybody:
        return chosen + loops
    loops += [Contestant("accelerate", "accelerate_loop", python), Contestant("timm's style", "timm_style")]
    loops += [Contestant("kornia batches", "kornia_batches", python)] if is_image else []
    chosen += [*loops, *tuned(loops), peers.keras("tensorflow"), peers.keras("jax")]
    if is_image:
        chosen += [
            ours(f"{OURS}, one replica"),
            ours(f"{OURS}, bfloat16", arguments=two, precision=low),
            best("best loop by hand, bfloat16", precision=low),
            best("best loop by hand, two replicas, bfloat16", arguments=two, precision=low),
            peers.keras("tensorflow", "bfloat16"),
            peers.keras("jax", "bfloat16"),
        ]
    return chosen


def prepare(folder: Path, workload: str, real: Path | None) -> None:
    """`inputs.npy` and `targets.npy` for the others, `packed` for us."""
    inputs, targets = examples(workload) if real is None else read(real)
    np.save(folder / "inputs.npy", inputs)
    np.save(folder / "targets.npy", targets)
    np.savez(folder / "upload.npz", x_train=inputs, y_train=targets)
    ingest(folder / "upload.npz", folder / "packed", filename="upload.npz")


def examples(workload: str) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Blurred noise with a bright patch where the class says; or rows with about 150 words each, rare ones rarely."""
    chance = np.random.default_rng(0)
    shape = SHAPES[workload]
    if workload == "vectors":
        return multi_hot(chance, *shape)
    targets = chance.integers(0, 10, shape[0])
    inputs = chance.integers(0, 128, shape, dtype=np.uint8)
    for image, label in zip(inputs, targets, strict=True):
        image[2 * label : 2 * label + 6, 4:20] += 100
    return inputs, targets


def multi_hot(chance: np.random.Generator, count: int, words: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    often = 1.0 / (np.arange(words) + 10.0)
    drawn = chance.choice(words, (count, 200), p=often / often.sum())
    inputs = np.zeros((count, words), np.uint8)
    inputs[np.arange(count)[:, None], drawn] = 1
    return inputs, (inputs @ chance.standard_normal(words) > 0).astype(np.int64)


def read(file: Path) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    with np.load(file) as arrays:
        return arrays["train_images"][..., None], arrays["train_labels"].astype(np.int64)


if __name__ == "__main__":
    main()
