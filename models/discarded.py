"""Objects whose rows are gone, or never came to be: named in the transaction that deletes the rows or ends the attempt,
deleted from the store after it.

Nothing that a row points at is ever deleted: which those are is looked up when no more can be added, as the owner of a
prefix that is named here has lost the right to write rows.
"""

from sqlalchemy import delete, select
from sqlalchemy.dialects import postgresql, sqlite

from models.clock import now_plus
from models.database import Database, Session
from models.storage import Storage
from models.tables import Checkpoint, Discarded, Export

GRACE_SECONDS = 3600
"""For so long an owner that does not know yet may still write: what it wrote is looked for once more after that."""


def add(session: Session, prefix: str) -> None:
    """Give up all objects whose keys begin with `prefix/` and that no row points at."""
    insert = postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert
    anew = {"discarded_at": now_plus()}
    session.execute(insert(Discarded).values(prefix=prefix).on_conflict_do_update(index_elements=["prefix"], set_=anew))


def overdue(session: Session, *, limit: int) -> list[str]:
    """Prefixes that nobody can be writing under any more, the oldest first."""
    old = Discarded.discarded_at < now_plus(-GRACE_SECONDS)
    return list(session.scalars(select(Discarded.prefix).where(old).order_by(Discarded.discarded_at).limit(limit)))


def forget(session: Session, prefix: str) -> None:
    """Unless it was given up once more meanwhile."""
    old = Discarded.discarded_at < now_plus(-GRACE_SECONDS)
    session.execute(delete(Discarded).where(Discarded.prefix == prefix, old))


def sweep(database: Database, storage: Storage, prefix: str) -> None:
    """Delete the objects of a discarded prefix that no row points at."""
    with database.read() as session:
        used = _used(session, prefix)
    for key in list(storage.keys(prefix)):
        if key not in used:
            storage.delete(key)


def _used(session: Session, prefix: str) -> set[str | None]:
    below = select(Checkpoint.weights_key, Checkpoint.state_key).where(Checkpoint.weights_key.startswith(f"{prefix}/"))
    exported = select(Export.key).where(Export.key.startswith(f"{prefix}/"))
    return {key for query in (below, exported) for row in session.execute(query) for key in row}
