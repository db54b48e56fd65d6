"""Saved networks: rows that point at immutable, hashed objects.

The objects come first (`storage.py`), the row after them and fenced by the attempt; so a row that is there can be
trusted, and an object without a row is litter that nobody can see.
"""

from dataclasses import dataclass

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from models import discarded, jobs, usage
from models.clock import now_plus
from models.ids import new_id
from models.tables import Checkpoint, Export, Held, Json

RESUMABLE = 2
"""Checkpoints per job that keep what a resume needs: the newest, and one before it in case its bytes turn out
damaged."""


@dataclass(frozen=True)
class Saved:
    """A checkpoint whose objects are in the store."""

    kind: str
    step: int
    epoch: int
    is_best: bool
    metrics: Json
    weights_key: str
    weights_sha256: str
    weights_bytes: int
    state_key: str | None
    state_sha256: str | None


def weights_key(job_id: str, attempt: int, step: int, kind: str) -> str:
    """The attempt is part of the name: two owners of one job can never write the same object."""
    return f"{jobs.attempt_prefix(job_id, attempt)}/step-{step:09d}-{kind}.safetensors"


def state_key(job_id: str, attempt: int, step: int, kind: str) -> str:
    return f"{jobs.attempt_prefix(job_id, attempt)}/step-{step:09d}-{kind}.state.safetensors"


def record(session: Session, job_id: str, attempt: int, saved: Saved) -> Checkpoint:
    """Make a checkpoint visible. Doing it again changes nothing."""
    there = select(Checkpoint).where(
        Checkpoint.job_id == job_id, Checkpoint.attempt == attempt, Checkpoint.weights_key == saved.weights_key
    )
    known = session.scalars(there).one_or_none()
    if known is not None:
        return known
    job = jobs.add_event(
        session,
        job_id,
        attempt,
        "checkpoint.created",
        {"step": saved.step, "epoch": saved.epoch, "kind": saved.kind, "is_best": saved.is_best},
        fruitless_attempts=0,
    )
    if saved.is_best:
        session.execute(update(Checkpoint).where(Checkpoint.job_id == job_id).values(is_best=False))
    checkpoint = Checkpoint(
        id=new_id("ckpt"),
        job_id=job_id,
        project_id=job.project_id,
        attempt=attempt,
        **{name: getattr(saved, name) for name in saved.__dataclass_fields__},
    )
    session.add(checkpoint)
    session.flush()
    usage.weigh(session, job.project_id, saved.weights_bytes)
    return checkpoint


def prune(session: Session, job_id: str, attempt: int, *, keep_last: int) -> list[str]:
    """Drop what the spec does not ask to keep and no other job starts from. Returns the keys of objects to delete once
    this is committed; should that not come to pass, they are looked for later."""
    job = jobs.fence(session, job_id, attempt)
    newest_first = _usable(session, job_id)
    held = _held(session, [checkpoint.id for checkpoint in newest_first])
    keys, dropped = [], 0
    for position, checkpoint in enumerate(newest_first):
        if position >= RESUMABLE and checkpoint.state_key is not None:
            keys.append(checkpoint.state_key)
            checkpoint.state_key = checkpoint.state_sha256 = None
        if position >= max(keep_last, RESUMABLE) and not checkpoint.is_best and checkpoint.id not in held:
            keys.append(checkpoint.weights_key)
            forms = session.scalars(select(Export.key).where(Export.checkpoint_id == checkpoint.id))
            keys += [key for key in forms if key is not None]
            session.delete(checkpoint)
            dropped += checkpoint.weights_bytes
    if dropped:
        usage.weigh(session, job.project_id, -dropped)
    own = jobs.attempt_prefix(job_id, attempt)
    for prefix in {key.rpartition("/")[0] for key in keys} - {own}:
        discarded.add(session, prefix)
    return keys


def _held(session: Session, checkpoint_ids: list[str]) -> set[str]:
    """Those of these that jobs start from. They are locked first: a job that is being created holds its row by a
    foreign key, and is seen once it is there."""
    session.execute(select(Checkpoint.id).where(Checkpoint.id.in_(checkpoint_ids)).with_for_update())
    return set(session.scalars(select(Held.checkpoint_id).where(Held.checkpoint_id.in_(checkpoint_ids))))


def to_resume_from(session: Session, job_id: str) -> list[Checkpoint]:
    """Checkpoints a new attempt can start from, the newest first."""
    return [checkpoint for checkpoint in _usable(session, job_id) if checkpoint.state_key is not None]


def to_replay(session: Session, job_id: str) -> tuple[Checkpoint, Checkpoint] | None:
    """The newest checkpoint and the newest one before it that a run can go on from; None where there are no such."""
    newest_first = _usable(session, job_id)
    before = [one for one in newest_first if one.state_key is not None and one.step < newest_first[0].step]
    return (before[0], newest_first[0]) if before else None


def quarantine(session: Session, job_id: str, attempt: int, checkpoint_id: str) -> None:
    """Its bytes are not what was written: never serve it, never resume from it."""
    jobs.add_event(session, job_id, attempt, "checkpoint.quarantined", {"checkpoint": checkpoint_id})
    session.execute(update(Checkpoint).where(Checkpoint.id == checkpoint_id).values(quarantined_at=now_plus()))


def withdraw(session: Session, checkpoint_id: str) -> None:
    """The same, found out by a reader, who owns nothing."""
    session.execute(update(Checkpoint).where(Checkpoint.id == checkpoint_id).values(quarantined_at=now_plus()))


def of_job(session: Session, job_id: str) -> list[Checkpoint]:
    """Oldest first."""
    return _usable(session, job_id)[::-1]


def last(session: Session, job_id: str) -> Checkpoint | None:
    return next(iter(_usable(session, job_id)), None)


def best(session: Session, job_id: str) -> Checkpoint | None:
    return next((checkpoint for checkpoint in _usable(session, job_id) if checkpoint.is_best), None)


def get(session: Session, project_id: str, checkpoint_id: str) -> Checkpoint | None:
    query = select(Checkpoint).where(
        Checkpoint.id == checkpoint_id, Checkpoint.project_id == project_id, Checkpoint.quarantined_at.is_(None)
    )
    return session.scalars(query).one_or_none()


def find(session: Session, checkpoint_id: str) -> Checkpoint | None:
    """For workers, which serve every project."""
    return session.get(Checkpoint, checkpoint_id)


def _usable(session: Session, job_id: str) -> list[Checkpoint]:
    query = (
        select(Checkpoint)
        .where(Checkpoint.job_id == job_id, Checkpoint.quarantined_at.is_(None))
        .order_by(Checkpoint.step.desc(), Checkpoint.id.desc())
    )
    return list(session.scalars(query))
