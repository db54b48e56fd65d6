"""Answers kept for `Idempotency-Key`: the key is taken in the transaction of the work, so work and answer are there
together or not at all."""

from dataclasses import dataclass
from typing import Any

from psycopg.errors import LockNotAvailable
from sqlalchemy import String, bindparam, delete, func, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session
from sqlalchemy.sql.elements import ColumnElement

from models.clock import now_plus
from models.tables import IdempotentReply, Json, Table


@dataclass(frozen=True)
class Reply:
    status: int
    headers: Json
    body: Json


class KeyReused(Exception):
    """The key was used before with another body."""


class InFlight(Exception):
    """The first request with this key has not ended yet."""


PATIENCE_SECONDS = 5


def take(session: Session, api_key_id: str, key: str, fingerprint: str) -> Reply | None:
    """Take a key for new work (None), or find the answer it has had.

    Whoever comes second waits for the first one's transaction, and then finds its answer.

    Raises:
        KeyReused: same key, other request.
        InFlight: the first one takes longer than anybody wants to wait.
    """
    if _insert(session, api_key_id, key, fingerprint):
        return None
    row = session.scalars(select(IdempotentReply).where(_is(api_key_id, key))).one()
    if row.fingerprint != fingerprint:
        raise KeyReused
    assert row.status is not None, "a key is committed together with its answer"
    return Reply(row.status, row.headers or {}, row.body or {})


_PATIENCE = select(func.set_config("lock_timeout", bindparam("patience"), True)).cte("patience")
_NEW: dict[str, ColumnElement[Any]] = {
    "api_key_id": bindparam("api_key_id", type_=String()),
    "key": bindparam("key", type_=String()),
    "fingerprint": bindparam("fingerprint", type_=String()),
    "created_at": now_plus(),
}
_REPLIES = Table.metadata.tables[IdempotentReply.__tablename__]
_INSERT = {
    "sqlite": sqlite.insert(_REPLIES).values(_NEW).on_conflict_do_nothing().returning(_REPLIES.c.key),
    "postgresql": postgresql.insert(_REPLIES)
    .from_select(list(_NEW), select(*_NEW.values()).select_from(_PATIENCE))
    .on_conflict_do_nothing()
    .returning(_REPLIES.c.key),
}
"""On Postgres the patience is set first, in the same statement: it is a row of what is inserted from."""


def _insert(session: Session, api_key_id: str, key: str, fingerprint: str) -> bool:
    dialect = session.get_bind().dialect.name
    values = {"api_key_id": api_key_id, "key": key, "fingerprint": fingerprint}
    if dialect == "postgresql":
        values["patience"] = f"{PATIENCE_SECONDS}s"
    try:
        return session.connection().execute(_INSERT[dialect], values).first() is not None
    except OperationalError as error:
        if isinstance(error.orig, LockNotAvailable):
            raise InFlight from None
        raise


_ANSWER = (
    update(_REPLIES)
    .where(_REPLIES.c.api_key_id == bindparam("of"), _REPLIES.c.key == bindparam("under"))
    .values(status=bindparam("status"), headers=bindparam("headers"), body=bindparam("body"))
)


def answer(session: Session, api_key_id: str, key: str, reply: Reply) -> None:
    values = {"of": api_key_id, "under": key, "status": reply.status, "headers": reply.headers, "body": reply.body}
    session.connection().execute(_ANSWER, values)


def forget_old(session: Session, hours: float) -> None:
    session.execute(delete(IdempotentReply).where(IdempotentReply.created_at < now_plus(-hours * 3600)))


def _is(api_key_id: str, key: str) -> ColumnElement[bool]:
    return (IdempotentReply.api_key_id == api_key_id) & (IdempotentReply.key == key)
