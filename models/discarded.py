"""Objects whose rows are gone, or never came to be: named in the transaction that deletes the rows or ends the attempt,
deleted from the store after it. Uploads are named before their first byte, so that who dies on the way forgets none.

Nothing that a row points at is ever deleted: which those are is looked up when no more can be added, as the owner of a
prefix that is named here has lost the right to write rows.
"""

from sqlalchemy import delete, func, select
from sqlalchemy.dialects import postgresql, sqlite

from models.clock import now_plus
from models.database import Database, Session
from models.storage import Storage
from models.tables import Checkpoint, Dataset, Discarded, Export, UploadPart

GRACE_SECONDS = 3600
"""For so long an owner that does not know yet may still write: what it wrote is looked for once more after that."""


def add(session: Session, prefix: str, *, after_seconds: float = 0) -> None:
    """Give up the object `prefix` and all whose keys begin with `prefix/`, if no row points at them.

    Args:
        after_seconds: how long from now they may still be written. Who dies meanwhile leaves nothing; who does not
            calls `keep` in the transaction of their row.
    """
    insert = postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert
    at = {"discarded_at": now_plus(after_seconds)}
    statement = insert(Discarded).values(prefix=prefix, **at)
    session.execute(statement.on_conflict_do_update(index_elements=["prefix"], set_=at))


def keep(session: Session, prefix: str) -> bool:
    """Take back what was given up in advance; False if it is too late, and a collector may be at it."""
    ahead = delete(Discarded).where(Discarded.prefix == prefix, Discarded.discarded_at > now_plus())
    return session.execute(ahead.returning(Discarded.prefix)).first() is not None


def ahead(session: Session, beginning: str) -> int:
    """How much of what begins so was given up in advance: it may still be written."""
    of_these = Discarded.prefix.startswith(beginning, autoescape=True) & (Discarded.discarded_at > now_plus())
    return session.scalars(select(func.count()).where(of_these)).one()


def below(session: Session, prefix: str, *, limit: int = 100) -> list[str]:
    """What is given up by now of what begins with `prefix/`, the latest first."""
    given_up = Discarded.prefix.startswith(f"{prefix}/", autoescape=True) & (Discarded.discarded_at <= now_plus())
    query = select(Discarded.prefix).where(given_up).order_by(Discarded.discarded_at.desc())
    return list(session.scalars(query.limit(limit)))


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
    storage.end_writers(prefix)
    for key in [prefix, *storage.keys(prefix)]:
        if key not in used:
            storage.delete(key)


def _used(session: Session, prefix: str) -> set[str | None]:
    below = f"{prefix}/"
    queries = (
        select(Checkpoint.weights_key, Checkpoint.state_key).where(Checkpoint.weights_key.startswith(below)),
        select(Export.key).where(Export.key.startswith(below)),
        select(Dataset.upload_key).where((Dataset.upload_key == prefix) | Dataset.upload_key.startswith(below)),
        select(UploadPart.key).where((UploadPart.key == prefix) | UploadPart.key.startswith(below)),
    )
    return {key for query in queries for row in session.execute(query) for key in row}
