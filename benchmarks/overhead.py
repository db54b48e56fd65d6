"""What the service costs a job of a minute: metrics, events, checkpoints, leases and the API beside the training,
against the engine alone with the same spec, data and threads, whose events nobody keeps.

Measured is the whole job: from its claim by a warm worker that has the data to the event of its end, with the last
checkpoint in the store; of the engine alone, from reading the data to its last event. They take turns, A B B A …

Writes docs/benchmarks.json and docs/benchmarks.md. Usage: python -m benchmarks.overhead [--pairs 6] [--seconds 60]
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.contest import CORES, ROOT, say, surroundings
from benchmarks.figures import spread, watched
from benchmarks.installations import versions
from benchmarks.report import record
from benchmarks.training import prepare
from client import Client
from local.background import Background
from local.folder import DataFolder
from local.service import Service
from worker.allocator import trainer_environment

ALONE, SERVED = "the engine alone", "through the service"


@dataclass(frozen=True)
class Run:
    """A whole job."""

    seconds: float
    cpu_seconds: float
    """Of the engine's process; or of API, worker, trainer and broker."""
    other_load: float = 0.0
    """Cores that everybody else kept busy."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--pairs", type=int, default=6)
    parser.add_argument("--seconds", type=float, default=60.0, help="about so long is a job")
    parser.add_argument("--engine", type=Path, metavar="FOLDER", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.engine:
        sys.stdout.write(json.dumps(asdict(engine(options.engine))))
        return
    with tempfile.TemporaryDirectory(prefix="trainwright-overhead-") as name:
        folder = Path(name)
        prepare(folder, "fashion", None)
        with served(folder) as client:
            dataset = client.datasets.wait(client.datasets.upload(folder / "upload.npz"), 120)
        epochs = epochs_of(options.seconds, folder)
        runs = taken_in_turn(folder, dataset.id, spec_of(epochs), options.pairs)
        found = versions(f"sqlite:///{DataFolder(folder / 'service').database}")
    record("overhead/minute", result(runs, epochs, found))


def spec_of(epochs: int) -> dict[str, Any]:
    """W1 with an evaluation and a checkpoint after each epoch."""
    spec: dict[str, Any] = json.loads((ROOT / "benchmarks/workloads/fashion.json").read_bytes())
    spec["dataset"]["validation"] = {"fraction": 0.1}
    spec["training"]["epochs"] = epochs
    spec["checkpoints"] = {}
    return spec


def epochs_of(seconds: float, folder: Path) -> int:
    """How many take the engine about so long, on this machine."""
    tried = 2
    return max(1, round(tried * seconds / alone(folder, spec_of(tried)).seconds))


def taken_in_turn(folder: Path, dataset: str, spec: dict[str, Any], pairs: int) -> dict[str, list[Run]]:
    """A B B A …: the service is down while the engine runs alone."""
    runs: dict[str, list[Run]] = {ALONE: [], SERVED: []}
    for number in range(pairs):
        for name in runs if number % 2 == 0 else reversed(runs):
            run = alone(folder, spec) if name == ALONE else through_the_service(folder, dataset, spec)
            say(f"pair {number + 1}  {name}: {run.seconds:.2f} s, {run.cpu_seconds:.2f} s of processor")
            runs[name].append(run)
    return runs


def alone(folder: Path, spec: dict[str, Any]) -> Run:
    (folder / "job.json").write_text(json.dumps(spec))
    command = [sys.executable, "-m", "benchmarks.overhead", "--engine", str(folder)]
    environment = {**os.environ, **trainer_environment(CORES)}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    return Run(**json.loads(done.stdout))


def engine(folder: Path) -> Run:
    """Trains `job.json` on `packed`, in this process."""
    import torch  # here: who measures does without

    from models.spec import parse_spec
    from worker.alone import resolved
    from worker.training import CheckpointReady, load_dataset, train

    torch.set_num_threads(CORES)
    spec = resolved(parse_spec(json.loads((folder / "job.json").read_bytes())), folder / "packed", None)
    begun = time.perf_counter()
    with watched() as processor:
        for event in train(spec, load_dataset(folder / "packed", spec, folder / "cache")):
            if isinstance(event, CheckpointReady):
                event.release()
        seconds = time.perf_counter() - begun
    return Run(seconds, processor.own + processor.servers, processor.other_load)


def through_the_service(folder: Path, dataset: str, spec: dict[str, Any]) -> Run:
    """After a job of one step: the worker is warm."""
    asked = {**spec, "dataset": {**spec["dataset"], "id": dataset}}
    with served(folder) as client:
        client.jobs.wait(client.jobs.create({**asked, "training": {"steps": 1, "batch_size": 128}}))
        with watched() as processor:
            job = client.jobs.wait(client.jobs.create(asked))
        moments = {event.type: event.created_at for event in client.jobs.events(job)}
    seconds = (moments["job.succeeded"] - moments["job.claimed"]).total_seconds()
    return Run(seconds, processor.servers, processor.other_load)


@contextmanager
def served(folder: Path) -> Iterator[Client]:
    """A service on the same data each time."""
    home = DataFolder(folder / "service")
    service = Service(home, port=None, say=lambda _: None, worker_slots=1, trainer_threads=CORES)
    with Background(service) as background, Client(background.running.url, background.running.api_key) as client:
        yield client


def result(runs: dict[str, list[Run]], epochs: int, found: dict[str, str]) -> dict[str, Any]:
    wall = costs([run.seconds for run in runs[ALONE]], [run.seconds for run in runs[SERVED]])
    processor = costs([run.cpu_seconds for run in runs[ALONE]], [run.cpu_seconds for run in runs[SERVED]])
    say(f"the service costs {spread(wall, 1)} % of time, {spread(processor, 1)} % of processor time")
    rows = [
        [name, spread([run.seconds for run in each], 2), spread([run.cpu_seconds for run in each], 2)]
        for name, each in runs.items()
    ]
    worst = max(run.other_load for each in runs.values() for run in each)
    return {
        "title": "What the service costs a job",
        "kind": "table",
        "command": " ".join(["python -m benchmarks.overhead", *sys.argv[1:]]),
        "about": f"W1 for {epochs} epochs, each with an evaluation and a checkpoint; pairs, A B B A …. Through the "
        "service: from the claim by a warm worker that has the data to the end, with metrics, events, checkpoints, "
        "leases and the API beside the training, all of whose processes count. The engine alone: from reading the data "
        f"to its last event, which nobody keeps. The service costs **{statistics.median(wall):.1f} %** of time and "
        f"**{statistics.median(processor):.1f} %** of processor time, the median of pairs. "
        f"Other load {worst:.2f} cores.",
        "rounds": len(wall),
        **surroundings(**found),
        "columns": ["", "seconds", "seconds of processor"],
        "rows": [*rows, ["the service's cost in %", spread(wall, 1), spread(processor, 1)]],
        "measured": {name: [asdict(run) for run in each] for name, each in runs.items()},
    }


def costs(alone: Sequence[float], served: Sequence[float]) -> list[float]:
    """Per cent of each pair."""
    return [100 * (other / one - 1) for one, other in zip(alone, served, strict=True)]


if __name__ == "__main__":
    main()
