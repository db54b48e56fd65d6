"""One job, trained with no service: no database, no queue, no store; the same engine."""

import json
import sys
from pathlib import Path
from typing import Any, TextIO, assert_never

import torch

from models.spec import JobSpec, SpecInvalid, parse_spec, resolve
from models.spec.check import check
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
    Warned,
    load_dataset,
    read_checkpoint,
    save_checkpoint,
    train,
)
from worker.training.data import read_manifest

HEADLINES = ("loss", "accuracy", "top_k_accuracy", "exact_match", "f1_macro", "mae", "r2")
"""Of the metrics of an epoch, what is shown while one waits; all are written."""

NEWEST = ("last.safetensors", "last.state.safetensors")
BEST = ("best.safetensors", "best.state.safetensors")


def train_alone(job: Path, data: Path, out: Path, *, device: str, threads: int, resume: bool) -> int:
    """Train one job and write metrics, checkpoints and the result to `out`. Returns the exit status."""
    torch.set_num_threads(threads)
    try:
        _run(job, data, out, device, resume)
    except SpecInvalid as error:
        return refuse(*(f"{one.pointer or '/'}: {one.detail}" for one in error.errors))
    except (IngestError, Diverged, json.JSONDecodeError) as error:
        return refuse(str(error))
    return 0


def _run(job: Path, data: Path, out: Path, device: str, resume: bool) -> None:
    out.mkdir(parents=True, exist_ok=True)
    spec = parse_spec(json.loads(job.read_bytes()))
    packed = packed_folder(data, out)
    spec = resolved(spec, packed)
    (out / "spec.json").write_text(json.dumps(spec.model_dump(mode="json"), indent=2) + "\n")
    dataset = load_dataset(packed, spec, out / "cache")
    newest = read_newest(out) if resume else None
    with (out / "metrics.jsonl").open("a" if newest else "w") as metrics:
        for event in train(spec, dataset, resume_from=newest, device=device):
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


def resolved(spec: JobSpec, packed: Path) -> JobSpec:
    """With every default filled in. Raises SpecInvalid with every conflict between spec and data."""
    manifest = read_manifest(packed)
    errors, warnings = check(spec, manifest)
    if errors:
        raise SpecInvalid(tuple(errors))
    for warning in warnings:
        say(f"warning: {warning.pointer}: {warning.detail}")
    return resolve(spec, manifest)


def read_newest(out: Path) -> Resume | None:
    weights, state = (out / name for name in NEWEST)
    return read_checkpoint(weights, state) if weights.exists() and state.exists() else None


def take(event: Event, out: Path, metrics: TextIO) -> None:
    match event:
        case Started():
            write_line(metrics, {"type": "started", **event.as_json()})
            examples = f"{event.training_examples} + {event.validation_examples} examples"
            say(f"{event.parameters} parameters, {examples}, {event.steps} steps from {event.start_step}")
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


def refuse(*lines: str) -> int:
    for line in lines:
        say(line)
    return 1
