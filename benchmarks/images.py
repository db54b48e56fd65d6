"""W4: training on a folder of JPEGs, decoded once into a packed array that is mapped into memory, against decoding them
every epoch, as others do. What decoding once costs is told beside it.

Writes docs/benchmarks.json and docs/benchmarks.md. Usage: python -m benchmarks.images [jpeg64] [jpeg224] [--rounds 8]
"""

import argparse
import statistics
import sys
import tempfile
import time
import zipfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks import peers
from benchmarks.contest import CORES, TUNED, Contestant, contest, say, tuned
from benchmarks.report import record
from worker.ingest import ingest

OURS = "this engine"
SIDES = {"jpeg64": 64, "jpeg224": 224}
COUNTS = {"jpeg64": 12_800, "jpeg224": 3_200}
STEPS = {"jpeg64": (20, 30), "jpeg224": (10, 15)}
"""To warm up, and of a turn."""
OCTAVES = (2, 4, 8, 16, 32, 64, 128)
CLASSES = 10
QUALITY = 90


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("workloads", nargs="*", choices=[*SIDES, []], metavar="WORKLOAD", help=", ".join(SIDES))
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--steps", type=int, help="of a turn, instead of as many as usual")
    options = parser.parse_args()
    missing = peers.install()
    for workload in options.workloads or list(SIDES):
        with tempfile.TemporaryDirectory() as name:
            result = measure(workload, Path(name), options.rounds, options.steps)
        result["left_out"] |= dict.fromkeys(missing, "cannot be installed here")
        record(f"images/{workload}", result)


def measure(workload: str, folder: Path, rounds: int, asked: int | None) -> dict[str, Any]:
    side, count = SIDES[workload], COUNTS[workload]
    warm_up, usual = STEPS[workload]
    say(f"{workload}: {count} pictures of {side} x {side} pixels")
    size, seconds = prepare(folder, side, count)
    say(f"{size / 1024:.1f} KiB each; packed in {seconds:.1f} s, {count / seconds:,.0f}/s")
    steps = asked or usual
    order = [workload, str(folder), f"--warm-up={warm_up}", f"--steps={steps}", f"--threads={CORES}"]
    return contest(contestants(), order, rounds) | {
        "title": f"W4: a folder of JPEGs of {side} × {side} pixels",
        "unit": "images",
        "command": " ".join(["python -m benchmarks.images", *sys.argv[1:]]),
        "about": f"Turns of {steps} steps, after {warm_up} of warm-up, on {count:,} pictures of {size / 1024:.0f} KiB: "
        "random resized crops and mirroring, three convolutions of 16, 32 and 64 filters (the first with kernel "
        f"{'7 and stride 8' if side > 100 else '5 and stride 4'}, the others 3 and 2), the mean over the places, one "
        f"dense layer. Decoding and packing them for ours took {seconds:.1f} s once ({count / seconds:,.0f} images/s "
        f"on one core, hashed and synced to the disk), which no rate below counts. {TUNED}",
        "ingest_images_per_second": count / seconds,
    }


def contestants() -> list[Contestant]:
    python, replicas, low = str(peers.PYTHON), (f"--replicas={CORES}",), "bfloat16"
    ours = partial(Contestant, module="engine", is_tuned=True)
    best = partial(Contestant, module="best", is_tuned=True)
    loops = [
        Contestant("kornia batches, decoded once", "kornia_batches", python),
        Contestant("plain loop, decoding in 2 workers", "plain"),
        Contestant("Lightning, decoding in 2 workers", "lightning_trainer", python),
        Contestant("accelerate, decoding in 2 workers", "accelerate_loop", python),
        Contestant("timm's style, decoding in 2 workers", "timm_style"),
    ]
    return [
        ours(OURS),
        ours(f"{OURS}, {CORES} replicas", arguments=replicas),
        ours(f"{OURS}, bfloat16", precision=low),
        best("best loop by hand, decoded once"),
        best(f"best loop by hand, decoded once, {CORES} replicas", arguments=replicas),
        best("best loop by hand, decoded once, bfloat16", precision=low),
        *loops,
        *tuned(loops),
        *(
            peers.keras(backend, precision, decoded=decoded)
            for backend in ("tensorflow", "jax")
            for decoded in (True, False)
            for precision in ("float32", "bfloat16")
        ),
        *tuned([Contestant("the network alone, on one batch", "network_alone")]),
    ]


def prepare(folder: Path, side: int, count: int) -> tuple[float, float]:
    """`images`, `inputs.npy` and `targets.npy` for the others, `packed` for us; gives the mean size of a file in bytes,
    and how many seconds packing took.
    """
    size = write_folder(folder / "images", side, count)
    decode(folder)
    return size, ingested(folder)


def write_folder(folder: Path, side: int, count: int) -> float:
    """`folder/<class>/<name>.jpg`; gives their mean size in bytes."""
    chance = np.random.default_rng(0)
    sizes = []
    for number in range(count):
        path = folder / f"class-{number % CLASSES}" / f"{number:05d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        picture(chance, side).save(path, quality=QUALITY)
        sizes.append(path.stat().st_size)
    return statistics.mean(sizes)


def decode(folder: Path) -> None:
    """`inputs.npy` and `targets.npy` for the loop that keeps the pictures in memory."""
    paths = sorted((folder / "images").glob("*/*.jpg"))
    np.save(folder / "inputs.npy", np.stack([np.asarray(Image.open(path)) for path in paths]))
    np.save(folder / "targets.npy", np.array([int(path.parent.name.removeprefix("class-")) for path in paths]))


def picture(chance: np.random.Generator, side: int) -> Image.Image:
    """Colour noise whose octaves have equal strength, as those of photographs do."""
    total = np.full((side, side, 3), 128.0, np.float32)
    for cells in OCTAVES:
        if cells <= side:
            coarse = Image.fromarray(chance.integers(0, 256, (cells, cells, 3), dtype=np.uint8))
            total += (np.asarray(coarse.resize((side, side), Image.Resampling.BICUBIC), np.float32) - 128.0) / 4
    return Image.fromarray(total.clip(0, 255).astype(np.uint8))


def ingested(folder: Path) -> float:
    """Packs the folder as it would be uploaded, a zip, and says how many seconds that took."""
    upload = folder / "upload.zip"
    with zipfile.ZipFile(upload, "w") as archive:
        for path in sorted((folder / "images").rglob("*.jpg")):
            archive.write(path, path.relative_to(folder / "images"))
    begun = time.perf_counter()
    ingest(upload, folder / "packed", filename=upload.name)
    return time.perf_counter() - begun


if __name__ == "__main__":
    main()
