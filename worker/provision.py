"""What an attempt needs, brought to this machine: its data, and the weights that it begins with or goes on from."""

from pathlib import Path

import structlog

from models import checkpoints, datasets, metrics
from models.database import Session
from models.storage import Damaged, NotThere, get_file
from models.tables import Checkpoint, Job
from worker import cache
from worker.order import Order
from worker.site import Site

log = structlog.get_logger()


class StartLost(Exception):
    """The checkpoint of this id cannot be read."""


def provide(site: Site, job: Job, scratch: Path, look: cache.Look) -> tuple[cache.Packed, Order]:
    """Bring data and the newest sound checkpoint.

    Args:
        look: called all the while; raises what ends the fetching.

    Raises:
        NotThere, Damaged: of the data set.
        StartLost: of what the job has to begin with.
    """
    with site.database.read() as session:
        dataset = datasets.find(session, job.dataset_id)
        saved = _to_go_on_from(session, job)
    assert dataset is not None, "a job holds its data set by a foreign key"
    packed = cache.packed(site, dataset, scratch, look)
    resume = next((checkpoint for checkpoint in saved if _fetch(site, job, checkpoint, scratch, look)), None)
    if resume is None and job.verifies is not None:
        raise StartLost(job.verifies["checkpoint"])
    start = _fetch_start(site, job, scratch, look) if resume is None else None
    step = 0 if resume is None else resume.step
    site.write(lambda session: metrics.drop_after(session, job.id, job.attempt, step))
    order = Order(
        spec=job.resolved_spec,
        packed=str(packed.folder),
        scratch=str(scratch),
        threads=_threads(site, job),
        start_weights=start,
        resume_weights=None if resume is None else str(scratch / "resume.safetensors"),
        resume_state=None if resume is None else str(scratch / "resume.state.safetensors"),
    )
    return packed, order


def _to_go_on_from(session: Session, job: Job) -> list[Checkpoint]:
    if job.verifies is None:
        return checkpoints.to_resume_from(session, job.id)
    start = checkpoints.find(session, job.verifies["checkpoint"])
    assert start is not None, "a job holds the checkpoint that it starts from"
    return [start] if start.quarantined_at is None and start.state_key is not None else []


def _threads(site: Site, job: Job) -> int:
    """The thread count is part of a run: whoever goes on with it computes with as many as whoever began it."""
    begun_with = (job.environment or job.verifies or {}).get("threads")
    return int(begun_with) if begun_with is not None else site.threads


def _fetch_start(site: Site, job: Job, scratch: Path, look: cache.Look) -> str | None:
    """Bring the weights that the job starts from, if it starts from any.

    Raises:
        StartLost: they are not what they were when the job was made, and are never served again.
    """
    start = job.resolved_spec.get("warm_start")
    if start is None:
        return None
    checkpoint_id, weights = start["checkpoint"], scratch / "start.safetensors"
    with site.database.read() as session:
        checkpoint = checkpoints.find(session, checkpoint_id)
    assert checkpoint is not None, "a job holds the checkpoint that it starts from"
    try:
        get_file(site.storage, checkpoint.weights_key, weights, start["sha256"], look)
    except (Damaged, NotThere) as error:
        log.error("start_lost", checkpoint=checkpoint_id, reason=type(error).__name__)
        site.write(lambda session: checkpoints.withdraw(session, checkpoint_id))
        raise StartLost(checkpoint_id) from error
    return str(weights)


def _fetch(site: Site, job: Job, checkpoint: Checkpoint, scratch: Path, look: cache.Look) -> bool:
    """Whether a checkpoint is here now, whole. One that is damaged is never looked at again."""
    assert checkpoint.state_key is not None
    assert checkpoint.state_sha256 is not None
    weights, state = scratch / "resume.safetensors", scratch / "resume.state.safetensors"
    try:
        get_file(site.storage, checkpoint.weights_key, weights, checkpoint.weights_sha256, look)
        get_file(site.storage, checkpoint.state_key, state, checkpoint.state_sha256, look)
    except (Damaged, NotThere) as error:
        log.error("checkpoint_quarantined", checkpoint=checkpoint.id, reason=type(error).__name__)
        site.write(lambda session: checkpoints.quarantine(session, job.id, job.attempt, checkpoint.id))
        return False
    return True
