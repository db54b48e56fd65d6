"""What projects use: time of devices, by calendar month, and room in the store."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Select, bindparam, case, func, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from models.clock import now_plus
from models.states import TERMINAL, State
from models.tables import Attempt, Dataset, Job, Project, UploadPart, Usage


class Room(NamedTuple):
    """What a project has and what it may; None where it has no limit of its own."""

    active_jobs: int
    stored_bytes: int
    """Uploads, whole or in parts, their packed forms and the weights of checkpoints."""
    active_limit: int | None
    stored_limit: int | None


def _room() -> Select[int, int, int | None, int | None]:
    active = Job.state.in_(set(State) - TERMINAL)
    count = select(func.count()).select_from(Job).where(Job.project_id == Project.id, active).correlate(Project)
    whole = case((Dataset.upload_key.is_not(None), func.coalesce(Dataset.upload_bytes, 0)), else_=0)
    data = whole + func.coalesce(Dataset.packed_bytes, 0)
    of_data = select(func.coalesce(func.sum(data), 0)).where(Dataset.project_id == Project.id).correlate(Project)
    of_parts = select(func.coalesce(func.sum(UploadPart.bytes), 0)).join(Dataset)
    of_parts = of_parts.where(Dataset.project_id == Project.id).correlate(Project)
    stored = Project.weights_bytes + of_data.scalar_subquery() + of_parts.scalar_subquery()
    return select(count.scalar_subquery(), stored, Project.active_jobs, Project.storage_bytes).where(
        Project.id == bindparam("project_id")
    )


_ROOM = _room()


def room(session: Session, project_id: str) -> Room:
    active, stored, active_limit, stored_limit = session.connection().execute(_ROOM, {"project_id": project_id}).one()
    return Room(active, int(stored), active_limit, stored_limit)


def storage_bytes(session: Session, project_id: str) -> int:
    return room(session, project_id).stored_bytes


def weigh(session: Session, project_id: str, more_bytes: int) -> None:
    """So much more is stored as weights, or less."""
    total = Project.weights_bytes + more_bytes
    statement = update(Project).where(Project.id == project_id).values(weights_bytes=total)
    session.execute(statement, execution_options={"synchronize_session": False})


def charge(session: Session, project_id: str, begun: datetime, ended: datetime) -> None:
    """Count the time of an attempt that has ended, each month its part."""
    for month, seconds in by_month(begun, ended):
        _add(session, project_id, month, seconds, storage_bytes(session, project_id))


def note_storage(session: Session, project_id: str) -> None:
    """Remember the most that was ever stored in this month."""
    now = session.scalars(select(now_plus())).one()
    _add(session, project_id, _month(now), 0.0, storage_bytes(session, project_id))


def of_month(session: Session, project_id: str, month: str) -> tuple[float, int]:
    """Device seconds, those of attempts that are still on their way among them, and the most bytes stored."""
    row = session.get(Usage, (project_id, month))
    seconds, peak = (row.device_seconds, row.peak_storage_bytes) if row is not None else (0.0, 0)
    under_way = (
        select(Attempt.claimed_at, now_plus())
        .join(Job, Job.id == Attempt.job_id)
        .where(Job.project_id == project_id, Attempt.ended_at.is_(None))
    )
    for begun, now in session.execute(under_way):
        seconds += sum(part for name, part in by_month(begun, now) if name == month)
    return seconds, peak


def of_jobs(session: Session, job_ids: Sequence[str]) -> dict[str, float]:
    """Device seconds of each job: of attempts that have ended, so that they change only when the job does."""
    seconds = dict.fromkeys(job_ids, 0.0)
    if seconds:
        attempts = select(Attempt.job_id, Attempt.claimed_at, Attempt.ended_at).where(Attempt.job_id.in_(job_ids))
        for job_id, begun, ended in session.execute(attempts):
            seconds[job_id] += 0.0 if ended is None else (ended - begun).total_seconds()
    return seconds


def current_month(session: Session) -> str:
    return _month(session.scalars(select(now_plus())).one())


def by_month(begun: datetime, ended: datetime) -> Iterator[tuple[str, float]]:
    """The calendar months of a span of time, and the seconds of each."""
    while begun < ended:
        first = begun.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        following = first.replace(year=first.year + first.month // 12, month=first.month % 12 + 1)
        yield _month(begun), (min(following, ended) - begun).total_seconds()
        begun = following


def _month(moment: datetime) -> str:
    return f"{moment:%Y-%m}"


def _add(session: Session, project_id: str, month: str, seconds: float, stored: int) -> None:
    on_postgres = session.get_bind().dialect.name == "postgresql"
    new = (postgresql.insert if on_postgres else sqlite.insert)(Usage).values(
        project_id=project_id, month=month, device_seconds=seconds, peak_storage_bytes=stored
    )
    greatest = func.greatest if on_postgres else func.max
    session.execute(
        new.on_conflict_do_update(
            index_elements=["project_id", "month"],
            set_={
                "device_seconds": Usage.device_seconds + new.excluded.device_seconds,
                "peak_storage_bytes": greatest(Usage.peak_storage_bytes, new.excluded.peak_storage_bytes),
            },
        )
    )
