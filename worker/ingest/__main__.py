"""The decoding process: reads a request, confines itself, packs one upload, and answers in lines of JSON."""

import sys
import time
from pathlib import Path

from worker.ingest.confinement import confine
from worker.ingest.errors import IngestError
from worker.ingest.messages import Advanced, Done, Message, Refused, Request, Warned
from worker.ingest.packed import content_sha256, manifest_bytes
from worker.ingest.progress import Progress
from worker.ingest.upload import ingest

PROGRESS_SECONDS = 0.2


def main() -> None:
    """Serve the one request on the standard input."""
    request = Request.model_validate_json(sys.stdin.buffer.read())
    for missing in confine(request.limits, request.supervisor):
        _say(Warned(detail=missing))
    _say(_serve(request))


def _serve(request: Request) -> Message:
    try:
        manifest = ingest(
            Path(request.source),
            Path(request.destination),
            filename=request.filename,
            limits=request.limits,
            on_progress=_Speaker(),
        )
    except IngestError as error:
        return Refused(code=error.code, detail=error.detail, entry=error.entry, row=error.row, skipped=error.skipped)
    except MemoryError:
        detail = f"Reading the upload needs more than the {request.limits.memory_bytes:,} bytes of memory allowed."
        return Refused(code="out_of_memory", detail=detail, entry=None, row=None)
    return Done(manifest_sha256=content_sha256(manifest_bytes(manifest)))


class _Speaker:
    """Says how far it is, a few times a second."""

    def __init__(self) -> None:
        self._next = 0.0

    def __call__(self, progress: Progress) -> None:
        now = time.monotonic()
        if now >= self._next or progress.done == progress.total:
            self._next = now + PROGRESS_SECONDS
            _say(Advanced(stage=progress.stage, done=progress.done, total=progress.total))


def _say(message: Message) -> None:
    sys.stdout.write(message.model_dump_json() + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
