"""One job, trained with no service: no database, no queue, no store; the same engine."""

import hashlib
import json
import sys
from pathlib import Path
from typing import Any, TextIO, assert_never

import torch
from safetensors import SafetensorError

from models.spec import JobSpec, SpecError, SpecInvalid, parse_spec, resolve
from models.spec.check import check
from models.spec.warm_start_check import Earlier
from worker.arenas import choose_arenas
from worker.ingest import IngestError, ingest
from worker.training import (
    Applied,
    CheckpointReady,
    Diverged,
    EpochDone,
    Event,
    Finished,
    Resume,
    Started,
    StepsDone,
    WarmStarted,
    Warned,
    Weights,
    load_dataset,
    read_checkpoint,
    read_weights,
    save_checkpoint,
    train,
)
from worker.training.data import read_manifest
from worker.training.warm_start import NotACheckpoint, earlier_of

HEADLINES = ("loss", "accuracy", "top_k_accuracy", "exact_match", "f1_macro", "mae", "r2")
"""Of the metrics of an epoch, what is shown while one waits; all are written."""

MOST_CHOICES = 40

NEWEST = ("last.safetensors", "last.state.safetensors")
BEST = ("best.safetensors", "best.state.safetensors")


def train_alone(
    job: Path, data: Path, out: Path, *, device: str, threads: int, resume: bool, checkpoint: Path | None = None
) -> int:
    """Train one job and write metrics, checkpoints and the result to `out`. Returns the exit status.

    A spec with a `warm_start` needs the file of its checkpoint's weights.
    """
    torch.set_num_threads(threads)
    try:
        _run(job, data, out, device, resume, checkpoint)
    except SpecInvalid as error:
        return refuse(*(f"{one.pointer or '/'}: {one.detail}{choices(one)}" for one in error.errors))
    except (IngestError, Diverged, NoStart, NotACheckpoint, SafetensorError, json.JSONDecodeError) as error:
        return refuse(str(error))
    return 0


class NoStart(ValueError):
    """A checkpoint is missing, or nobody asked for one."""


def _run(job: Path, data: Path, out: Path, device: str, resume: bool, checkpoint: Path | None) -> None:
    out.mkdir(parents=True, exist_ok=True)
    spec = parse_spec(json.loads(job.read_bytes()))
    packed = packed_folder(data, out)
    weights, earlier = read_start(spec, checkpoint)
    spec = resolved(spec, packed, earlier)
    choose_arenas(spec, read_manifest(packed))
    (out / "spec.json").write_text(json.dumps(spec.model_dump(mode="json"), indent=2) + "\n")
    dataset = load_dataset(packed, spec, out / "cache")
    newest = read_newest(out) if resume else None
    with (out / "metrics.jsonl").open("a" if newest else "w") as metrics:
        for event in train(spec, dataset, start_from=weights, resume_from=newest, device=device):
            take(event, out, metrics)


def packed_folder(source: Path, out: Path) -> Path:
    """The folder itself if it is packed already; else the upload is packed beside the results."""
    if (source / "manifest.json").exists():
        return source
    destination = out / "packed"
    if not destination.exists():
        say(f"packing {source.name}")
        ingest(source, destination, filename=source.name)
    return destination


def read_start(spec: JobSpec, checkpoint: Path | None) -> tuple[Weights | None, Earlier | None]:
    """The weights that a spec starts from, and what a check must know of them."""
    if spec.warm_start is None:
        if checkpoint is not None:
            raise NoStart("--checkpoint is for a spec with a `warm_start`, and this one has none")
        return None, None
    if checkpoint is None:
        raise NoStart("the spec has a `warm_start`: say with --checkpoint which file holds the weights")
    weights = read_weights(checkpoint)
    with checkpoint.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    named = spec.warm_start.checkpoint
    return weights, earlier_of(weights, named if isinstance(named, str) else checkpoint.name[:100], sha256)


def resolved(spec: JobSpec, packed: Path, earlier: Earlier | None) -> JobSpec:
    """With every default filled in. Raises SpecInvalid with every conflict between spec and data."""
    manifest = read_manifest(packed)
    errors, warnings = check(spec, manifest, earlier=earlier)
    if errors:
        raise SpecInvalid(tuple(errors))
    for warning in warnings:
        say(f"warning: {warning.pointer}: {warning.detail}")
    return resolve(spec, manifest, earlier)


def read_newest(out: Path) -> Resume | None:
    weights, state = (out / name for name in NEWEST)
    return read_checkpoint(weights, state) if weights.exists() and state.exists() else None


def take(event: Event, out: Path, metrics: TextIO) -> None:
    match event:
        case Started():
            write_line(metrics, {"type": "started", **event.as_json()})
            examples = f"{event.training_examples} + {event.validation_examples} examples"
            say(f"{event.parameters} parameters, {examples}, {event.steps} steps from {event.start_step}")
        case WarmStarted():
            write_line(metrics, {"type": "warm_started", **event.as_json()})
            say(f"{event.parameters} numbers from {event.checkpoint}, in {len(event.loaded)} layers")
        case Warned():
            say(f"warning: {event.detail}")
        case StepsDone():
            write_line(metrics, {"type": "steps", **event.as_json()})
        case EpochDone():
            write_line(metrics, {"type": "epoch", **event.as_json()})
            headlines = {name: value for name, value in event.metrics.items() if name.partition("/")[2] in HEADLINES}
            shown = "  ".join(f"{name} {value:.4f}" for name, value in headlines.items())
            say(f"epoch {event.epoch}/{event.progress.epochs}  {shown}  {event.samples_per_second:,.0f}/s")
        case Applied():
            write_line(metrics, {"type": "applied", **event.as_json()})
        case CheckpointReady():
            for weights, state in [NEWEST, BEST] if event.is_best else [NEWEST]:
                save_checkpoint(event, out / weights, out / state)
        case Finished():
            (out / "result.json").write_text(json.dumps(event.as_json(), indent=2) + "\n")
            say(f"{event.reason} after {event.step} steps")
        case _:
            assert_never(event)


def write_line(file: TextIO, line: dict[str, Any]) -> None:
    file.write(json.dumps(line) + "\n")
    file.flush()


def say(line: str) -> None:
    sys.stderr.write(line + "\n")


def choices(error: SpecError) -> str:
    """What is allowed, where the words of the error do not say it themselves."""
    words = [str(word) for word in error.allowed or () if str(word) not in error.detail]
    return f" ({', '.join(words[:MOST_CHOICES])}{', …' if len(words) > MOST_CHOICES else ''})" if words else ""


def refuse(*lines: str) -> int:
    for line in lines:
        say(line)
    return 1
