"""Jobs: start them, look at them, follow them, steer them."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from .exits import Exit
from .failures import Refused
from .session import AsJson, JobName, Session, plain

if TYPE_CHECKING:
    from .. import Job
    from ..resources import ProblemItem, SpecIssue
    from .spec_files import SpecFile

__all__ = ["COMMANDS"]

SpecArgument = Annotated[Path, typer.Argument(metavar="FILE", help="A job spec in JSON; - for standard input.")]
Settings = Annotated[
    list[str],
    typer.Option("--set", metavar="PATH=VALUE", help="Change the spec: optimizer.learning_rate=0.1. Repeat for more."),
]
Data = Annotated[
    Path | None, typer.Option("--data", metavar="FILE", help="Train on this file: uploaded, unless it was before.")
]
Detached = Annotated[bool, typer.Option("--detach", "-d", help="Print the job's id and leave it to itself.")]
Status = Literal["queued", "starting", "running", "paused", "succeeded", "failed", "cancelled"]
Timeout = Annotated[float | None, typer.Option(metavar="SECONDS", help="Give up waiting (exit code 6).")]


def run(
    file: SpecArgument,
    settings: Settings = [],  # noqa: B006
    data: Data = None,
    detach: Detached = False,
    as_json: AsJson = False,
) -> None:
    """Start a job and follow it. Ctrl-C leaves it to itself: it goes on."""
    session, spec = _read(file, settings, data, as_json)
    from .. import ValidationError

    try:
        job = session.client.jobs.create(spec.value)
    except ValidationError as error:
        _show_mistakes(session, spec, error.errors)
        raise typer.Exit(Exit.ERROR) from None
    _show_warnings(session, job.warnings)
    _begun(session, job, detach)


def validate(
    file: SpecArgument,
    settings: Settings = [],  # noqa: B006
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Check a spec, and start nothing. Shows its mistakes, or what it would take."""
    session, spec = _read(file, settings, data, as_json)
    validation = session.client.jobs.validate(spec.value)
    if as_json:
        session.print_json(validation)
        raise typer.Exit(Exit.SUCCEEDED if validation.valid else Exit.ERROR)
    if not validation.valid:
        _show_mistakes(session, spec, validation.errors)
        raise typer.Exit(Exit.ERROR)
    _show_warnings(session, validation.warnings)
    if validation.estimate is not None:
        from .tables import bytes_text, key_table

        estimate = validation.estimate
        rows = [
            ("parameters", f"{estimate.parameters:,}"),
            ("steps", f"{estimate.steps:,} ({estimate.steps_per_epoch:,} an epoch)"),
            ("memory", bytes_text(estimate.memory_bytes) if estimate.memory_bytes else "unknown"),
            ("checkpoint", bytes_text(estimate.checkpoint_bytes)),
        ]
        session.out.print(key_table(rows))


def preview(
    file: SpecArgument,
    settings: Settings = [],  # noqa: B006
    data: Data = None,
    augmentation: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the first examples, as stored and as trained on: a PNG.")
    ] = None,
    timeout: Timeout = 120,
    as_json: AsJson = False,
) -> None:
    """Show what a spec would do, and start nothing. Its learning rate, its layers at the start, and its examples."""
    session, spec = _read(file, settings, data, as_json)
    from .. import ValidationError

    previews = session.client.previews
    try:
        schedule = previews.schedule(spec.value, timeout)
        start = previews.initialization(spec.value, timeout)
        examples = previews.augmentation(spec.value, timeout)
    except ValidationError as error:
        _show_mistakes(session, spec, error.errors)
        raise typer.Exit(Exit.ERROR) from None
    if augmentation is not None:
        if not examples.urls:
            raise Refused("these data are no images: there is no picture of them")
        previews.save_picture(examples, augmentation)
    if as_json:
        shown = {"schedule": schedule, "initialization": start, "augmentation": examples}
        session.print_json({name: each.model_dump(mode="json") for name, each in shown.items()})
        return
    from .tables import preview_tables

    for table in preview_tables(schedule.result or {}, start.result or {}, examples.result or {}):
        session.out.print(table)


def ps(
    status: Annotated[Status | None, typer.Option(help="Only in this state.")] = None,
    name: Annotated[str | None, typer.Option(help="Only with this in the name.")] = None,
    tag: Annotated[list[str], typer.Option(help="Only with this tag. Repeat for more.")] = [],  # noqa: B006
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="At most so many, the newest first.")] = 20,
    as_json: AsJson = False,
) -> None:
    """List jobs."""
    from itertools import islice

    session = Session(as_json)
    jobs = list(islice(session.client.jobs.list(status=status, name=name, tags=tag), limit))
    if as_json:
        session.print_json(jobs)
    else:
        from .tables import job_table

        session.out.print(job_table(jobs))


def show(job: JobName, as_json: AsJson = False) -> None:
    """Show a job and what came of it."""
    session = Session(as_json)
    _show(session, session.client.jobs.get(session.job_id(job)))


def watch(job: JobName, as_json: AsJson = False) -> None:
    """Follow a job to its end. As JSON, an event a line."""
    session = Session(as_json)
    found = session.client.jobs.get(session.job_id(job))
    if as_json:
        for news in session.client.jobs.stream(found):
            sys.stdout.write(news.model_dump_json() + "\n")
            sys.stdout.flush()
        raise typer.Exit(_exit_of(session.client.jobs.get(found)))
    _follow(session, found)


def wait(job: JobName, timeout: Timeout = None, as_json: AsJson = False) -> None:
    """Wait until a job has ended. The exit code says how."""
    session = Session(as_json)
    _finish(session, session.client.jobs.wait(session.job_id(job), timeout))


