"""What the service costs a job of about a minute: metrics, events, checkpoints, leases and the API beside the training,
against `python -m worker train` with the same spec, data and threads, taken in turn.

Writes docs/benchmarks.json and docs/benchmarks.md. Usage: python -m benchmarks.overhead [--rounds 2] [--epochs 12]
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.contest import CORES, ROOT, busy_seconds, say, surroundings
from benchmarks.report import record
from benchmarks.training import prepare
from client import Client
from local.background import Background
from local.folder import DataFolder
from local.service import Service

CLOCKS = ("train/seconds", "validation/seconds")
STEPS_PER_EPOCH = 90
"""Of 11,520 of 12,800 pictures; the others are held back."""


@dataclass(frozen=True)
class Measured:
    """One run, without its first epoch."""

    steps_per_second: float
    cpu_seconds: float
    """Of the whole machine, for each second of training."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=12)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="trainwright-overhead-") as name:
        folder = Path(name)
        prepare(folder, "fashion", None)
        spec = spec_of(options.epochs)
        bare, served = taken_in_turn(folder, spec, options.rounds)
    rows = [summary("the engine alone", bare), summary("through the service", served)]
    share = 1.0 - rows[1]["rate"] / rows[0]["rate"]
    say(f"the service costs {share:.1%}")
    record(
        "overhead/minute",
        {
            "title": "What the service costs a job",
            "kind": "overhead",
            "command": " ".join(["python -m benchmarks.overhead", *sys.argv[1:]]),
            "rounds": options.rounds,
            "epochs": options.epochs,
            "rows": rows,
            "share": share,
            **surroundings(),
        },
    )


def spec_of(epochs: int) -> dict[str, Any]:
    """W1 with an evaluation and a checkpoint after each epoch."""
    spec: dict[str, Any] = json.loads((ROOT / "benchmarks/workloads/fashion.json").read_bytes())
    spec["dataset"]["validation"] = {"fraction": 0.1}
    spec["training"]["epochs"] = epochs
    spec["checkpoints"] = {}
    return spec


def taken_in_turn(folder: Path, spec: dict[str, Any], rounds: int) -> tuple[list[Measured], list[Measured]]:
    """A B A B …: the service is down while the engine runs alone."""
    bare, served = [], []
    for number in range(rounds):
        bare.append(alone(folder, spec))
        say(f"round {number + 1}  the engine alone: {bare[-1].steps_per_second:.2f} steps/s")
        served.append(through_the_service(folder, spec))
        say(f"round {number + 1}  through the service: {served[-1].steps_per_second:.2f} steps/s")
    return bare, served


def alone(folder: Path, spec: dict[str, Any]) -> Measured:
    job, out = folder / "job.json", folder / "out"
    job.write_text(json.dumps(spec))
    order = [str(job), "--data", str(folder / "packed"), "--out", str(out), "--threads", str(CORES)]
    busy = busy_seconds()
    subprocess.run([sys.executable, "-m", "worker", "train", *order], cwd=ROOT, check=True, stderr=subprocess.DEVNULL)
    busy = busy_seconds() - busy
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    epochs = [line for line in lines if line["type"] == "epoch"]
    clocks = {name: [epoch[field] for epoch in epochs] for name, field in FIELDS.items()}
    return measured(clocks, busy)


FIELDS = dict(zip(CLOCKS, ("seconds", "evaluation_seconds"), strict=True))
"""What the engine's own log calls them."""


def through_the_service(folder: Path, spec: dict[str, Any]) -> Measured:
    with tempfile.TemporaryDirectory(dir=folder) as home:
        service = Service(DataFolder(Path(home)), port=None, say=lambda _: None, worker_slots=1, trainer_threads=CORES)
        with Background(service) as background, Client(background.running.url, background.running.api_key) as client:
            dataset = client.datasets.wait(client.datasets.upload(folder / "upload.npz"), 120)
            asked = {**spec, "dataset": {**spec["dataset"], "id": dataset.id}}
            busy = busy_seconds()
            job = client.jobs.wait(client.jobs.create(asked))
            busy = busy_seconds() - busy
            curves = client.jobs.metrics(job, interval="epoch").columns
            return measured({name: [each for each in curves[name] if each is not None] for name in CLOCKS}, busy)


def measured(clocks: Mapping[str, Sequence[float]], busy: float) -> Measured:
    """Training, evaluation and whatever stands between two epochs; the first epoch warms up."""
    seconds = sum(sum(clock[1:]) for clock in clocks.values())
    epochs = len(clocks[CLOCKS[0]])
    return Measured((epochs - 1) * STEPS_PER_EPOCH / seconds, busy / (seconds * epochs / (epochs - 1)))


def summary(name: str, runs: Sequence[Measured]) -> dict[str, Any]:
    rates = [run.steps_per_second for run in runs]
    return {
        "name": name,
        "rate": statistics.median(rates),
        "lowest": min(rates),
        "highest": max(rates),
        "cores": statistics.median(run.cpu_seconds for run in runs),
    }


if __name__ == "__main__":
    main()
