"""Answers kept for `Idempotency-Key`: the key is taken in the transaction of the work, so work and answer are there
together or not at all."""

from dataclasses import dataclass

from psycopg.errors import LockNotAvailable
from sqlalchemy import delete, select, text, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session
from sqlalchemy.sql.elements import ColumnElement

from models.clock import now_plus
from models.tables import IdempotentReply, Json


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


def _insert(session: Session, api_key_id: str, key: str, fingerprint: str) -> bool:
    on_postgres = session.get_bind().dialect.name == "postgresql"
    insert = postgresql.insert if on_postgres else sqlite.insert
    statement = insert(IdempotentReply).values(api_key_id=api_key_id, key=key, fingerprint=fingerprint)
    if on_postgres:
        session.execute(text(f"SET LOCAL lock_timeout = '{PATIENCE_SECONDS}s'"))
    try:
        return session.execute(statement.on_conflict_do_nothing().returning(IdempotentReply.key)).first() is not None
    except OperationalError as error:
        if isinstance(error.orig, LockNotAvailable):
            raise InFlight from None
        raise


def answer(session: Session, api_key_id: str, key: str, reply: Reply) -> None:
    session.execute(
        update(IdempotentReply)
        .where(_is(api_key_id, key))
        .values(status=reply.status, headers=reply.headers, body=reply.body)
    )


def forget_old(session: Session, hours: float) -> None:
    session.execute(delete(IdempotentReply).where(IdempotentReply.created_at < now_plus(-hours * 3600)))


def _is(api_key_id: str, key: str) -> ColumnElement[bool]:
    return (IdempotentReply.api_key_id == api_key_id) & (IdempotentReply.key == key)
