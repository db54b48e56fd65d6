"""Who changed what: a row in the transaction of the change, so that neither is there without the other."""

from typing import Any

from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from models.ids import new_id
from models.tables import Audit, Table

_NEW = insert(Table.metadata.tables[Audit.__tablename__])


def record(session: Session, project_id: str, key_id: str, action: str, target: str, **data: Any) -> None:
    """Args:
    action: the operation of the API.
    target: the id of what is changed.
    data: what else is worth knowing; never a secret.
    """
    who = {"id": new_id("aud"), "project_id": project_id, "key_id": key_id}
    session.connection().execute(_NEW, {**who, "action": action, "target": target, "data": data})


def page(session: Session, project_id: str, *, after: str | None, limit: int) -> list[Audit]:
    """One more than `limit` rows, the newest first."""
    query = select(Audit).where(Audit.project_id == project_id)
    if after is not None:
        query = query.where(Audit.id < after)
    return list(session.scalars(query.order_by(Audit.id.desc()).limit(limit + 1)))
