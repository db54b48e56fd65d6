"""Projects and keys over HTTP."""

from models.ids import new_id
from tests.api.conftest import Asking, Tenant


def test_a_new_key_opens_what_its_scope_says(ours: Tenant) -> None:
    text = ours.admin.post("/v1/api-keys", json={"name": "laptop", "scope": "read"}).json()["key"]
    laptop = Asking(ours.world.client, {"Authorization": f"Bearer {text}"})
    assert laptop.get("/v1/jobs").status_code == 200
    assert laptop.post("/v1/datasets", json={"name": "x"}).status_code == 403


def test_no_list_tells_a_secret(ours: Tenant) -> None:
    text = ours.admin.post("/v1/api-keys", json={"name": "x"}).json()["key"]
    listed = ours.admin.get("/v1/api-keys")
    assert text.split("_", 2)[2] not in listed.text
    assert "secret" not in listed.text


def test_a_key_does_not_revoke_itself(ours: Tenant) -> None:
    admin = ours.admin
    key_id = admin.get("/v1/api-keys").json()["last_id"]
    assert admin.delete(f"/v1/api-keys/{key_id}").status_code == 409


def test_revoking_twice_is_revoking_once(ours: Tenant) -> None:
    key_id = ours.admin.post("/v1/api-keys", json={"name": "x"}).json()["id"]
    answers = [ours.admin.delete(f"/v1/api-keys/{key_id}").json() for _ in range(2)]
    assert answers[0]["revoked_at"] is not None
    assert answers[0] == answers[1]


def test_a_new_project_comes_with_its_first_key(ours: Tenant) -> None:
    project = ours.admin.post("/v1/projects", json={"name": new_id("prj")}).json()
    founder = Asking(ours.world.client, {"Authorization": f"Bearer {project['api_key']['key']}"})
    assert [row["id"] for row in founder.get("/v1/projects").json()["data"]] == [project["id"]]


def test_names_of_projects_are_taken_once(ours: Tenant) -> None:
    name = new_id("prj")
    codes = [ours.admin.post("/v1/projects", json={"name": name}).status_code for _ in range(2)]
    assert codes == [201, 409]
