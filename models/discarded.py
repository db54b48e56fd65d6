"""Objects whose rows are gone: named in the transaction that deletes the rows, deleted from the store after it."""

from sqlalchemy import delete, select
from sqlalchemy.dialects import postgresql, sqlite

from models.clock import now_plus
from models.database import Database, Session
from models.storage import Storage
from models.tables import Checkpoint, Discarded

GRACE_SECONDS = 3600
"""For so long an owner that does not know yet may still write: what it wrote is looked for once more after that."""


def add(session: Session, prefix: str) -> None:
    """Give up all objects whose keys begin with `prefix/`."""
    insert = postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert
    session.execute(insert(Discarded).values(prefix=prefix).on_conflict_do_nothing())


def overdue(session: Session, *, limit: int) -> list[str]:
    """Prefixes that nobody can be writing under any more, the oldest first."""
    old = Discarded.discarded_at < now_plus(-GRACE_SECONDS)
    return list(session.scalars(select(Discarded.prefix).where(old).order_by(Discarded.discarded_at).limit(limit)))


def forget(session: Session, prefix: str) -> None:
    session.execute(delete(Discarded).where(Discarded.prefix == prefix))


def sweep(database: Database, storage: Storage, prefix: str) -> None:
    """Delete the objects of a discarded prefix that no row points at."""
    with database.read() as session:
        used = _used(session, prefix)
    for key in list(storage.keys(prefix)):
        if key not in used:
            storage.delete(key)


def _used(session: Session, prefix: str) -> set[str | None]:
    below = select(Checkpoint.weights_key, Checkpoint.state_key).where(Checkpoint.weights_key.startswith(f"{prefix}/"))
    return {key for row in session.execute(below) for key in row}
