"""Projects and their keys, what they have used, and who changed what.

The operator makes the first projects (`python -m api new-key`). An admin key of one of those founds others, sets their
limits and manages their keys; an admin key of a founded project manages that project's keys. Nobody sees the projects
of others.
"""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Response
from pydantic import ValidationError

from api import representations
from api.bodies import JsonBody, body_of
from api.conditional import reply
from api.dependencies import Administrator, After, DatabaseDep, KeyId, Limit, ProjectId
from api.errors import Conflict, Forbidden, Invalid, NotFound, body_items
from api.idempotent import Done, OnceDep, created
from api.merging import merge
from api.openapi import also, sends
from api.resources import (
    ApiKey,
    AuditEntry,
    CreateApiKey,
    CreatedApiKey,
    CreatedProject,
    CreateProject,
    EditProject,
    Page,
    ProblemItem,
    Project,
    RotateApiKey,
    Usage,
    UsageReport,
)
from models import audit, projects, tables, usage
from models.database import Session
from models.projects import Caller, Limits

router = APIRouter(tags=["projects"])
OfProject = Annotated[
    str | None, Query(pattern=r"^prj_[0-9a-f]{32}$", description="A project that yours has founded; else your own.")
]
Month = Annotated[
    str | None,
    Query(pattern=r"^[0-9]{4}-(0[1-9]|1[0-2])$", description="A calendar month (UTC): `2026-11`; else this."),
]


@router.get("/v1/projects", response_model=Page[Project])
def list_projects(caller: Administrator, database: DatabaseDep, after: After = None, limit: Limit = 20) -> Response:
    """List the projects that this key manages: its own, and those that it has founded."""
    with database.read() as session:
        rows = projects.managed(session, caller.project_id, after=after, limit=limit)
    items = [representations.project(row) for row in rows[:limit]]
    return reply(representations.page(items, has_more=len(rows) > limit))


@router.post("/v1/projects", status_code=201, response_model=CreatedProject, openapi_extra=sends(CreateProject))
def create_project(
    caller: Administrator, body: Annotated[CreateProject, Depends(body_of(CreateProject))], once: OnceDep
) -> Response:
    """Found a project, with its limits, and get its first key."""

    def create(session: Session) -> Done:
        if projects.lock(session, caller.project_id).founder_id is not None:
            raise Forbidden("a project that was founded by another one founds none itself")
        if projects.project_named(session, body.name) is not None:
            raise Conflict("this name is taken", code="name_taken")
        limits = Limits(**body.limits.model_dump())
        row = projects.create_project(session, body.name, founder_id=caller.project_id, limits=limits)
        key, text = projects.create_key(session, row.id, name="first key", scope="admin")
        audit.record(session, caller.project_id, caller.key_id, "createProject", row.id)
        session.refresh(row)
        session.refresh(key)
        project = representations.project(row).model_dump()
        told = CreatedProject(**project, api_key=representations.created_api_key(key, text))
        kept = CreatedProject(**project, api_key=representations.created_api_key(key, None))
        return created(told, f"/v1/projects/{row.id}", kept=kept)

    return once.do(caller, create)


@router.get("/v1/projects/{project_id}", response_model=Project)
def get_project(caller: Administrator, database: DatabaseDep, project_id: ProjectId) -> Response:
    """Show a project."""
    with database.read() as session:
        return reply(representations.project(_managed(session, caller, project_id)))


@router.patch(
    "/v1/projects/{project_id}",
    response_model=Project,
    openapi_extra=sends(EditProject, "application/merge-patch+json"),
    responses=also(409),
)
def edit_project(caller: Administrator, patch: JsonBody, database: DatabaseDep, project_id: ProjectId) -> Response:
    """Name a project anew; set the limits of one that yours has founded.

    The body is a JSON Merge Patch (RFC 7396).
    """
    with database.write() as session:
        row = _managed(session, caller, project_id)
        wanted = _edited(row, patch)
        if wanted.limits != representations.limits(row) and project_id == caller.project_id:
            raise Forbidden("the limits of a project are set by the one that founded it, or by the operator")
        if wanted.name != row.name and projects.project_named(session, wanted.name) is not None:
            raise Conflict("this name is taken", code="name_taken")
        for name, value in ({"name": wanted.name} | wanted.limits.model_dump()).items():
            setattr(row, name, value)
        audit.record(session, caller.project_id, caller.key_id, "editProject", project_id, **wanted.limits.model_dump())
        session.flush()
        project = representations.project(row)
    return reply(project)


@router.get("/v1/api-keys", response_model=Page[ApiKey], responses=also(404))
def list_api_keys(caller: Administrator, database: DatabaseDep, project: OfProject = None) -> Response:
    """List the keys of a project, the revoked ones too."""
    with database.read() as session:
        rows = projects.keys_of(session, _managed(session, caller, project or caller.project_id).id)
    return reply(representations.page([representations.api_key(row) for row in rows]))


