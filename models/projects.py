"""Tenants and their keys. A key is `tw_<id>_<secret>`; the table holds the sha256 of the secret, which has 256 bits of
its own and needs no salt."""

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import select
from sqlalchemy.orm import Session

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

    def may(self, scope: Scope) -> bool:
        return scope in ALLOWS[self.scope]


def create_project(session: Session, name: str) -> Project:
    project = Project(id=new_id("prj"), name=name)
    session.add(project)
    session.flush()
    return project


def project_named(session: Session, name: str) -> Project | None:
    return session.scalars(select(Project).where(Project.name == name)).one_or_none()


def all_projects(session: Session) -> list[Project]:
    return list(session.scalars(select(Project).order_by(Project.id)))


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
    key = session.scalars(select(ApiKey).where(ApiKey.id == key_id, ApiKey.project_id == project_id)).one_or_none()
    if key is not None and key.revoked_at is None:
        key.revoked_at = session.scalars(select(now_plus())).one()
    return key


def authenticate(session: Session, text: str) -> Caller | None:
    """Who a key's text belongs to; None for anything that is not a living key."""
    match text.split("_", 2):
        case ["tw", key_id, secret] if key_id.isalnum():
            key = session.get(ApiKey, f"key_{key_id}")
        case _:
            return None
    expected = key.secret_sha256 if key is not None else _hash("")
    if not hmac.compare_digest(_hash(secret), expected) or key is None:
        return None
    return caller_of(key)


def caller_of(key: ApiKey) -> Caller | None:
    """Whom a key speaks for; None when it is revoked."""
    return Caller(key.id, key.project_id, key.scope) if key.revoked_at is None else None


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
