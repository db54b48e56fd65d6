"""Browsers that are signed in. A browser holds a random token in a cookie that no script can read; the table holds its
sha256 and the key that it stands for, so revoking a key signs out every browser that came in with it.

A ticket is the same for a link: it opens one session, once.
"""

import hashlib
import secrets

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from models import projects
from models.clock import now_plus
from models.projects import Caller
from models.tables import ApiKey, BrowserSession


def open_session(session: Session, key_id: str, seconds: float) -> str:
    """The token of a new session, which ends after so many seconds."""
    return _add(session, key_id, seconds, is_ticket=False)


def issue_ticket(session: Session, key_id: str, seconds: float) -> str:
    """The text of a new ticket, good for so many seconds."""
    return _add(session, key_id, seconds, is_ticket=True)


def redeem(session: Session, ticket: str, seconds: float) -> str | None:
    """The token of a new session for a ticket; None for one that is used, too old or none at all."""
    taken = (
        delete(BrowserSession)
        .where(BrowserSession.token_sha256 == _hash(ticket))
        .where(BrowserSession.is_ticket, BrowserSession.expires_at > now_plus())
        .returning(BrowserSession.api_key_id)
    )
    key_id = session.scalars(taken).one_or_none()
    return None if key_id is None else open_session(session, key_id, seconds)


def authenticate(session: Session, token: str) -> Caller | None:
    """Who a browser's token stands for."""
    key = session.scalars(
        select(ApiKey)
        .join(BrowserSession, BrowserSession.api_key_id == ApiKey.id)
        .where(BrowserSession.token_sha256 == _hash(token))
        .where(~BrowserSession.is_ticket, BrowserSession.expires_at > now_plus())
    ).one_or_none()
    return None if key is None else projects.caller_of(key)


def close_session(session: Session, token: str) -> None:
    session.execute(delete(BrowserSession).where(BrowserSession.token_sha256 == _hash(token)))


def _add(session: Session, key_id: str, seconds: float, *, is_ticket: bool) -> str:
    session.execute(delete(BrowserSession).where(BrowserSession.expires_at < now_plus()))
    token = secrets.token_urlsafe(32)
    session.add(
        BrowserSession(token_sha256=_hash(token), api_key_id=key_id, is_ticket=is_ticket, expires_at=now_plus(seconds))
    )
    session.flush()
    return token


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
