"""What the service costs a job: metrics, events, checkpoints, leases and the API beside the training,
against the engine alone with the same spec, data and threads, whose events nobody keeps, taken in turn.

Writes docs/benchmarks.json and docs/benchmarks.md. Usage: python -m benchmarks.overhead [--rounds 7] [--epochs 5]
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
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
from worker.allocator import trainer_environment

CLOCKS = ("train/seconds", "validation/seconds")
STEPS_PER_EPOCH = 90
"""Of 11,520 of 12,800 pictures; the others are held back."""


@dataclass(frozen=True)
class Measured:
    """One run, without its first epoch."""

    steps_per_second: float
    cores: float
    """That the whole machine kept busy, all epochs counted."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--engine", type=Path, metavar="FOLDER", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.engine:
        sys.stdout.write(json.dumps(engine(options.engine)))
        return
    with tempfile.TemporaryDirectory(prefix="trainwright-overhead-") as name:
        folder = Path(name)
        prepare(folder, "fashion", None)
        spec = spec_of(options.epochs)
        bare, served = taken_in_turn(folder, spec, options.rounds)
    rows = [summary("the engine alone", bare), summary("through the service", served)]
    costs = [1.0 - one.steps_per_second / other.steps_per_second for one, other in zip(served, bare, strict=True)]
    say(f"the service costs {statistics.median(costs):.1%} of the steps")
    record(
        "overhead/minute",
        {
            "title": "What the service costs a job",
            "kind": "overhead",
            "command": " ".join(["python -m benchmarks.overhead", *sys.argv[1:]]),
            "rounds": options.rounds,
            "epochs": options.epochs,
            "rows": rows,
            "costs": costs,
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
    (folder / "job.json").write_text(json.dumps(spec))
    command = [sys.executable, "-m", "benchmarks.overhead", "--engine", str(folder)]
    environment = {**os.environ, **trainer_environment(CORES)}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    answer = json.loads(done.stdout)
    return measured(answer["clocks"], answer["cores"])


def engine(folder: Path) -> dict[str, Any]:
    """Trains `job.json` on `packed`, in this process."""
    import torch  # here: who measures does without

    from models.spec import parse_spec
    from worker.alone import resolved
    from worker.training import EpochDone, load_dataset, train

    torch.set_num_threads(CORES)
    spec = resolved(parse_spec(json.loads((folder / "job.json").read_bytes())), folder / "packed", None)
    data = load_dataset(folder / "packed", spec, folder / "cache")
    begun, busy = time.perf_counter(), busy_seconds()
    epochs = [event for event in train(spec, data) if isinstance(event, EpochDone)]
    cores = (busy_seconds() - busy) / (time.perf_counter() - begun)
    taken = ([one.seconds for one in epochs], [one.evaluation_seconds for one in epochs])
    return {"clocks": dict(zip(CLOCKS, taken, strict=True)), "cores": cores}


def through_the_service(folder: Path, spec: dict[str, Any]) -> Measured:
    with tempfile.TemporaryDirectory(dir=folder) as home:
        service = Service(DataFolder(Path(home)), port=None, say=lambda _: None, worker_slots=1, trainer_threads=CORES)
        with Background(service) as background, Client(background.running.url, background.running.api_key) as client:
            dataset = client.datasets.wait(client.datasets.upload(folder / "upload.npz"), 120)
            asked = {**spec, "dataset": {**spec["dataset"], "id": dataset.id}}
            begun, busy = time.perf_counter(), busy_seconds()
            job = client.jobs.wait(client.jobs.create(asked))
            cores = (busy_seconds() - busy) / (time.perf_counter() - begun)
            curves = client.jobs.metrics(job, interval="epoch").columns
            return measured({name: [each for each in curves[name] if each is not None] for name in CLOCKS}, cores)


def measured(clocks: Mapping[str, Sequence[float]], cores: float) -> Measured:
    """Training, evaluation and whatever stands between two epochs; the first epoch warms up."""
    seconds = sum(sum(clock[1:]) for clock in clocks.values())
    return Measured((len(clocks[CLOCKS[0]]) - 1) * STEPS_PER_EPOCH / seconds, cores)


def summary(name: str, runs: Sequence[Measured]) -> dict[str, Any]:
    rates = [run.steps_per_second for run in runs]
    return {
        "name": name,
        "rate": statistics.median(rates),
        "lowest": min(rates),
        "highest": max(rates),
        "cores": statistics.median(run.cores for run in runs),
    }


if __name__ == "__main__":
    main()
