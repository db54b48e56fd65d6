"""Who may write: the one mechanism by which a worker owns a job, a data set, an export or a preview.

A claim raises the row's `attempt` and sets a lease on the database's clock. Whoever writes afterwards names its
attempt, and the row answers only while it still has that number and a state that is owned. So a worker that was
thought dead, and is not, can do no harm.
"""

from collections.abc import Iterable
from enum import StrEnum
from typing import Any, TypeVar

from sqlalchemy import select, update
from sqlalchemy.orm import Session
from sqlalchemy.sql.elements import ColumnElement

from models.clock import now_plus
from models.formats import FORMAT
from models.tables import Dataset, Export, Job, Preview

Row = TypeVar("Row", Job, Dataset, Export, Preview)


class OwnershipLost(Exception):
    """The row belongs to another attempt by now, or to nobody: stop at once and write nothing more."""


def change(session: Session, table: type[Row], *conditions: ColumnElement[bool], **values: Any) -> Row | None:
    """Compare and set: change the one row that meets the conditions and return it as it is now; None if there is
    none."""
    statement = update(table).where(*conditions).values(version=table.version + 1, **values).returning(table)
    return session.scalars(
        statement, execution_options={"synchronize_session": False, "populate_existing": True}
    ).one_or_none()


def owned_by(table: type[Row], row_id: str, attempt: int, states: Iterable[StrEnum]) -> ColumnElement[bool]:
    """The fence: what every write of an owner has in its WHERE."""
    return (table.id == row_id) & (table.attempt == attempt) & table.state.in_(list(states))


def taken(table: type[Row], worker_id: str, lease_seconds: float) -> dict[str, Any]:
    """The values by which a claim takes a row. What its owner writes from now on is of our format."""
    lease = now_plus(lease_seconds)
    return {"attempt": table.attempt + 1, "worker_id": worker_id, "lease_until": lease, "format_version": FORMAT}


def is_known(table: type[Row]) -> ColumnElement[bool]:
    """Whether this release can read all that belongs to a row: else it waits for a worker that can."""
    return table.format_version <= FORMAT


def left(**values: Any) -> dict[str, Any]:
    """The values by which a row stops being owned."""
    return {"worker_id": None, "lease_until": None, **values}


def beat(
    session: Session, table: type[Row], row_id: str, attempt: int, states: Iterable[StrEnum], lease_seconds: float
) -> Row:
    """Renew a lease. Nothing a reader could see changes, so the version stays."""
    statement = (
        update(table)
        .where(owned_by(table, row_id, attempt, states))
        .values(lease_until=now_plus(lease_seconds))
        .returning(table)
    )
    row = session.scalars(
        statement, execution_options={"synchronize_session": False, "populate_existing": True}
    ).one_or_none()
    if row is None:
        raise OwnershipLost(row_id)
    return row


def expired(session: Session, table: type[Row], states: Iterable[StrEnum], limit: int) -> list[Row]:
    """Rows whose owner has fallen silent for longer than its lease."""
    query = (
        select(table)
        .where(table.state.in_(list(states)), table.lease_until < now_plus())
        .order_by(table.id)
        .limit(limit)
    )
    return list(session.scalars(query))


def unheard(
    session: Session, table: type[Row], state: StrEnum, older_than: float, limit: int, *conditions: ColumnElement[bool]
) -> list[str]:
    """Waiting rows that no worker was told about lately, oldest first; they count as told from now on."""
    old = table.rung_at.is_(None) | (table.rung_at < now_plus(-older_than))
    ripe = (table.state == state, is_known(table), old, *conditions)
    waiting = select(table.id).where(*ripe).order_by(table.id).limit(limit)
    statement = update(table).where(table.id.in_(waiting)).values(rung_at=now_plus()).returning(table.id)
    return sorted(session.scalars(statement, execution_options={"synchronize_session": False}))
