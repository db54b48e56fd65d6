"""What a job's worker and trainer wrote: the newest lines of each job."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from models.ids import new_id
from models.tables import Job, LogLine

Source = Literal["worker", "trainer"]
MOST_LINES = 2000
LONGEST_LINE = 2000


@dataclass(frozen=True)
class Line:
    source: Source
    level: str
    message: str
    logged_at: datetime


def add(session: Session, job_id: str, attempt: int, lines: Iterable[Line]) -> None:
    """Keep lines of a job, and of all that it has only the newest `MOST_LINES`. A job that is gone keeps none."""
    if (
        session.scalars(select(Job.id).where(Job.id == job_id).with_for_update(key_share=True, read=True)).first()
        is None
    ):
        return
    for line in lines:
        message = line.message.replace("\0", "\ufffd").encode(errors="replace").decode()[:LONGEST_LINE]
        row = LogLine(id=new_id("log"), job_id=job_id, attempt=attempt, source=line.source, level=line.level)
        row.message, row.logged_at = message, line.logged_at
        session.add(row)
    session.flush()
    newest_first = select(LogLine.id).where(LogLine.job_id == job_id).order_by(LogLine.id.desc())
    oldest_kept = newest_first.offset(MOST_LINES - 1).limit(1).scalar_subquery()
    session.execute(
        delete(LogLine).where(LogLine.job_id == job_id, LogLine.id < oldest_kept),
        execution_options={"synchronize_session": False},
    )


def page(session: Session, job_id: str, *, source: Source | None, after: str | None, limit: int) -> list[LogLine]:
    """One more than `limit` lines, the oldest first."""
    query = select(LogLine).where(LogLine.job_id == job_id)
    if source is not None:
        query = query.where(LogLine.source == source)
    if after is not None:
        query = query.where(LogLine.id > after)
    return list(session.scalars(query.order_by(LogLine.id).limit(limit + 1)))
