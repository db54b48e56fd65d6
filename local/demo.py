"""The demo: two real training runs over HTTP, from a data set to a checkpoint, and what made them differ."""

import hashlib
import json
import shutil
import signal
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

from rich.console import Console
from rich.table import Table

from client import Checkpoint, Client, Dataset, Job, TrainwrightError
from local.background import Background
from local.findings import Run, better_of, explain, run_of
from local.folder import DataFolder, InUse
from local.safetensors import list_tensors
from local.screens import Screen, Standing, screen_for
from local.service import CannotStart, Running, Service
from local.supervisor import ChildFailed

DIGITS = Path(__file__).with_name("digits.npz")
RESULTS = Path("run/demo")
"""Where the specs and the checkpoint are left, in the folder that the demo is started from."""
LOOK_SECONDS = 0.25
INGEST_SECONDS = 60.0
TRAINING_SECONDS = 300.0
SHARED: dict[str, Any] = {
    "spec_version": 1,
    "seed": 0,
    "network": {"type": "mlp", "hidden": [128] * 30},
    "optimizer": {"type": "sgd", "learning_rate": 0.02, "momentum": 0.9},
    "schedule": {"type": "cosine"},
    "clipping": {"type": "global_norm", "max_norm": 1.0},
    "training": {"epochs": 30, "batch_size": 32},
}
STARTS = {"Xavier": {"type": "xavier_normal"}, "He": {"type": "kaiming_normal"}}
"""The one thing in which the two specs differ. Over 30 layers of ReLU it is everything."""


class DemoFailed(Exception):
    """The demo did not get what it is there to show."""


def main(data: Path | None, port: int | None, *, keep: bool) -> int:
    """The process's exit code: 0 only if both runs succeeded."""
    console = Console(highlight=False)
    root = data or Path(tempfile.mkdtemp(prefix="trainwright-demo-"))
    try:
        _run(console, DataFolder(root), port, keep=keep)
    except KeyboardInterrupt:
        console.print("Stopped.")
        code = 130
    except (InUse, CannotStart, ChildFailed, TrainwrightError, DemoFailed, OSError) as error:
        console.print(f"error: {error}\nThe logs are in {root / 'logs'}.", markup=False, soft_wrap=True)
        return 1
    else:
        code = 0
    if data is None and not keep:
        shutil.rmtree(root)
    return code


def _run(console: Console, folder: DataFolder, port: int | None, *, keep: bool) -> None:
    started = time.monotonic()
    service = Service(
        folder, port=port, say=partial(console.print, markup=False, soft_wrap=True), worker_slots=2, trainer_threads=1
    )
    _interrupt_on_signals(service)
    with Background(service) as background:
        running = background.running
        console.print(f"The service is up on {running.url} after {time.monotonic() - started:.1f} s.", markup=False)
        console.print(f"Watch it in a browser: {running.page_url} (works once)", markup=False, soft_wrap=True)
        with Client(running.url, running.api_key) as client:
            Demo(client, console, background).run()
        console.print(f"All of it took {time.monotonic() - started:.0f} s.")
        if keep:
            console.print(_goes_on(running, folder), markup=False, soft_wrap=True)
            with suppress(KeyboardInterrupt):
                background.wait()


@dataclass
class Demo:
    """One go through the whole of it."""

    client: Client
    console: Console
    background: Background
    standings: dict[str, Standing] = field(default_factory=dict)

    def run(self) -> None:
        dataset = self._upload()
        jobs = self._watch(self._submit(dataset))
        one, other = (self._read(job) for job in jobs)
        self.console.print(_table(one, other))
        self.console.print(explain(one, other), markup=False)
        better, _ = better_of(one, other)
        checkpoint = self.client.checkpoints.best(next(job for job in jobs if job.name == better.name))
        self._download(checkpoint)
        self.console.print(_do_it_yourself(), markup=False, soft_wrap=True)

    def _upload(self) -> Dataset:
        dataset = self.client.datasets.wait(self.client.datasets.upload(DIGITS), INGEST_SECONDS)
        self.console.print(f"Uploaded {DIGITS.name} as {dataset.id}: {_contents(dataset)}.", soft_wrap=True)
        return dataset

    def _submit(self, dataset: Dataset) -> list[Job]:
        RESULTS.mkdir(parents=True, exist_ok=True)
        jobs = []
        for name, start in STARTS.items():
            spec = {"name": name, **SHARED, "initialization": start}
            spec["dataset"] = {"id": dataset.id, "validation": {"split": "test"}}
            (RESULTS / f"{name.lower()}.json").write_text(json.dumps(spec, indent=2) + "\n")
            jobs.append(self.client.jobs.create(spec))
        differing = _differing(*jobs)
        self.console.print(f"Two jobs, one difference ({', '.join(differing)}): 30 layers of 128, ReLU, 30 epochs.")
        return jobs

    def _watch(self, jobs: list[Job]) -> list[Job]:
        """Show both runs until they have ended; both must succeed."""
        deadline = time.monotonic() + TRAINING_SECONDS
        with screen_for(self.console) as screen:
            while not all(job.is_finished for job in jobs):
                self.background.check()
                if time.monotonic() > deadline:
                    raise DemoFailed(f"the jobs were not done after {TRAINING_SECONDS:.0f} s")
                time.sleep(LOOK_SECONDS)
                jobs = [job if job.is_finished else self.client.jobs.get(job) for job in jobs]
                self._show(screen, jobs)
        for job in jobs:
            if job.status != "succeeded":
                raise DemoFailed(f"the job {job.name} {job.status}: {job.failure and job.failure.message}")
        return jobs

    def _show(self, screen: Screen, jobs: list[Job]) -> None:
        for job in jobs:
            self.standings[job.id] = self._standing(job)
        screen.show(list(self.standings.values()))

    def _standing(self, job: Job) -> Standing:
        progress = job.progress or {}
        before = self.standings.get(job.id, Standing(job.name or job.id, job.status))
        if progress.get("epoch", 0) == before.epoch:
            accuracy, loss = before.accuracy, before.loss
        else:
            last = self.client.jobs.metrics(job, interval="epoch").columns
            accuracy, loss = last["validation/accuracy"][-1], last["train/loss"][-1]
        return Standing(before.name, job.status, progress.get("epoch", 0), progress.get("epochs", 0), accuracy, loss)

    def _read(self, job: Job) -> Run:
        epochs = self.client.jobs.metrics(job, interval="epoch")
        steps = self.client.jobs.metrics(job, interval="step", keys=["gradient_norm"])
        return run_of(job, job.resolved_spec["initialization"]["type"], epochs, steps)

    def _download(self, checkpoint: Checkpoint) -> None:
        path = self.client.checkpoints.download(checkpoint, RESULTS / "best.safetensors")
        found = hashlib.sha256(path.read_bytes()).hexdigest()
        if found != checkpoint.sha256:
            raise DemoFailed(f"{path} has sha256 {found}, not {checkpoint.sha256}")
        tensors = list_tensors(path)
        shown = ", ".join(f"{tensor.name} {list(tensor.shape)}" for tensor in (*tensors[:2], tensors[-1]))
        total = sum(tensor.size for tensor in tensors)
        self.console.print(
            f"The best checkpoint (epoch {checkpoint.epoch}, {checkpoint.bytes:,} bytes) is {path}.\n"
            f"Its sha256 is the promised one: {found}\n"
            f"In it are {len(tensors)} tensors with {total:,} numbers: {shown}, …\n",
            markup=False,
            soft_wrap=True,
        )