def logs(
    job: JobName,
    source: Annotated[Literal["worker", "trainer"] | None, typer.Option(help="Only what this one wrote.")] = None,
    as_json: AsJson = False,
) -> None:
    """Print what its worker and trainer wrote."""
    session = Session(as_json)
    lines = session.client.jobs.logs(session.job_id(job), source=source)
    if as_json:
        session.print_json(lines)
        return
    for line in lines:
        sys.stdout.write(f"{line.logged_at:%H:%M:%S}  {line.source:<7}  {line.level:<7}  {plain(line.message)}\n")


def cancel(job: JobName, as_json: AsJson = False) -> None:
    """End a job; what it has learned is kept."""
    _steer("cancel", job, as_json)


def pause(job: JobName, as_json: AsJson = False) -> None:
    """Let a job rest. It is saved, and leaves its worker."""
    _steer("pause", job, as_json)


def resume(job: JobName, as_json: AsJson = False) -> None:
    """Let a paused job go on."""
    _steer("resume", job, as_json)


def retry(job: JobName, as_json: AsJson = False) -> None:
    """Try a job again. It failed or was cancelled; it goes on from its newest checkpoint."""
    _steer("retry", job, as_json)


def fork(
    job: JobName,
    settings: Settings = [],  # noqa: B006
    checkpoint: Annotated[
        str | None, typer.Option("--from", metavar="CHECKPOINT", help="Start with these weights: best, last or an id.")
    ] = None,
    detach: Detached = False,
    as_json: AsJson = False,
) -> None:
    """Start a job like another, with changes."""
    session = Session(as_json)
    from ..errors import ValidationError
    from .spec_files import SpecFile, patch_between

    found = session.client.jobs.get(session.job_id(job))
    changed = SpecFile.of(found.spec, f"spec of {found.id}").changed(settings)
    patch = patch_between(found.spec, changed.value)
    try:
        forked = session.client.jobs.fork(found, patch, checkpoint=checkpoint)
    except ValidationError as error:
        _show_mistakes(session, changed, error.errors)
        raise typer.Exit(Exit.ERROR) from None
    _begun(session, forked, detach)


COMMANDS = (run, validate, preview, ps, show, watch, wait, logs, cancel, pause, resume, retry, fork)


def _read(file: Path, settings: Sequence[str], data: Path | None, as_json: bool) -> tuple[Session, "SpecFile"]:
    from .spec_files import read_spec

    session = Session(as_json)
    spec = read_spec(file, settings)
    if data is not None:
        from .uploading import dataset_of

        spec = spec.changed([f"dataset.id={dataset_of(session, data).id}"])
    return session, spec


def _begun(session: Session, job: "Job", detach: bool) -> None:
    if detach:
        session.print_json(job) if session.as_json else sys.stdout.write(job.id + "\n")
    else:
        session.err.print(f"{job.id} {plain(job.status_reason)}")
        _follow(session, job)


def _follow(session: Session, job: "Job") -> None:
    from .screens import screen_for

    try:
        with screen_for(session.err, job) as screen:
            for news in session.client.jobs.stream(job):
                screen.show(news)
    except KeyboardInterrupt:
        session.err.print(
            f"Detached: {job.id} goes on. `trainwright watch {job.id}` comes back to it, "
            f"`trainwright cancel {job.id}` ends it."
        )
        raise typer.Exit(Exit.DETACHED) from None
    _finish(session, session.client.jobs.get(job))


def _finish(session: Session, job: "Job") -> None:
    """What came of it, and the exit code that says so."""
    if session.as_json:
        session.print_json(job)
    elif job.status == "succeeded":
        from .tables import result_table

        session.out.print(result_table(job.summary or {}))
    else:
        from ..errors import JobFailed

        raise JobFailed(job)
    raise typer.Exit(_exit_of(job))


def _exit_of(job: "Job") -> Exit:
    match job.status:
        case "succeeded":
            return Exit.SUCCEEDED
        case "cancelled":
            return Exit.CANCELLED
        case _:
            return Exit.JOB_FAILED


def _steer(verb: str, name: str, as_json: bool) -> None:
    session = Session(as_json)
    job: Job = getattr(session.client.jobs, verb)(session.job_id(name))
    if as_json:
        session.print_json(job)
    else:
        session.err.print(f"{job.id} is {job.status}, and is to {job.desired_state}: {plain(job.status_reason)}")


def _show(session: Session, job: "Job") -> None:
    if session.as_json:
        session.print_json(job)
        return
    import json

    from .tables import key_table, result_table

    rows = [("job", job.id), ("name", job.name or ""), ("status", job.status), ("reason", job.status_reason)]
    rows += [("tags", ", ".join(job.tags)), ("data set", job.dataset_id), ("attempt", str(job.attempt))]
    if job.failure is not None:
        rows += [("failure", f"{job.failure.code}: {job.failure.message}"), ("try", job.failure.advice or "")]
    rows += [("warning", f"{warning.pointer}: {warning.detail}") for warning in job.warnings]
    session.out.print(key_table([(name, value) for name, value in rows if value]))
    if job.summary:
        session.out.print(result_table(job.summary))
    session.out.print(plain(json.dumps(job.spec, indent=2, ensure_ascii=False)))


def _show_mistakes(session: Session, spec: "SpecFile", errors: "Sequence[ProblemItem]") -> None:
    from .spec_files import mistakes

    for line in mistakes(spec, errors):
        session.err.print(line, style="red" if line.lstrip(" |").startswith("^") else None)


def _show_warnings(session: Session, warnings: "Sequence[SpecIssue]") -> None:
    for warning in warnings:
        session.err.print(f"warning: {warning.pointer}: {plain(warning.detail)}", style="yellow")
