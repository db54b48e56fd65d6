"""One export, from the claim to a file beside the checkpoint: the supervisor of `worker.export`."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import structlog

from models import checkpoints, exports, storage
from models.ownership import OwnershipLost
from models.storage import Damaged, NotThere, get_file, put_file
from models.tables import Checkpoint, Export
from worker.allocator import trainer_environment
from worker.lease import Lease
from worker.site import Site

log = structlog.get_logger()
SECONDS = 600
"""An export that takes longer is refused."""


def run_export(site: Site, export_id: str) -> None:
    """Claim an export, make it in a process of its own that checks it, put the file into the store."""
    with site.database.write() as session:
        export = exports.claim(session, export_id, worker_id=site.id, lease_seconds=site.settings.lease_seconds)
    if export is None:
        return
    with structlog.contextvars.bound_contextvars(export=export.id, attempt=export.attempt):
        log.info("export_claimed", checkpoint=export.checkpoint_id, format=export.format)
        try:
            with site.scratch(f"{export.id}-{export.attempt}") as scratch:
                _make(site, export, scratch)
        except OwnershipLost:
            log.warning("export_ownership_lost")


def _make(site: Site, export: Export, scratch: Path) -> None:
    owned = (export.id, export.attempt)
    settings = site.settings
    with site.database.read() as session:
        checkpoint = checkpoints.find(session, export.checkpoint_id)
    if checkpoint is None:  # deleted meanwhile, and the export with it
        return

    def beat() -> None:
        site.write(lambda session: exports.beat(session, *owned, settings.lease_seconds), seconds=0)

    with Lease(
        beat, heartbeat=settings.heartbeat_seconds, lease_seconds=settings.lease_seconds, on_lost=lambda: None
    ) as lease:
        try:
            said = _said(site, export, checkpoint, scratch, lease)
        except (Damaged, NotThere):
            reason = "the weights are missing or damaged"
            site.write(lambda session: exports.fail(session, *owned, reason))
            return
        except storage.OUTAGES as error:
            log.warning("export_put_off", error=type(error).__name__)
            site.write(lambda session: exports.release(session, *owned, soon=False))
            return
        if said is None:
            site.write(lambda session: exports.release(session, *owned))
            return
        if (refused := said.get("reason")) is not None:
            log.info("export_refused", reason=refused)
            site.write(lambda session: exports.fail(session, *owned, refused))
            return
        key = exports.key_of(export, checkpoint)
        stored = put_file(site.storage, key, scratch / "exported")
        site.write(lambda session: exports.ready(session, *owned, key=key, size=stored.bytes, sha256=stored.sha256))
        log.info("export_ready", apart=said["apart"])


def _said(site: Site, export: Export, checkpoint: Checkpoint, scratch: Path, lease: Lease) -> dict[str, Any] | None:
    """What the process that makes it said last; None if the worker leaves first."""
    weights, exported, said = (scratch / name for name in ("weights", "exported", "said"))
    get_file(site.storage, checkpoint.weights_key, weights, checkpoint.weights_sha256)
    command = [sys.executable, "-m", "worker.export", str(weights), export.format, str(exported)]
    with said.open("wb") as output, (scratch / "errors").open("wb") as errors:
        process = subprocess.Popen(command, stdout=output, stderr=errors, env=_environment(site, scratch))
        try:
            for _ in range(SECONDS * 10):
                if process.poll() is not None:
                    break
                if lease.lost:
                    raise OwnershipLost(export.id)
                if site.leaving.wait(0.1):
                    return None
            else:
                return {"reason": f"it took longer than {SECONDS} seconds"}
        finally:
            process.kill()
            process.wait()
    if process.returncode != 0:
        log.error("export_died", exit_code=process.returncode, trace=(scratch / "errors").read_text()[-2000:])
        return {"reason": f"the process that makes it ended with exit code {process.returncode}"}
    answer: dict[str, Any] = json.loads(said.read_text().splitlines()[-1])
    return answer


def _environment(site: Site, scratch: Path) -> dict[str, str]:
    """Nothing of ours but where Python is; no credentials."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "LD_LIBRARY_PATH") if name in os.environ}
    return {**kept, **trainer_environment(site.threads), "HOME": str(scratch), "PYTHONPATH": os.pathsep.join(sys.path)}
