"""Tenants and their keys. A key is `tw_<id>_<secret>`; the table holds the sha256 of the secret, which has 256 bits of
its own and needs no salt."""

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, cast

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session
from sqlalchemy.sql.elements import ColumnElement

from models.clock import now_plus
from models.ids import new_id
from models.tables import ApiKey, Project

Scope = Literal["read", "submit", "admin"]
ALLOWS: dict[str, frozenset[str]] = {
    "read": frozenset({"read"}),
    "submit": frozenset({"read", "submit"}),
    "admin": frozenset({"read", "submit", "admin"}),
}
"""Scope of a key → scopes of routes it opens."""


@dataclass(frozen=True)
class Caller:
    """Who is asking."""

    key_id: str
    project_id: str
    scope: str
    requests_per_minute: int | None = None
    """What its project may; where it says nothing, the settings do."""

    def may(self, scope: Scope) -> bool:
        return scope in ALLOWS[self.scope]


@dataclass(frozen=True)
class Limits:
    """What a project may; where it says nothing, the settings do."""

    active_jobs: int | None = None
    running_jobs: int | None = None
    storage_bytes: int | None = None
    requests_per_minute: int | None = None


def create_project(session: Session, name: str, *, founder_id: str | None = None, limits: Limits = Limits()) -> Project:
    project = Project(id=new_id("prj"), name=name, founder_id=founder_id, **vars(limits))
    session.add(project)
    session.flush()
    return project


def project_named(session: Session, name: str) -> Project | None:
    return session.scalars(select(Project).where(Project.name == name)).one_or_none()


def managed(session: Session, manager_id: str, *, after: str | None = None, limit: int = 1000) -> list[Project]:
    """One more than `limit` of the projects that administrators of one manage: itself and those it has founded."""
    query = select(Project).where(_managed_by(manager_id))
    if after is not None:
        query = query.where(Project.id > after)
    return list(session.scalars(query.order_by(Project.id).limit(limit + 1)))


def managed_one(session: Session, manager_id: str, project_id: str) -> Project | None:
    return session.scalars(select(Project).where(Project.id == project_id, _managed_by(manager_id))).one_or_none()


def lock(session: Session, project_id: str) -> Project:
    """The project, whose limits nobody else measures before this transaction ends. Rows that refer to it go on being
    written."""
    return session.scalars(select(Project).where(Project.id == project_id).with_for_update(key_share=True)).one()


def _managed_by(manager_id: str) -> ColumnElement[bool]:
    return (Project.id == manager_id) | (Project.founder_id == manager_id)


def create_key(session: Session, project_id: str, *, name: str, scope: Scope) -> tuple[ApiKey, str]:
    """A new key and its text, which is shown this once."""
    secret = secrets.token_urlsafe(32)
    key = ApiKey(id=new_id("key"), project_id=project_id, name=name, scope=scope, secret_sha256=_hash(secret))
    session.add(key)
    session.flush()
    return key, f"tw_{key.id.removeprefix('key_')}_{secret}"


def keys_of(session: Session, project_id: str) -> list[ApiKey]:
    return list(session.scalars(select(ApiKey).where(ApiKey.project_id == project_id).order_by(ApiKey.id)))


def revoke_key(session: Session, project_id: str, key_id: str) -> ApiKey | None:
    key = find_key(session, project_id, key_id)
    if key is not None:
        _end_key(session, key, 0)
    return key


def find_key(session: Session, manager_id: str, key_id: str) -> ApiKey | None:
    """A key of a project that this one manages."""
    mine = select(Project.id).where(_managed_by(manager_id))
    return session.scalars(select(ApiKey).where(ApiKey.id == key_id, ApiKey.project_id.in_(mine))).one_or_none()


def rotate_key(session: Session, key: ApiKey, overlap_seconds: float) -> tuple[ApiKey, str]:
    """A new key in the place of one that goes on opening what it opens for so many seconds."""
    _end_key(session, key, overlap_seconds)
    return create_key(session, key.project_id, name=key.name, scope=cast(Scope, key.scope))


def is_alive(key: ApiKey) -> bool:
    return _is_alive(key.revoked_at)


def _is_alive(revoked_at: datetime | None) -> bool:
    return revoked_at is None or revoked_at > datetime.now(UTC)


def _end_key(session: Session, key: ApiKey, seconds: float) -> None:
    """An end that was set is never put off."""
    end = session.scalars(select(now_plus(seconds))).one()
    if key.revoked_at is None or end < key.revoked_at:
        key.revoked_at = end
        session.flush()


_KEY = (
    select(ApiKey.secret_sha256, ApiKey.revoked_at, ApiKey.project_id, ApiKey.scope, Project.requests_per_minute)
    .join(Project, Project.id == ApiKey.project_id)
    .where(ApiKey.id == bindparam("key_id"))
)


def authenticate(session: Session, text: str) -> Caller | None:
    """Who a key's text belongs to; None for anything that is not a living key."""
    match text.split("_", 2):
        case ["tw", key_id, secret] if key_id.isalnum():
            key = session.connection().execute(_KEY, {"key_id": f"key_{key_id}"}).one_or_none()
        case _:
            return None
    expected = key.secret_sha256 if key is not None else _hash("")
    if not hmac.compare_digest(_hash(secret), expected) or key is None or not _is_alive(key.revoked_at):
        return None
    return Caller(f"key_{key_id}", key.project_id, key.scope, key.requests_per_minute)


def caller_of(key: ApiKey) -> Caller | None:
    """Whom a key speaks for; None when it is revoked."""
    return Caller(key.id, key.project_id, key.scope, key.project.requests_per_minute) if is_alive(key) else None


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
