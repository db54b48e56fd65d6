"""Projects, their keys and limits, what they used and who changed what, over HTTP."""

import time

import pytest

from models.ids import new_id
from tests.api.conftest import Asking, Json, Tenant


def with_key(ours: Tenant, text: str) -> Asking:
    return Asking(ours.world.client, {"Authorization": f"Bearer {text}"})


def found(ours: Tenant, **body: object) -> tuple[Json, Asking]:
    answer = ours.admin.post("/v1/projects", json={"name": new_id("prj"), **body})
    assert answer.status_code == 201, answer.text
    return answer.json(), with_key(ours, answer.json()["api_key"]["key"])


def test_a_new_key_opens_what_its_scope_says(ours: Tenant) -> None:
    text = ours.admin.post("/v1/api-keys", json={"name": "laptop", "scope": "read"}).json()["key"]
    laptop = with_key(ours, text)
    assert laptop.get("/v1/jobs").status_code == 200
    assert laptop.post("/v1/datasets", json={"name": "x"}).status_code == 403


def test_no_list_tells_a_secret(ours: Tenant) -> None:
    text = ours.admin.post("/v1/api-keys", json={"name": "x"}).json()["key"]
    for path in ("/v1/api-keys", "/v1/audit"):
        listed = ours.admin.get(path)
        assert text.split("_", 2)[2] not in listed.text
        assert "secret" not in listed.text


def test_a_secret_is_told_once_even_to_who_asks_twice(ours: Tenant) -> None:
    key_id = ours.admin.post("/v1/api-keys", json={"name": "x"}).json()["id"]
    admin, headers = ours.admin, {"Idempotency-Key": "k"}
    for path, body in (("/v1/api-keys", {"name": "y"}), (f"/v1/api-keys/{key_id}/rotate", {})):
        first, again = (admin.post(path, json=body, headers=headers | {"Idempotency-Key": path}) for _ in range(2))
        assert first.json()["key"].startswith("tw_")
        assert again.json() == first.json() | {"key": None}
        assert again.headers["idempotent-replayed"] == "true"


def test_a_key_does_not_revoke_itself(ours: Tenant) -> None:
    admin = ours.admin
    key_id = admin.get("/v1/api-keys").json()["last_id"]
    assert admin.delete(f"/v1/api-keys/{key_id}").status_code == 409


def test_revoking_twice_is_revoking_once(ours: Tenant) -> None:
    key_id = ours.admin.post("/v1/api-keys", json={"name": "x"}).json()["id"]
    answers = [ours.admin.delete(f"/v1/api-keys/{key_id}").json() for _ in range(2)]
    assert answers[0]["revoked_at"] is not None
    assert answers[0] == answers[1]


def test_a_rotated_key_opens_nothing_and_its_successor_the_same(ours: Tenant) -> None:
    old = ours.admin.post("/v1/api-keys", json={"name": "ci", "scope": "read"}).json()
    new = ours.admin.post(f"/v1/api-keys/{old['id']}/rotate", json={}).json()
    assert (new["name"], new["scope"], new["id"] == old["id"]) == ("ci", "read", False)
    assert with_key(ours, new["key"]).get("/v1/jobs").status_code == 200
    assert with_key(ours, old["key"]).get("/v1/jobs").status_code == 401
    assert ours.admin.post(f"/v1/api-keys/{old['id']}/rotate", json={}).status_code == 409


def test_a_key_can_rotate_itself_and_live_on_for_a_while(ours: Tenant) -> None:
    old = ours.admin.post("/v1/api-keys", json={"name": "ci", "scope": "admin"}).json()
    myself = with_key(ours, old["key"])
    new = myself.post(f"/v1/api-keys/{old['id']}/rotate", json={"overlap_seconds": 1}).json()
    assert myself.get("/v1/jobs").status_code == 200
    time.sleep(1.1)
    assert myself.get("/v1/jobs").status_code == 401
    assert with_key(ours, new["key"]).get("/v1/jobs").status_code == 200


def test_an_end_that_was_set_is_not_put_off(ours: Tenant) -> None:
    old = ours.admin.post("/v1/api-keys", json={"name": "ci"}).json()
    ours.admin.post(f"/v1/api-keys/{old['id']}/rotate", json={"overlap_seconds": 100})
    ours.admin.post(f"/v1/api-keys/{old['id']}/rotate", json={"overlap_seconds": 5000})
    assert ours.admin.delete(f"/v1/api-keys/{old['id']}").status_code == 200
    assert with_key(ours, old["key"]).get("/v1/jobs").status_code == 401


def test_a_new_project_comes_with_its_first_key_and_sees_itself(ours: Tenant) -> None:
    project, founder = found(ours)
    assert [row["id"] for row in founder.get("/v1/projects").json()["data"]] == [project["id"]]
    assert founder.get(f"/v1/projects/{ours.project_id}").status_code == 404


def test_names_of_projects_are_taken_once(ours: Tenant) -> None:
    name = new_id("prj")
    codes = [ours.admin.post("/v1/projects", json={"name": name}).status_code for _ in range(2)]
    assert codes == [201, 409]


