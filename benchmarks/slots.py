"""Two small jobs in two slots of one worker, each with its share of the cores, against the same two one after another
with all cores.

Writes docs/benchmarks.json and docs/benchmarks.md. Usage: python -m benchmarks.slots [--rounds 3] [--epochs 3]
"""

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.contest import CORES, say, surroundings
from benchmarks.overhead import spec_of
from benchmarks.report import record
from benchmarks.training import prepare
from client import Client
from local.background import Background
from local.folder import DataFolder
from local.service import Service

JOBS = 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="trainwright-slots-") as name:
        folder = Path(name)
        prepare(folder, "fashion", None)
        found: dict[int, list[float]] = {slots: [] for slots in (1, JOBS)}
        for number in range(options.rounds):
            for slots, seconds in found.items():
                seconds.append(run(folder, spec_of(options.epochs), slots))
                say(f"round {number + 1}  {slots} slots: {seconds[-1]:.1f} s")
    record(
        "slots/two-jobs",
        {
            "title": "Small jobs beside each other",
            "kind": "slots",
            "command": " ".join(["python -m benchmarks.slots", *sys.argv[1:]]),
            "rounds": options.rounds,
            "epochs": options.epochs,
            "rows": [
                {
                    "slots": slots,
                    "threads": max(1, CORES // slots),
                    "seconds": statistics.median(seconds),
                    "lowest": min(seconds),
                    "highest": max(seconds),
                }
                for slots, seconds in found.items()
            ],
            **surroundings(),
        },
    )


def run(folder: Path, spec: dict[str, Any], slots: int) -> float:
    """Seconds from the first POST until both have succeeded."""
    with tempfile.TemporaryDirectory(dir=folder) as home:
        service = Service(DataFolder(Path(home)), port=None, say=lambda _: None, worker_slots=slots, trainer_threads=0)
        with Background(service) as background, Client(background.running.url, background.running.api_key) as client:
            dataset = client.datasets.wait(client.datasets.upload(folder / "upload.npz"), 120)
            asked = {**spec, "dataset": {**spec["dataset"], "id": dataset.id}}
            begun = time.monotonic()
            jobs = [client.jobs.create({**asked, "seed": seed}) for seed in range(JOBS)]
            ended = [client.jobs.wait(job) for job in jobs]
            seconds = time.monotonic() - begun
    for job in ended:
        assert job.environment is not None
        assert job.environment["threads"] == max(1, CORES // slots), job.environment
    return seconds


if __name__ == "__main__":
    main()