def _contents(dataset: Dataset) -> str:
    manifest = dataset.manifest
    assert manifest is not None
    parts = " and ".join(f"{split['examples']:,} {name}" for name, split in sorted(manifest["splits"].items())[::-1])
    return f"{parts} images of {manifest['size'][0]}×{manifest['size'][1]} in {len(manifest['classes'])} classes"


def _differing(one: Job, other: Job) -> list[str]:
    """The parts of two specs that mean different things."""
    return [key for key in one.resolved_spec if key != "name" and one.resolved_spec[key] != other.resolved_spec[key]]


def _table(*runs: Run) -> Table:
    table = Table()
    table.add_column("")
    for run in runs:
        table.add_column(run.name, justify="right")
    rows = {
        "initialization": [run.technique for run in runs],
        "gradient norm, first epoch": [f"{run.gradient_norm:.3g}" for run in runs],
        "training loss, first epoch": [f"{run.losses[0]:.3f}" for run in runs],
        "training loss, last epoch": [f"{run.losses[-1]:.3f}" for run in runs],
        "test images right, first epoch": [f"{run.accuracies[0]:.1%}" for run in runs],
        "test images right, last epoch": [f"{run.accuracies[-1]:.1%}" for run in runs],
        "test images right, best epoch": [f"{run.best:.1%}" for run in runs],
        "images a second": [f"{run.images_per_second:,.0f}" for run in runs],
        "seconds of training": [f"{run.seconds:.1f}" for run in runs],
    }
    for label, values in rows.items():
        table.add_row(label, *values)
    return table


def _do_it_yourself() -> str:
    spec = RESULTS / "he.json"
    return f"""\
The same by hand: `make up` keeps the service running and says which two variables to set. Then, with curl:
  auth="Authorization: Bearer $TRAINWRIGHT_API_KEY"; json="Content-Type: application/json"
  curl -H "$auth" -H "$json" -d '{{"name": "digits"}}' $TRAINWRIGHT_URL/v1/datasets
  curl -H "$auth" -T local/digits.npz "$TRAINWRIGHT_URL/v1/datasets/DATASET/content?filename=digits.npz"
  curl -H "$auth" -H "$json" -d @{spec} $TRAINWRIGHT_URL/v1/jobs      # with DATASET as its dataset.id
  curl -H "$auth" -N $TRAINWRIGHT_URL/v1/jobs/JOB/stream
  curl -H "$auth" $TRAINWRIGHT_URL/v1/jobs/JOB/checkpoints/best
  curl -H "$auth" -o best.safetensors $TRAINWRIGHT_URL/v1/checkpoints/CHECKPOINT/content
or with Python, after `pip install .`:
  from trainwright import Client
  client = Client()
  dataset = client.datasets.wait(client.datasets.upload("local/digits.npz"))
  spec = {{"dataset": {{"id": dataset.id}}, "network": {{"type": "mlp"}}, "training": {{"epochs": 5}}}}
  job = client.jobs.wait(client.jobs.create(spec))
  client.checkpoints.download(client.checkpoints.best(job), "best.safetensors")
Everything that the API can do is described at $TRAINWRIGHT_URL/openapi.json."""


def _goes_on(running: Running, folder: DataFolder) -> str:
    return (
        f"\nThe service stays up on {running.url} until Ctrl-C; `python -m local up --data {folder.root}` brings it "
        f"back.\n"
        f"  export TRAINWRIGHT_URL={running.url}\n"
        f'  export TRAINWRIGHT_API_KEY="$(cat "{running.api_key_file}")"'
    )


class Interrupted(KeyboardInterrupt):
    """Python ends by the signal itself, whatever the exit code, if a plain one has passed through code that is made
    from text (dataclasses are), though somebody catches it."""


def _interrupt_on_signals(service: Service) -> None:
    """The first signal ends the demo and stops the service in order, the second one stops it at once."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        if service.stopping.is_set():
            service.hurry.set()
        else:
            service.stopping.set()
            raise Interrupted

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)
