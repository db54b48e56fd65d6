"""Who may do what: every route, with every kind of key."""

import pytest
from fastapi import APIRouter
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient

from api.dependencies import require_scopes, scopes_of
from api.main import ROUTERS
from tests.api.conftest import Json, Tenant, spec_on

ROUTES = [
    (method, route)
    for router in ROUTERS
    for route in router.routes
    if isinstance(route, APIRoute)
    for method in route.methods or ()
]
KEYED = [(method, route) for method, route in ROUTES if scopes_of(route)]
OWNED = [(method, route) for method, route in KEYED if "_id}" in route.path]
PUBLIC = {"/healthz", "/readyz", "/version", "/openapi.json"}
IDS = {"job_id": "job", "checkpoint_id": "ckpt", "dataset_id": "ds", "key_id": "key", "project_id": "prj"}
IDS["preview_id"] = "prv"
BODIES: dict[str, Json] = {
    "/v1/datasets/{dataset_id}/complete": {"filename": "a.zip", "parts": 1, "sha256": "0" * 64},
    "/v1/datasets/{dataset_id}/parts/{number}/sign": {"bytes": 1, "sha256": "0" * 64},
}


def _name(value: object) -> str:
    return value.path if isinstance(value, APIRoute) else str(value)


def test_only_these_need_no_key() -> None:
    assert {route.path for _, route in ROUTES if not scopes_of(route)} == PUBLIC


def test_a_route_that_does_not_say_who_may_use_it_does_not_start() -> None:
    router = APIRouter()
    router.add_api_route("/open", lambda: None)
    with pytest.raises(RuntimeError, match="/open does not say who may use it"):
        require_scopes(router)


@pytest.mark.parametrize(("method", "route"), KEYED, ids=_name)
def test_without_a_key_nothing_opens(client: TestClient, method: str, route: APIRoute) -> None:
    answer = client.request(method, _path(route, "0" * 32))
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")


@pytest.mark.parametrize(("method", "route"), KEYED, ids=_name)
def test_a_read_key_only_reads(ours: Tenant, method: str, route: APIRoute) -> None:
    answer = ours.reader.request(method, _path(route, "0" * 32))
    assert (answer.status_code == 403) == (scopes_of(route) != ["read"])


@pytest.mark.parametrize(("method", "route"), OWNED, ids=_name)
def test_what_is_theirs_looks_like_what_is_not_there(
    ours: Tenant, theirs: Tenant, method: str, route: APIRoute
) -> None:
    job_id = theirs.running_job()
    found = {"job_id": job_id, "checkpoint_id": theirs.checkpoint(job_id).id, "dataset_id": theirs.dataset()}
    found["project_id"] = theirs.project_id
    found["key_id"] = theirs.admin.get("/v1/api-keys").json()["last_id"]
    found["preview_id"] = theirs.submitter.post("/v1/previews/schedule", json=spec_on(found["dataset_id"])).json()["id"]
    asked = [route.path.format(**found, number=1), _path(route, "0" * 32)]
    body = {"json": BODIES.get(route.path, {})} if method in ("POST", "PATCH") else {}
    foreign, unknown = (ours.admin.request(method, path, params={"filename": "a.zip"}, **body) for path in asked)
    assert foreign.status_code == unknown.status_code == 404
    if method != "HEAD":
        assert foreign.json() | {"request_id": ""} == unknown.json() | {"request_id": ""}


def test_ids_inside_bodies_are_theirs_too(ours: Tenant, theirs: Tenant) -> None:
    spec = {"dataset": {"id": theirs.dataset()}, "network": {"type": "mlp"}, "training": {"epochs": 1}}
    assert ours.submitter.post("/v1/jobs", json=spec).json()["errors"][0]["code"] == "unknown_dataset"


def test_lists_hold_only_what_is_ours(ours: Tenant, theirs: Tenant) -> None:
    theirs.job()
    for path in ("/v1/jobs", "/v1/datasets"):
        assert ours.reader.get(path).json()["data"] == []
    assert [project["id"] for project in ours.admin.get("/v1/projects").json()["data"]] == [ours.project_id]


@pytest.mark.parametrize(
    "text", ["", "Bearer", "Bearer ", "Basic dXNlcjpwYXNz", "Bearer tw_x_y", "Bearer tw_\x00", "Bearer \xe9", "tw_a_b"]
)
def test_what_is_no_key_is_unknown(client: TestClient, text: str) -> None:
    assert client.get("/v1/jobs", headers={b"Authorization": text.encode("latin-1")}).status_code == 401


def test_a_key_with_another_secret_is_unknown(ours: Tenant, client: TestClient) -> None:
    text = ours.headers()["Authorization"]
    other = text[:-1] + ("A" if text[-1] != "A" else "B")
    assert client.get("/v1/jobs", headers={"Authorization": other}).status_code == 401


def test_a_revoked_key_opens_nothing(ours: Tenant) -> None:
    reader = ours.reader
    ours.admin.delete(f"/v1/api-keys/{ours.admin.get('/v1/api-keys').json()['first_id']}")
    assert reader.get("/v1/jobs").status_code == 401


def _path(route: APIRoute, number: str) -> str:
    values = {name: f"{prefix}_{number}" for name, prefix in IDS.items()}
    return route.path.format(**values, number=1, family="clipping", type_="global_norm")