def test_who_founds_a_project_sets_its_limits(ours: Tenant) -> None:
    project, _ = found(ours, limits={"running_jobs": 2})
    path = f"/v1/projects/{project['id']}"
    assert project["limits"] == {
        "active_jobs": None, "running_jobs": 2, "storage_bytes": None, "requests_per_minute": None
    }  # fmt: skip
    answer = ours.admin.patch(path, json={"limits": {"running_jobs": None, "active_jobs": 7}})
    assert answer.json()["limits"] == project["limits"] | {"running_jobs": None, "active_jobs": 7}
    assert ours.admin.get(path).json() == answer.json()


def test_nobody_raises_the_limits_of_their_own_project(ours: Tenant) -> None:
    project, founder = found(ours, limits={"active_jobs": 1})
    answer = founder.patch(f"/v1/projects/{project['id']}", json={"limits": {"active_jobs": 10**6}})
    assert answer.status_code == 403
    assert founder.patch(f"/v1/projects/{project['id']}", json={"name": new_id("prj")}).status_code == 200
    assert founder.post("/v1/projects", json={"name": new_id("prj")}).status_code == 403
    assert ours.admin.patch(f"/v1/projects/{ours.project_id}", json={"limits": {"active_jobs": 1}}).status_code == 403


@pytest.mark.parametrize(
    ("patch", "pointer"),
    [
        ({"founder_id": None}, None),
        ({"founder_id": "x"}, "/founder_id"),
        ({"limits": {"running_jobs": -1}}, "/limits/running_jobs"),
        ({"limits": {"running_jobs": True}}, "/limits/running_jobs"),
        ({"limits": {"jobs": 1}}, "/limits/jobs"),
        ({"name": None}, "/name"),
        ([], ""),
    ],
)
def test_a_patch_of_a_project_is_read_strictly(ours: Tenant, patch: Json, pointer: str | None) -> None:
    project, _ = found(ours)
    answer = ours.admin.patch(f"/v1/projects/{project['id']}", json=patch)
    if pointer is None:
        assert answer.status_code == 200
        return
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, pointer)


def test_a_founder_manages_the_keys_of_what_it_has_founded(ours: Tenant, theirs: Tenant) -> None:
    project, _ = found(ours)
    made = ours.admin.post("/v1/api-keys", json={"name": "x", "project_id": project["id"]}).json()
    assert made["project_id"] == project["id"]
    listed = ours.admin.get(f"/v1/api-keys?project={project['id']}").json()["data"]
    assert made["id"] in [key["id"] for key in listed]
    assert ours.admin.delete(f"/v1/api-keys/{made['id']}").status_code == 200
    assert theirs.admin.get(f"/v1/api-keys?project={project['id']}").status_code == 404
    assert theirs.admin.post("/v1/api-keys", json={"name": "x", "project_id": project["id"]}).status_code == 404


def test_usage_has_the_time_of_devices_and_what_is_stored(ours: Tenant, theirs: Tenant) -> None:
    job_id = ours.running_job()
    ours.checkpoint(job_id, b"w" * 500)
    time.sleep(0.2)
    (running,) = ours.admin.get("/v1/usage").json()["data"]
    assert running["device_seconds"] >= 0.2
    ours.succeed(job_id)
    (ended,) = ours.admin.get("/v1/usage").json()["data"]
    assert ended["device_seconds"] >= running["device_seconds"]
    assert ended["storage_bytes"] == ended["peak_storage_bytes"] == 3 + 2 * 6400 + 500
    ours.submitter.delete(f"/v1/jobs/{job_id}")
    (after,) = ours.admin.get("/v1/usage").json()["data"]
    assert after == ended | {"storage_bytes": 3 + 2 * 6400}
    (before,) = ours.admin.get("/v1/usage?month=2020-01").json()["data"]
    assert (before["device_seconds"], before["peak_storage_bytes"]) == (0, 0)
    assert theirs.admin.get(f"/v1/usage?project={ours.project_id}").status_code == 404
    assert ours.admin.get("/v1/usage?month=2020-13").status_code == 422


def test_every_change_is_in_the_audit_with_who_made_it(ours: Tenant) -> None:
    submitter = ours.submitter
    dataset = submitter.post("/v1/datasets", json={"name": "x"}).json()["id"]
    submitter.put(f"/v1/datasets/{dataset}/content?filename=a.zip", content=b"x")
    job_id = ours.job()
    submitter.post(f"/v1/jobs/{job_id}/pause")
    submitter.patch(f"/v1/jobs/{job_id}", json={"name": "x"})
    submitter.post(f"/v1/jobs/{job_id}/cancel")
    submitter.delete(f"/v1/jobs/{job_id}")
    submitter.delete(f"/v1/jobs/{job_id}")
    entries = ours.admin.get("/v1/audit").json()["data"]
    assert [entry["action"] for entry in reversed(entries)] == [
        "createDataset", "uploadDataset", "createJob", "pauseJob", "editJob", "cancelJob", "deleteJob"
    ]  # fmt: skip
    assert {entry["target"] for entry in entries} == {dataset, job_id}
    assert len({entry["key_id"] for entry in entries}) == 2
    page = ours.admin.get(f"/v1/audit?limit=2&after={entries[0]['id']}").json()
    assert [entry["id"] for entry in page["data"]] == [entry["id"] for entry in entries[1:3]]


def test_what_was_refused_is_not_in_the_audit(ours: Tenant) -> None:
    ours.submitter.post("/v1/jobs", json={})
    ours.submitter.delete(f"/v1/jobs/{ours.running_job()}")
    assert [entry["action"] for entry in ours.admin.get("/v1/audit").json()["data"]] == ["createJob"]
