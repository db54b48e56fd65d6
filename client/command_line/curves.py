"""Curves and checkpoints: look at them, compare them, take them home."""

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from .session import AsJson, JobName, Session

__all__ = ["COMMANDS"]


Each = Annotated[
    Literal["step", "epoch", "layer"],
    typer.Option("--each", help="Values of every step, of the end of every epoch, or of every layer then."),
]
Keys = Annotated[list[str], typer.Option("--key", "-k", help="Only this curve. Repeat for more.")]


def metrics(
    job: JobName,
    each: Each = "epoch",
    keys: Keys = [],  # noqa: B006
    as_json: AsJson = False,
) -> None:
    """Show a job's curves as sparklines."""
    session = Session(as_json)
    limit = None if as_json else 2000
    found = session.client.jobs.metrics(session.job_id(job), interval=each, keys=keys or None, max_points=limit)
    if as_json:
        session.print_json(found)
    else:
        from .tables import curve_table

        session.out.print(curve_table(found))


def compare(
    jobs: Annotated[list[str], typer.Argument(metavar="JOB JOB...", help="Ids or names.")], as_json: AsJson = False
) -> None:
    """Show where jobs differ, and what came of it."""
    session = Session(as_json)
    comparison = session.client.jobs.compare(*map(session.job_id, jobs))
    if as_json:
        session.print_json(comparison)
    else:
        from .tables import comparison_tables

        session.out.print(*comparison_tables(comparison), sep="\n")


def checkpoints(job: JobName, as_json: AsJson = False) -> None:
    """List a job's checkpoints."""
    session = Session(as_json)
    found = session.client.jobs.checkpoints(session.job_id(job))
    if as_json:
        session.print_json(found)
    else:
        from .tables import checkpoint_table

        session.out.print(checkpoint_table(found))


def download(
    name: Annotated[str, typer.Argument(metavar="JOB|CHECKPOINT", help="A checkpoint, or a job for its best.")],
    path: Annotated[Path, typer.Argument(help="A file to write, or a folder to write into.")] = Path(),
    last: Annotated[bool, typer.Option("--last", help="The newest checkpoint of the job instead of its best.")] = False,
    form: Annotated[
        Literal["safetensors", "onnx", "torch_export"],
        typer.Option("--as", help="The weights, or the network with them, which a worker makes first."),
    ] = "safetensors",
    as_json: AsJson = False,
) -> None:
    """Download a checkpoint, verified. What was interrupted goes on."""
    from .uploading import bar

    session = Session(as_json)
    checkpoints = session.client.checkpoints
    if name.startswith("ckpt_"):
        checkpoint = checkpoints.get(name)
    else:
        checkpoint = (checkpoints.last if last else checkpoints.best)(session.job_id(name))
    if form == "safetensors":
        with bar(session, checkpoint.id) as progress:
            written = checkpoints.download(checkpoint, path, progress)
    else:
        name = f"{checkpoint.id}.{'onnx' if form == 'onnx' else 'pt2'}"
        written = checkpoints.export(checkpoint, path / name if path.is_dir() else path, format=form)
    if as_json:
        session.print_json({"path": str(written), "checkpoint": checkpoint.id, "bytes": written.stat().st_size})
    else:
        sys.stdout.write(f"{written}\n")


def export(
    job: JobName,
    path: Annotated[Path, typer.Argument(help="A file to write; for tensorboard a folder to write into.")],
    to: Annotated[
        Literal["csv", "parquet", "tensorboard", "bundle"],
        typer.Option("--to", help="bundle: a zip that does the run again without the service."),
    ],
    each: Each = "epoch",
    as_json: AsJson = False,
) -> None:
    """Write a job for other tools. csv and parquet hold the curves as --each says, tensorboard all of them."""
    session = Session(as_json)
    job_id = session.job_id(job)
    if to == "tensorboard":
        from ..tensorboard import export_job

        written = export_job(session.client, job_id, path)
    elif to == "bundle":
        written = session.client.jobs.save_bundle(job_id, path)
    else:
        written = session.client.jobs.save_metrics(job_id, path, format=to, interval=each)
    if as_json:
        session.print_json({"path": str(written)})
    else:
        sys.stdout.write(f"{written}\n")


COMMANDS = (metrics, compare, checkpoints, download, export)
