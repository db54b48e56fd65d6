"""What a checkpoint costs: how long training waits, when it is safe on the disk, how fast it comes back over HTTP.

Training waits for one copy of the weights and of the optimizer's averages; that is held against a plain copy between
buffers that are there already. Writing, hashing and storing happen beside the training; they are held against writing
the same bytes to a file and syncing it. A download through the API is held against reading the same file, and against
curl reading it from the disk. Usage: python -m benchmarks.checkpoints [--rounds 7]
"""

import argparse
import contextlib
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.contest import CORES, ROOT, say, surroundings
from benchmarks.figures import spread, watched
from benchmarks.installations import versions
from benchmarks.report import record
from client import Checkpoint, Client
from local.background import Background
from local.folder import DataFolder
from local.service import Running, Service
from models.settings import Settings
from models.spec import JobSpec, parse_spec
from models.storage import Folder, put_file
from worker.allocator import trainer_environment
from worker.alone import resolved
from worker.ingest import ingest
from worker.training import CheckpointReady, Control, hand_over, load_dataset, train

WIDTHS = {"an MLP of 1 million": 700, "an MLP of 25 million": 4650}
"""Of two hidden layers on 784 inputs; Adam keeps two numbers for each parameter besides."""
STEPS_BETWEEN = 6
BATCH = 128
EPOCH = 60_000
"""Examples of Fashion-MNIST: unless a spec says otherwise, there is a checkpoint after each epoch."""
CADENCE: float = Settings.model_fields["checkpoint_seconds"].default
"""Seconds between checkpoints inside a longer epoch, unless the operator says otherwise."""


@dataclass
class Figures:
    """Seconds of each round."""

    bytes: int = 0
    blocked: list[float] = field(default_factory=list)
    copied: list[float] = field(default_factory=list)
    durable: list[float] = field(default_factory=list)
    steps: list[float] = field(default_factory=list)
    written: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Held:
    """A checkpoint that a running service holds, and the file that it keeps it in."""

    running: Running
    client: Client
    checkpoint: Checkpoint
    file: Path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--inside", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inside:
        trained(options.inside, options.rounds)
        return
    rows = []
    with tempfile.TemporaryDirectory(prefix="trainwright-checkpoints-") as name:
        folder = Path(name)
        upload = data(folder)
        ingest(upload, folder / "packed", filename=upload.name)
        for name, words in specs().items():
            (folder / "spec.json").write_text(json.dumps(words))
            with watched() as processor:
                row = {"network": name, **measured(folder, options.rounds)}
                with stored(folder, upload, words) as held:
                    row |= downloaded(held, folder / "download", options.rounds)
            row["other_load"] = processor.other_load
            say(f"{name}: training waits {spread([1000 * each for each in row['blocked']], 1)} ms")
            rows.append(row)
        used = versions(f"sqlite:///{DataFolder(folder / 'service').database}")
    record(
        "checkpoints/adam",
        {
            "title": "Checkpoints",
            "kind": "checkpoints",
            "command": " ".join(["python -m benchmarks.checkpoints", *sys.argv[1:]]),
            "rounds": options.rounds,
            "cadence": CADENCE,
            "steps_of_an_epoch": math.ceil(EPOCH / BATCH),
            "rows": rows,
            **surroundings(**used),
        },
    )


def data(folder: Path) -> Path:
    chance = np.random.default_rng(0)
    upload = folder / "upload.npz"
    pictures = chance.integers(0, 256, (10 * BATCH, 28, 28, 1), dtype=np.uint8)
    np.savez(upload, x_train=pictures, y_train=chance.integers(0, 10, len(pictures)))
    return upload


def specs() -> dict[str, dict[str, Any]]:
    """Networks with Adam, whose checkpoints come when they are asked for and at the end."""
    common: dict[str, Any] = {
        "spec_version": 1,
        "dataset": {"id": "benchmark"},
        "optimizer": {"type": "adam", "learning_rate": 1e-4},
        "training": {"epochs": 1, "batch_size": BATCH},
        "checkpoints": {"every": "100%", "keep_best": None},
    }
    first: dict[str, Any] = json.loads((ROOT / "benchmarks/workloads/fashion.json").read_bytes())
    multilayer = {name: {"network": {"type": "mlp", "hidden": [width, width]}} for name, width in WIDTHS.items()}
    return {name: {**words, **common} for name, words in {"W1's network": first, **multilayer}.items()}


def measured(folder: Path, rounds: int) -> dict[str, Any]:
    """Of a process with the environment of a trainer."""
    command = [sys.executable, "-m", "benchmarks.checkpoints", f"--inside={folder}", f"--rounds={rounds}"]
    environment = {**os.environ, **trainer_environment(CORES), "PYTHONPATH": str(ROOT)}
    answer = subprocess.run(command, env=environment, cwd=ROOT, stdout=subprocess.PIPE, check=True)
    figures: dict[str, Any] = json.loads(answer.stdout)
    return figures


