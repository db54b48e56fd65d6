"""Trains one job with no service: `python -m worker train job.json --data folder-or-upload --out run/`."""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TextIO, assert_never

import torch

from models.spec import JobSpec, SpecInvalid, parse_spec, resolve
from models.spec.check import check
from worker.allocator import trainer_environment
from worker.ingest import IngestError, ingest
from worker.training import (
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

NEWEST = ("last.safetensors", "last.state.safetensors")
BEST = ("best.safetensors", "best.state.safetensors")


def main(arguments: Sequence[str] | None = None) -> int:
    options = parse_arguments(arguments)
    if not options.as_is:
        start_again_tuned(options.threads)
    torch.set_num_threads(options.threads)
    try:
        run_job(options)
    except SpecInvalid as error:
        return refuse(*(f"{one.pointer or '/'}: {one.detail}" for one in error.errors))
    except (IngestError, Diverged, json.JSONDecodeError) as error:
        return refuse(str(error))
    return 0


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m worker", description=__doc__)
    commands = parser.add_subparsers(required=True)
    command = commands.add_parser("train", help="train one job here, without the service")
    command.add_argument("job", type=Path, help="the job spec, as JSON; its dataset.id may be anything")
    command.add_argument("--data", type=Path, required=True, help="a packed folder, or a zip, npz or csv to pack")
    command.add_argument("--out", type=Path, required=True, help="where metrics, checkpoints and the result go")
    command.add_argument("--device", default="cpu", help="cpu or cuda")
    command.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="part of what makes runs equal")
    command.add_argument("--resume", action="store_true", help="go on from the newest checkpoint in --out")
    command.add_argument("--as-is", action="store_true", help="keep this process and its memory allocator's settings")
    return parser.parse_args(arguments)


def start_again_tuned(threads: int) -> None:
    """The allocator reads its settings when a process starts, so this one starts once more, with them set."""
    wanted = trainer_environment(threads)
    if any(os.environ.get(name) != value for name, value in wanted.items()):
        command = [sys.executable, "-m", "worker", *sys.argv[1:], "--as-is"]
        os.execve(sys.executable, command, {**os.environ, **wanted})  # noqa: S606  no shell, our own interpreter


def run_job(options: argparse.Namespace) -> None:
    out: Path = options.out
    out.mkdir(parents=True, exist_ok=True)
    raw = json.loads(options.job.read_bytes())
    spec = parse_spec(raw)
    packed = packed_folder(options.data, out)
    spec = resolved(spec, packed)
    (out / "spec.json").write_text(json.dumps(spec.model_dump(mode="json"), indent=2) + "\n")
    data = load_dataset(packed, spec, out / "cache")
    resume = read_newest(out) if options.resume else None
    with (out / "metrics.jsonl").open("a" if resume else "w") as metrics:
        for event in train(spec, data, resume_from=resume, device=options.device):
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
            shown = "  ".join(f"{name} {value:.4f}" for name, value in event.metrics.items())
            say(f"epoch {event.epoch}/{event.progress.epochs}  {shown}  {event.samples_per_second:,.0f}/s")
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


if __name__ == "__main__":
    sys.exit(main())
