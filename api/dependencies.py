"""What routes ask for, each named once: where things are, and who is asking."""

import re
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request, Security
from fastapi.routing import APIRoute
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer, SecurityScopes
from pydantic import Field

from api.cookies import token_of
from api.errors import Forbidden, Unauthenticated
from api.rates import Rates
from api.ringing import Ringer
from models import browser_sessions, projects
from models.database import Database
from models.projects import Caller, Scope
from models.settings import Settings
from models.storage import Storage


@dataclass(frozen=True)
class Services:
    """Everything that lives as long as the process."""

    settings: Settings
    database: Database
    storage: Storage
    ringer: Ringer
    rates: Rates


async def services(request: Request) -> Services:
    found: Services = request.app.state.services
    return found


ServicesDep = Annotated[Services, Depends(services)]


async def _settings(services: ServicesDep) -> Settings:
    return services.settings


async def _database(services: ServicesDep) -> Database:
    return services.database


async def _storage(services: ServicesDep) -> Storage:
    return services.storage


async def _ringer(services: ServicesDep) -> Ringer:
    return services.ringer


SettingsDep = Annotated[Settings, Depends(_settings)]
DatabaseDep = Annotated[Database, Depends(_database)]
StorageDep = Annotated[Storage, Depends(_storage)]
RingerDep = Annotated[Ringer, Depends(_ringer)]

bearer = HTTPBearer(auto_error=False, scheme_name="ApiKey", description="`Authorization: Bearer tw_…`")
KEY = re.compile(r"tw_[0-9a-f]{32}_[A-Za-z0-9_-]{43}")


def authenticate(
    request: Request,
    scopes: SecurityScopes,
    services: ServicesDep,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)],
) -> Caller:
    """Who is asking, if they may: by a key, or by the cookie of a browser that is signed in.

    Raises:
        Unauthenticated: no key, or none that is alive.
        TooManyRequests: one that has asked too often.
        Forbidden: a key that does not open this route.
    """
    database = services.database
    caller = _by_cookie(request, database) if credentials is None else _by_key(database, credentials.credentials)
    request.state.caller = caller
    services.rates.count(caller)
    if not all(scope in projects.ALLOWS[caller.scope] for scope in scopes.scopes):
        raise Forbidden(f"this needs a key with scope {scopes.scope_str}; yours has {caller.scope}")
    return caller


def _by_key(database: Database, text: str) -> Caller:
    caller = None
    if KEY.fullmatch(text):
        with database.read() as session:
            caller = projects.authenticate(session, text)
    if caller is None:
        raise Unauthenticated("this API key is unknown or revoked")
    return caller


def _by_cookie(request: Request, database: Database) -> Caller:
    token = token_of(request)
    if token is None:
        raise Unauthenticated("send an API key: Authorization: Bearer tw_…")
    with database.read() as session:
        caller = browser_sessions.authenticate(session, token)
    if caller is None:
        raise Unauthenticated("this browser is no longer signed in")
    return caller


async def public() -> None:
    """Says of a route that anybody may use it."""


READ: Scope = "read"
SUBMIT: Scope = "submit"
ADMIN: Scope = "admin"
READS = Security(authenticate, scopes=[READ])
"""For routes that need not know who is asking."""
Reader = Annotated[Caller, READS]
Submitter = Annotated[Caller, Security(authenticate, scopes=[SUBMIT])]
Administrator = Annotated[Caller, Security(authenticate, scopes=[ADMIN])]


def require_scopes(router: APIRouter) -> None:
    """Deny by default: a route that does not say who may use it does not start."""
    for route in router.routes:
        if not isinstance(route, APIRoute) or not _says_who(route):
            raise RuntimeError(f"{getattr(route, 'path', route)} does not say who may use it")


def _says_who(route: APIRoute) -> bool:
    return bool(scopes_of(route)) or any(dependency.call is public for dependency in route.dependant.dependencies)


def scopes_of(route: APIRoute) -> list[str]:
    """The scopes that a key needs for a route."""
    callers = [dependency for dependency in route.dependant.dependencies if dependency.call is authenticate]
    return [scope for caller in callers for scope in caller.own_oauth_scopes or []]


JobId = Annotated[str, Path(pattern=r"^job_[0-9a-f]{32}$")]
DatasetId = Annotated[str, Path(pattern=r"^ds_[0-9a-f]{32}$")]
CheckpointId = Annotated[str, Path(pattern=r"^ckpt_[0-9a-f]{32}$")]
ProjectId = Annotated[str, Path(pattern=r"^prj_[0-9a-f]{32}$")]
KeyId = Annotated[str, Path(pattern=r"^key_[0-9a-f]{32}$")]
Limit = Annotated[int, Query(ge=1, le=100, description="How many to list.")]
Wait = Annotated[
    float,
    Query(ge=0, le=3600, allow_inf_nan=False, description="Seconds to wait for a change, up to a server's limit."),
]
After = Annotated[
    str | None, Query(max_length=64, pattern=r"^[a-z]+_[0-9a-f]+$", description="Continue behind this id.")
]
Word = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]