def trained(folder: Path, rounds: int) -> None:
    """Trains, asks for a checkpoint now and again, and writes what that took to standard output. The first one is told
    apart: it asks the system for the memory that all others are copied into.
    """
    torch.set_num_threads(CORES)
    words = json.loads((folder / "spec.json").read_bytes())
    ours = resolved(parse_spec(words | {"training": {"epochs": 1000, "batch_size": BATCH}}), folder / "packed", None)
    figures = Figures()
    for event in checkpoints_of(folder, ours, figures, rounds + 1):
        save(event, folder, figures)
    first, *figures.blocked = figures.blocked
    sys.stdout.write(json.dumps({**vars(figures), "blocked_first": first}))


def checkpoints_of(folder: Path, ours: JobSpec, figures: Figures, count: int) -> Iterator[CheckpointReady]:
    """So many; noted are the time from the end of a step until one is there, and that of each step."""
    control, steps, ended = Control(), 0, 0.0

    def after_step() -> None:
        nonlocal steps, ended
        steps += 1
        if steps % STEPS_BETWEEN == 0:
            control.request_checkpoint()
        if steps % STEPS_BETWEEN != 1:  # the first one after a checkpoint
            figures.steps.append(time.perf_counter() - ended)
        ended = time.perf_counter()

    control.after_step = after_step
    for event in train(ours, load_dataset(folder / "packed", ours, folder / "cache"), control=control):
        if isinstance(event, CheckpointReady):
            figures.blocked.append(time.perf_counter() - ended)
            yield event
            if len(figures.blocked) == count:
                return


def save(event: CheckpointReady, folder: Path, figures: Figures) -> None:
    """As trainer and supervisor do it, and the same bytes written and copied plainly."""
    weights, state = folder / "weights", folder / "state"
    begun = time.perf_counter()
    hashes = hand_over(event, weights, state)
    store = Folder(folder / "objects")
    stored = [put_file(store, path.name, path) for path in (weights, state)]
    figures.durable.append(time.perf_counter() - begun)
    assert hashes == tuple(one.sha256 for one in stored)

    tensors = [*event.weights.values(), *event.state.tensors.values()]
    content = b"".join(path.read_bytes() for path in (weights, state))
    figures.bytes = len(content)
    figures.written.append(seconds_to_write(folder / "plain", content))
    buffers = [tensor.clone() for tensor in tensors]
    begun = time.perf_counter()
    torch._foreach_copy_(buffers, tensors)
    figures.copied.append(time.perf_counter() - begun)
    event.release()


def seconds_to_write(path: Path, content: bytes) -> float:
    begun = time.perf_counter()
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    return time.perf_counter() - begun


@contextlib.contextmanager
def stored(folder: Path, upload: Path, words: dict[str, Any]) -> Iterator[Held]:
    """A service with one checkpoint."""
    home = folder / "service"
    shutil.rmtree(home, ignore_errors=True)
    service = Service(DataFolder(home), port=None, say=lambda _: None, worker_slots=1, trainer_threads=CORES)
    with Background(service) as background, Client(background.running.url, background.running.api_key) as client:
        dataset = client.datasets.wait(client.datasets.upload(upload), 120)
        job = client.jobs.wait(client.jobs.create({**words, "dataset": {"id": dataset.id}}), 300)
        assert job.status == "succeeded", job.failure
        checkpoint = client.checkpoints.last(job)
        [file] = home.rglob("*-last.safetensors")
        yield Held(background.running, client, checkpoint, file)


def downloaded(held: Held, destination: Path, rounds: int) -> dict[str, Any]:
    """Seconds of each round: by the client, which hashes and syncs what it writes; by curl from the API; by curl from
    the disk; and to read the file. All from the page cache, each to a new file.
    """
    address = f"{held.running.url}/v1/checkpoints/{held.checkpoint.id}/content"
    key = ["-H", f"Authorization: Bearer {held.running.api_key}"]
    found: dict[str, list[float]] = {"client": [], "curl": [], "curl_file": [], "read": []}
    for _ in range(rounds):
        found["client"].append(seconds(lambda: held.client.checkpoints.download(held.checkpoint, destination)))
        found["curl"].append(seconds(lambda: curl(destination, *key, address)))
        found["curl_file"].append(seconds(lambda: curl(destination, held.file.as_uri())))
        found["read"].append(seconds(held.file.read_bytes))
    return {"download_bytes": held.file.stat().st_size, **found}


def curl(destination: Path, *arguments: str) -> None:
    destination.unlink(missing_ok=True)
    subprocess.run(["curl", "--silent", "--fail", "--output", str(destination), *arguments], check=True)


def seconds(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


if __name__ == "__main__":
    main()
