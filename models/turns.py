"""Whose turn it is: projects take turns at the workers, and none runs more than it may."""

from collections.abc import Sequence

from sqlalchemy import Select, String, bindparam, column, exists, func, select, true, update
from sqlalchemy.orm import Session
from sqlalchemy.sql.elements import ColumnElement

from models import jobs, projects
from models.clock import now_plus
from models.jobs import Slots
from models.ownership import is_known
from models.states import OWNED, State
from models.tables import Job, Project


def claim(session: Session, *, worker_id: str, lease_seconds: float, running_jobs: int) -> Job | None:
    """Take the job whose turn it is, whichever the doorbell named: the oldest of the project that has the fewest
    running, and among those of the one that was served longest ago. A project that runs as many as it may waits, and
    so does a job that is left in peace for a while.

    Args:
        running_jobs: what a project may that has no limit of its own.
    """
    waiting = (Job.state == State.QUEUED) & is_known(Job) & jobs.is_rested()
    for project_id in _in_turn(session, waiting):
        with session.begin_nested() as turn:
            limit = projects.lock(session, project_id).running_jobs
            job = None
            if jobs.count_running(session, project_id) < (running_jobs if limit is None else limit):
                job = _claim_oldest(session, Job.project_id == project_id, waiting, worker_id, lease_seconds)
            if job is not None:
                served = update(Project).where(Project.id == project_id).values(served_at=now_plus())
                session.execute(served, execution_options={"synchronize_session": False})
                return job
            turn.rollback()  # and with it the lock
    return None


TURNS = 20
"""Projects that are looked at for one claim."""


def _in_turn(session: Session, waiting: ColumnElement[bool]) -> list[str]:
    mine = Job.project_id == Project.id
    running = select(func.count()).where(mine, Job.state.in_(OWNED)).correlate(Project).scalar_subquery()
    queued = exists().where(mine, waiting).correlate(Project)
    order = (running, Project.served_at.asc().nulls_first(), Project.id)
    return list(session.scalars(select(Project.id).where(queued).order_by(*order).limit(TURNS)))


def _claim_oldest(
    session: Session, mine: ColumnElement[bool], waiting: ColumnElement[bool], worker_id: str, lease_seconds: float
) -> Job | None:
    """Some may be cancelled or paused between the look and the claim."""
    oldest = select(Job.id).where(mine, waiting).order_by(Job.id).limit(TURNS)
    for job_id in session.scalars(oldest).all():
        job = jobs.claim(session, job_id, worker_id=worker_id, lease_seconds=lease_seconds)
        if job is not None:
            return job
    return None


TURNS_COUNTED = 100
"""Jobs of each project whose place in the queue is known: however long it is, to tell one's place takes no longer."""


def queue(session: Session, job_ids: Sequence[str], seen_within: float) -> tuple[dict[str, int], Slots]:
    """How many jobs are ahead of each of these that is queued, when projects take turns, and what all of them wait for.
    Those that have too many of their own project before them are left out."""
    values = {"job_ids": job_ids, "seen_within": seen_within}
    connection = session.connection()
    rows = connection.execute(_QUEUE[connection.dialect.name], values).all()
    return {row.id: row.ahead for row in rows if row.id is not None}, Slots(int(rows[0].all), int(rows[0].busy))


def _queue(dialect: str) -> Select[int, int, str | None, int | None]:
    first = select(Job.id).where(Job.project_id == Project.id, Job.state == State.QUEUED).correlate(Project)
    first = first.order_by(Job.id).limit(TURNS_COUNTED)
    if dialect == "postgresql":
        job = first.lateral()
        turn = func.row_number().over(partition_by=Project.id, order_by=job.c.id)
        queued = select(job.c.id, turn.label("turn"))
    else:  # the same for SQLite, which has LATERAL for functions alone, unsaid
        ids = select(func.json_group_array(first.subquery().c.id)).correlate(Project).scalar_subquery()
        job = func.json_each(ids).table_valued(column("value", String()), "key")
        queued = select(job.c.value.label("id"), job.c.key.label("turn"))
    numbered = queued.select_from(Project).join(job, true()).subquery()
    ahead = (func.row_number().over(order_by=(numbered.c.turn, numbered.c.id)) - 1).label("ahead")
    queue, slots = select(numbered.c.id, ahead).subquery(), jobs.SLOTS.subquery()
    asked = queue.c.id.in_(bindparam("job_ids", expanding=True))
    return select(slots.c.all, slots.c.busy, queue.c.id, queue.c.ahead).select_from(slots.outerjoin(queue, asked))


_QUEUE = {dialect: _queue(dialect) for dialect in ("postgresql", "sqlite")}
