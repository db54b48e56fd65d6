"""Which run of an MLflow server tells of which job, and how much has been told.

The rows of jobs and their events are all there is to tell, so what was missed in an outage is told later. Whoever tells
of a job holds its row for a while, so that no two make a run for it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import or_, select, update
from sqlalchemy.orm import Session

from models.clock import now_plus
from models.tables import Event, Job, MlflowRun

MOST_EPOCHS = 500
"""Told in one go."""


class HoldLost(Exception):
    """Somebody else tells of this job by now."""


@dataclass(frozen=True)
class Untold:
    """A job of which something is to be told, as it was when its row was taken."""

    job: Job
    run: MlflowRun
    epochs: Sequence[Event]
    """Ends of epochs, each once: a second attempt may have trained some again."""
    has_more: bool
    """Whether others come after these."""


def want(session: Session, job: Job) -> None:
    """Tell of this job from now on. In the transaction that claims it, so that no job is forgotten."""
    if session.get(MlflowRun, job.id) is None:
        session.add(MlflowRun(job_id=job.id))


def take(session: Session, holder: str, seconds: float, *, passing_over: Sequence[str] = ()) -> Untold | None:
    """A job of which not all is told and that nobody holds: it is this holder's for a while."""
    free = or_(MlflowRun.held_until.is_(None), MlflowRun.held_until < now_plus())
    behind = MlflowRun.told_version.is_distinct_from(Job.version)
    waiting = select(MlflowRun.job_id).join(Job, Job.id == MlflowRun.job_id).where(behind, free)
    waiting = waiting.where(MlflowRun.job_id.not_in(passing_over)).order_by(MlflowRun.job_id).limit(1)
    for job_id in session.scalars(waiting).all():
        held = {"holder": holder, "held_until": now_plus(seconds)}
        run = _change(session, (MlflowRun.job_id == job_id) & free, **held)
        if run is not None:
            return _untold(session, run)
    return None


def _untold(session: Session, run: MlflowRun) -> Untold:
    ends = select(Event).where(Event.job_id == run.job_id, Event.type == "epoch.completed")
    ends = ends.where(Event.sequence > run.told_sequence).order_by(Event.sequence).limit(MOST_EPOCHS)
    events = session.scalars(ends).all()
    once, epoch = [], run.told_epoch
    for event in events:
        if event.data["epoch"] > epoch:
            once.append(event)
            epoch = event.data["epoch"]
    return Untold(session.get_one(Job, run.job_id), run, once, len(events) == MOST_EPOCHS)


def note(session: Session, job_id: str, holder: str, seconds: float | None, **values: Any) -> None:
    """Remember what was told, and hold the row for some more seconds, or let go of it.

    Raises:
        HoldLost: it took too long, and somebody else has taken over.
    """
    held = {"held_until": None, "holder": None} if seconds is None else {"held_until": now_plus(seconds)}
    mine = (MlflowRun.job_id == job_id) & (MlflowRun.holder == holder)
    if _change(session, mine, **held, **values) is None:
        raise HoldLost(job_id)


def _change(session: Session, condition: Any, **values: Any) -> MlflowRun | None:
    statement = update(MlflowRun).where(condition).values(**values).returning(MlflowRun)
    options = {"synchronize_session": False, "populate_existing": True}
    return session.scalars(statement, execution_options=options).one_or_none()
