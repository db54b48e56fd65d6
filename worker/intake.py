"""One upload, from the claim to a packed data set: the supervisor of an ingest."""

from dataclasses import asdict
from pathlib import Path

import structlog

from models import datasets, storage
from models.ownership import OwnershipLost
from models.settings import Settings
from models.spec.manifest import Manifest
from models.storage import Damaged, NotThere, get_joined, put_file
from models.tables import Dataset
from worker import cache
from worker.ingest import IngestError, Limits, Progress
from worker.ingest.sandbox import run_sandboxed
from worker.lease import Lease
from worker.site import Site

log = structlog.get_logger()


def run_ingest(site: Site, dataset_id: str) -> None:
    """Claim an uploaded data set, decode it in a sandboxed process, put the packed form into the store."""
    with site.database.write() as session:
        dataset = datasets.claim(session, dataset_id, worker_id=site.id, lease_seconds=site.settings.lease_seconds)
    if dataset is None:
        return
    with structlog.contextvars.bound_contextvars(dataset=dataset.id, attempt=dataset.attempt):
        log.info("ingest_claimed")
        try:
            with site.scratch(f"{dataset.id}-{dataset.attempt}") as scratch:
                _take_in(site, dataset, scratch)
        except OwnershipLost:
            log.warning("ingest_ownership_lost")


class _Interrupted(Exception):
    """Somebody else, or somebody later, is to take it in."""


def _take_in(site: Site, dataset: Dataset, scratch: Path) -> None:
    owned = (dataset.id, dataset.attempt)
    settings = site.settings

    def beat() -> None:
        site.write(lambda session: datasets.beat(session, *owned, settings.lease_seconds), seconds=0)

    with Lease(
        beat, heartbeat=settings.heartbeat_seconds, lease_seconds=settings.lease_seconds, on_lost=lambda: None
    ) as lease:
        try:
            manifest, content_sha256 = _decode(site, dataset, scratch, lease)
        except (Damaged, NotThere):
            failure = {"code": "upload_damaged", "detail": "the stored upload is missing or damaged: upload it again"}
            site.write(lambda session: datasets.fail(session, *owned, failure))
        except storage.OUTAGES as error:
            log.warning("ingest_put_off", error=type(error).__name__)
            site.write(lambda session: datasets.release(session, *owned, soon=False))
        except OSError as error:
            if not storage.is_full(error):
                raise
            failure = {"code": "storage_full", "detail": "there is no room left for the packed form: upload it again"}
            site.write(lambda session: datasets.fail(session, *owned, failure))
        except _Interrupted:
            site.write(lambda session: datasets.release(session, *owned))
        except IngestError as error:
            if site.leaving.is_set() or lease.lost:
                site.write(lambda session: datasets.release(session, *owned))
                return
            log.info("ingest_refused", code=error.code)
            skipped = [entry.model_dump() for entry in error.skipped]
            where = {"entry": error.entry, "row": error.row, "skipped": skipped}
            refusal = {"code": error.code, "detail": error.detail, **where}
            site.write(lambda session: datasets.fail(session, *owned, refusal))
        else:
            site.write(
                lambda session: datasets.ready(
                    session, *owned, manifest=manifest.model_dump(mode="json"), content_sha256=content_sha256
                )
            )
            cache.keep(scratch / "packed", cache.cached(site, content_sha256))
            cache.make_room(site)
            log.info("ingest_ready")


def _decode(site: Site, dataset: Dataset, scratch: Path, lease: Lease) -> tuple[Manifest, str]:
    assert dataset.upload_sha256 is not None
    assert dataset.filename is not None
    upload, packed = scratch / "upload", scratch / "packed"

    def look() -> None:
        if lease.lost or site.leaving.is_set():
            raise _Interrupted

    with site.database.read() as session:
        keys = datasets.upload_keys(session, dataset)
    cache.make_room(site, dataset.upload_bytes or 0)
    get_joined(site.storage, keys, upload, dataset.upload_sha256, look)

    def report(progress: Progress) -> None:
        cache.make_room(site)  # nobody knows how large it will be
        content = asdict(progress)
        site.write(lambda session: datasets.report_progress(session, dataset.id, dataset.attempt, content))

    manifest = run_sandboxed(
        upload,
        packed,
        filename=dataset.filename,
        limits=limits_of(site.settings),
        on_progress=report,
        should_stop=lambda: lease.lost or site.leaving.is_set(),
    )
    content_sha256 = cache.sha256_of(packed / "manifest.json")
    prefix = datasets.packed_prefix(dataset.id, content_sha256)
    for file in cache.files_of(manifest):
        if put_file(site.storage, f"{prefix}/{file.path}", packed / file.path, look).sha256 != file.sha256:
            raise Damaged(file.path)
    put_file(site.storage, f"{prefix}/manifest.json", packed / "manifest.json")
    return manifest, content_sha256


def limits_of(settings: Settings) -> Limits:
    """The limits that an operator can set, beside those that nobody needs to."""
    return Limits(
        upload_bytes=settings.upload_max_bytes,
        wall_seconds=settings.ingest_seconds,
        memory_bytes=settings.ingest_memory_bytes,
        packed_bytes=settings.ingest_packed_bytes,
        ratio=settings.ingest_ratio,
        entries=settings.ingest_entries,
        entry_bytes=settings.ingest_entry_bytes,
        image_pixels=settings.ingest_image_pixels,
        columns=settings.ingest_columns,
        cell_bytes=settings.ingest_cell_bytes,
        vocabulary=settings.ingest_vocabulary,
    )
