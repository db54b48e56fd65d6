"""Runs an ingest in a process of its own, which can neither reach the network nor outlive or exhaust its supervisor."""

import contextlib
import logging
import os
import selectors
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import assert_never

from pydantic import ValidationError

import worker
from models.spec.manifest import Manifest
from worker.ingest.errors import IngestError
from worker.ingest.limits import DEFAULT_LIMITS, MIB, Limits
from worker.ingest.messages import Advanced, Done, Message, Refused, Request, Warned, messages
from worker.ingest.packed import MANIFEST, PackedDamaged, content_sha256, sync_folder, verify
from worker.ingest.progress import OnProgress, Progress, ignore

log = logging.getLogger(__name__)

POLL_SECONDS = 0.1
GRACE_SECONDS = 5.0
"""For a child that has closed its output to leave by itself."""
MAX_LINE = MIB
MAX_COMPLAINT = 2_000


def run_sandboxed(
    source: Path,
    destination: Path,
    *,
    filename: str,
    limits: Limits = DEFAULT_LIMITS,
    on_progress: OnProgress = ignore,
    should_stop: Callable[[], bool] = lambda: False,
) -> Manifest:
    """Decode an upload into the packed folder `destination` by a confined child process, and verify what it wrote.

    Raises IngestError for what is wrong with the upload, and also when the child is killed, runs out of memory or time,
    or `should_stop` (asked ten times a second) says so; nothing is left behind then.
    """
    workshop = destination.with_name(f".{destination.name}.sandbox")
    shutil.rmtree(workshop, ignore_errors=True)
    workshop.mkdir(mode=0o700)
    try:
        packed = workshop / "packed"
        request = Request(
            source=str(source.absolute()),
            destination=str(packed.absolute()),
            filename=filename,
            limits=limits,
            supervisor=os.getpid(),
        )
        outcome = _converse(request, workshop, limits, on_progress, should_stop)
        manifest = _accept(packed, outcome)
        packed.rename(destination)
        sync_folder(destination.parent)
        return manifest
    finally:
        shutil.rmtree(workshop, ignore_errors=True)


def _accept(packed: Path, outcome: Done) -> Manifest:
    """Trust nothing that a decoder of hostile files wrote before it is verified."""
    try:
        manifest = verify(packed)
    except PackedDamaged as error:
        raise IngestError("internal", f"The packed data set is not sound: {error}.") from error
    if content_sha256((packed / MANIFEST).read_bytes()) != outcome.manifest_sha256:
        raise IngestError("internal", "The packed data set is not sound: its manifest changed after it was written.")
    return manifest


def _converse(
    request: Request, workshop: Path, limits: Limits, on_progress: OnProgress, should_stop: Callable[[], bool]
) -> Done:
    with (workshop / "complaints").open("w+b") as complaints, _start(request, workshop, complaints.fileno()) as process:
        try:
            for message in _messages(process, limits, should_stop):
                match message:
                    case Advanced():
                        on_progress(Progress(message.stage, message.done, message.total))
                    case Warned():
                        log.warning("ingest sandbox: %s", message.detail)
                    case Refused():
                        raise IngestError(message.code, message.detail, message.entry, message.row, message.skipped)
                    case Done():
                        return message
                    case _:
                        assert_never(message)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(GRACE_SECONDS)
        finally:
            _kill(process)
        complaints.seek(max(0, complaints.seek(0, os.SEEK_END) - MAX_COMPLAINT))
        raise _died(process.returncode, complaints.read(), limits)


def _start(request: Request, workshop: Path, complaints: int) -> subprocess.Popen[bytes]:
    """Start the child in its own session, with none of our environment."""
    root = Path(worker.__path__[0]).parent
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "worker.ingest"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=complaints,
        cwd=workshop,
        env={
            "PYTHONPATH": str(root),
            "PYTHONUTF8": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
            "HOME": str(workshop),
            "TMPDIR": str(workshop),
            "OPENBLAS_NUM_THREADS": "1",  # a thread's stack counts as memory, and none can be started
            "OMP_NUM_THREADS": "1",
            "MALLOC_ARENA_MAX": "1",
        },
        start_new_session=True,
    )
    assert process.stdin is not None
    try:
        process.stdin.write(request.model_dump_json().encode())
        process.stdin.close()
    except BrokenPipeError:
        log.warning("ingest sandbox: the child ended before it read its request")
    return process


def _messages(process: subprocess.Popen[bytes], limits: Limits, should_stop: Callable[[], bool]) -> Iterator[Message]:
    """What the child says, until it closes its output; raises IngestError at the deadline or when asked to stop."""
    assert process.stdout is not None
    descriptor = process.stdout.fileno()
    deadline = time.monotonic() + limits.wall_seconds
    pending = b""
    with selectors.DefaultSelector() as selector:
        selector.register(descriptor, selectors.EVENT_READ)
        while True:
            if should_stop():
                raise IngestError("stopped", "Reading the upload was stopped on request.")
            if time.monotonic() > deadline:
                raise _out_of_time(limits)
            if not selector.select(POLL_SECONDS):
                continue
            data = os.read(descriptor, 65_536)
            if not data:
                return
            *lines, pending = (pending + data).split(b"\n")
            if len(pending) > MAX_LINE:
                raise IngestError("internal", "The decoding process speaks out of turn.")
            for line in lines:
                yield _message(line)


def _message(line: bytes) -> Message:
    try:
        return messages.validate_json(line)
    except ValidationError as error:
        raise IngestError("internal", "The decoding process speaks out of turn.") from error


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End the child and whatever else is in its group, and wait for it."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _died(status: int, complaint: bytes, limits: Limits) -> IngestError:
    """The sentence for a child that ended without an answer."""
    log.error("ingest sandbox: the decoder ended with %d: %s", status, complaint.decode(errors="replace"))
    if b"MemoryError" in complaint or status == -signal.SIGKILL:
        detail = (
            "The decoding process was ended by the system, as happens when memory runs out "
            f"({limits.memory_bytes:,} bytes are allowed). Send smaller images or fewer columns."
        )
        return IngestError("out_of_memory", detail)
    if status == -signal.SIGXCPU:
        return _out_of_time(limits)
    if status < 0:
        name = signal.Signals(-status).name
        return IngestError(
            "crashed", f"The decoding process crashed ({name}) while it read the upload; a file in it may be hostile."
        )
    return IngestError(
        "internal", f"The decoding process ended with status {status} and no answer. The worker's log has more."
    )


def _out_of_time(limits: Limits) -> IngestError:
    detail = (
        f"Reading the upload took longer than the {limits.wall_seconds:,.0f} s, or {limits.cpu_seconds:,} s of "
        "computing, that are allowed. Send smaller images, or fewer."
    )
    return IngestError("time_limit", detail)