@router.post(
    "/v1/api-keys",
    status_code=201,
    response_model=CreatedApiKey,
    openapi_extra=sends(CreateApiKey),
    responses=also(404),
)
def create_api_key(
    caller: Administrator, body: Annotated[CreateApiKey, Depends(body_of(CreateApiKey))], once: OnceDep
) -> Response:
    """Make a key of a project. Its text is told in this answer only."""

    def create(session: Session) -> Done:
        project = _managed(session, caller, body.project_id or caller.project_id)
        key, text = projects.create_key(session, project.id, name=body.name, scope=body.scope)
        return _made(session, caller, "createApiKey", key, text)

    return once.do(caller, create)


@router.post(
    "/v1/api-keys/{key_id}/rotate",
    status_code=201,
    response_model=CreatedApiKey,
    openapi_extra=sends(RotateApiKey),
)
def rotate_api_key(
    caller: Administrator,
    body: Annotated[RotateApiKey, Depends(body_of(RotateApiKey))],
    once: OnceDep,
    key_id: KeyId,
) -> Response:
    """Put a new key in the place of another one, which opens nothing any more, now or after `overlap_seconds`.

    A key may rotate itself.
    """

    def rotate(session: Session) -> Done:
        old = projects.find_key(session, caller.project_id, key_id)
        if old is None:
            raise NotFound
        if not projects.is_alive(old):
            raise Conflict("this key is revoked: make a new one", code="key_revoked")
        key, text = projects.rotate_key(session, old, body.overlap_seconds)
        return _made(session, caller, "rotateApiKey", key, text, instead_of=key_id)

    return once.do(caller, rotate)


@router.delete("/v1/api-keys/{key_id}", response_model=ApiKey, responses=also(409))
def revoke_api_key(caller: Administrator, database: DatabaseDep, key_id: KeyId) -> Response:
    """Revoke a key: from now on it opens nothing. A key does not revoke itself."""
    if key_id == caller.key_id:
        raise Conflict("this is the key you are using: revoke it with another one", code="own_key")
    with database.write() as session:
        row = projects.revoke_key(session, caller.project_id, key_id)
        if row is None:
            raise NotFound
        audit.record(session, caller.project_id, caller.key_id, "revokeApiKey", key_id)
        key = representations.api_key(row)
    return reply(key)


@router.get("/v1/usage", response_model=UsageReport, responses=also(404))
def get_usage(caller: Administrator, database: DatabaseDep, month: Month = None, project: OfProject = None) -> Response:
    """Show what projects have used in a calendar month: the one that is asked for, or all that this key manages."""
    with database.read() as session:
        rows = projects.managed(session, caller.project_id)
        if project is not None:
            rows = [_managed(session, caller, project)]
        asked = month or usage.current_month(session)
        return reply(UsageReport(data=[_usage(session, row.id, asked) for row in rows]))


@router.get("/v1/audit", response_model=Page[AuditEntry])
def list_audit(caller: Administrator, database: DatabaseDep, after: After = None, limit: Limit = 20) -> Response:
    """List who changed what with keys of this project, the newest first."""
    with database.read() as session:
        rows = audit.page(session, caller.project_id, after=after, limit=limit)
    items = [representations.audit_entry(row) for row in rows[:limit]]
    return reply(representations.page(items, has_more=len(rows) > limit))


def _managed(session: Session, caller: Caller, project_id: str) -> tables.Project:
    row = projects.managed_one(session, caller.project_id, project_id)
    if row is None:
        raise NotFound
    return row


def _edited(row: tables.Project, patch: Any) -> EditProject:
    if not isinstance(patch, dict):
        raise Invalid([ProblemItem(pointer="", code="model_type", detail="a merge patch of a project is an object")])
    now = {"name": row.name, "limits": representations.limits(row).model_dump()}
    try:
        return EditProject.model_validate(merge(now, patch))
    except ValidationError as error:
        raise Invalid(body_items(error, EditProject.model_fields)) from None


def _made(session: Session, caller: Caller, action: str, key: tables.ApiKey, text: str, **data: str) -> Done:
    audit.record(session, caller.project_id, caller.key_id, action, key.id, scope=key.scope, **data)
    session.refresh(key)
    kept = representations.created_api_key(key, None)
    return created(representations.created_api_key(key, text), "/v1/api-keys", kept=kept)


def _usage(session: Session, project_id: str, month: str) -> Usage:
    seconds, peak = usage.of_month(session, project_id, month)
    stored = usage.storage_bytes(session, project_id)
    return Usage(
        project_id=project_id, month=month, device_seconds=seconds, storage_bytes=stored, peak_storage_bytes=peak
    )
