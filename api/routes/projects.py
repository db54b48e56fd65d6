"""Projects and their keys.

An admin key manages the keys of its own project, and may found another project, of which it is handed the first key
and sees nothing else. Nobody lists the projects of others.
"""

from typing import Annotated

from fastapi import APIRouter, Depends, Response

from api import representations
from api.bodies import body_of
from api.conditional import reply
from api.dependencies import Administrator, DatabaseDep, KeyId
from api.errors import Conflict, NotFound
from api.idempotent import Done, OnceDep, created
from api.openapi import also, sends
from api.resources import ApiKey, CreateApiKey, CreatedApiKey, CreatedProject, CreateProject, Page, Project
from models import projects
from models.database import Session

router = APIRouter(tags=["projects"])


@router.get("/v1/projects", response_model=Page[Project])
def list_projects(caller: Administrator, database: DatabaseDep) -> Response:
    """List the projects that this key manages: its own."""
    with database.read() as session:
        mine = [row for row in projects.all_projects(session) if row.id == caller.project_id]
    return reply(representations.page([representations.project(row) for row in mine]))


@router.post("/v1/projects", status_code=201, response_model=CreatedProject, openapi_extra=sends(CreateProject))
def create_project(
    caller: Administrator, body: Annotated[CreateProject, Depends(body_of(CreateProject))], once: OnceDep
) -> Response:
    """Found a project, and get its first key."""

    def create(session: Session) -> Done:
        if projects.project_named(session, body.name) is not None:
            raise Conflict("this name is taken", code="name_taken")
        row = projects.create_project(session, body.name)
        key, text = projects.create_key(session, row.id, name="first key", scope="admin")
        session.refresh(row)
        session.refresh(key)
        project = representations.project(row).model_dump()
        told = CreatedProject(**project, api_key=representations.created_api_key(key, text))
        kept = CreatedProject(**project, api_key=representations.created_api_key(key, None))
        return created(told, "/v1/projects", kept=kept)

    return once.do(caller, create)


@router.get("/v1/api-keys", response_model=Page[ApiKey])
def list_api_keys(caller: Administrator, database: DatabaseDep) -> Response:
    """List the keys of the project, the revoked ones too."""
    with database.read() as session:
        rows = projects.keys_of(session, caller.project_id)
    return reply(representations.page([representations.api_key(row) for row in rows]))


@router.post("/v1/api-keys", status_code=201, response_model=CreatedApiKey, openapi_extra=sends(CreateApiKey))
def create_api_key(
    caller: Administrator, body: Annotated[CreateApiKey, Depends(body_of(CreateApiKey))], once: OnceDep
) -> Response:
    """Make a key of the project. Its text is told in this answer only."""

    def create(session: Session) -> Done:
        row, text = projects.create_key(session, caller.project_id, name=body.name, scope=body.scope)
        session.refresh(row)
        kept = representations.created_api_key(row, None)
        return created(representations.created_api_key(row, text), "/v1/api-keys", kept=kept)

    return once.do(caller, create)


@router.delete("/v1/api-keys/{key_id}", response_model=ApiKey, responses=also(409))
def revoke_api_key(caller: Administrator, database: DatabaseDep, key_id: KeyId) -> Response:
    """Revoke a key: from now on it opens nothing. A key does not revoke itself."""
    if key_id == caller.key_id:
        raise Conflict("this is the key you are using: revoke it with another one", code="own_key")
    with database.write() as session:
        row = projects.revoke_key(session, caller.project_id, key_id)
        if row is None:
            raise NotFound
        session.flush()
    return reply(representations.api_key(row))
