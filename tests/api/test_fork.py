"""A job made of another one's spec."""

import pytest

from tests.api.conftest import Json, Tenant


def test_a_fork_is_the_other_job_with_some_changes(ours: Tenant) -> None:
    job_id = ours.job(name="first", clipping={"type": "value", "clip_value": 1}, tags=["paper"], notes="of the first")
    patch = {"optimizer": {"learning_rate": 0.05}, "clipping": None, "name": None, "metadata": {"try": "2"}}
    answer = ours.submitter.post(f"/v1/jobs/{job_id}/fork", json=patch)
    source, fork = ours.reader.get(f"/v1/jobs/{job_id}").json(), answer.json()
    assert (answer.status_code, answer.headers["location"]) == (201, f"/v1/jobs/{fork['id']}")
    expected = source["spec"] | {"optimizer": {"type": "sgd", "learning_rate": 0.05}}
    del expected["clipping"], expected["name"]
    assert fork["spec"] == expected
    assert (fork["forked_from"], fork["name"], fork["status"]) == (job_id, None, "queued")
    assert (fork["tags"], fork["notes"], fork["metadata"]) == (["paper"], None, {"try": "2"})


def test_a_fork_without_changes_is_the_same_run(ours: Tenant) -> None:
    job_id = ours.job()
    fork = ours.submitter.post(f"/v1/jobs/{job_id}/fork", json={}).json()
    assert fork["spec_sha256"] == ours.reader.get(f"/v1/jobs/{job_id}").json()["spec_sha256"]


@pytest.mark.parametrize(
    ("patch", "pointer"),
    [
        ({"optimizer": {"learning_rate": -1}}, "/optimizer/learning_rate"),
        ({"training": {"batch_sise": 8}}, "/training/batch_sise"),
        ({"dataset": None}, "/dataset"),
        ({"regularization": [{"type": "dropot"}]}, "/regularization/0/type"),
        ({"status": "succeeded"}, "/status"),
        ({"tags": "x"}, "/tags"),
        ([], ""),
        ("x", ""),
    ],
)
def test_mistakes_are_where_they_are_in_the_merged_spec(ours: Tenant, patch: Json, pointer: str) -> None:
    answer = ours.submitter.post(f"/v1/jobs/{ours.job()}/fork", json=patch)
    assert answer.status_code == 422
    assert pointer in [item["pointer"] for item in answer.json()["errors"]]


def test_a_fork_that_is_asked_for_twice_is_made_once(ours: Tenant) -> None:
    path, submitter = f"/v1/jobs/{ours.job()}/fork", ours.submitter
    ids = {submitter.post(path, json={}, headers={"Idempotency-Key": "k"}).json()["id"] for _ in range(2)}
    assert len(ids) == 1


def test_another_project_s_data_set_cannot_be_merged_in(ours: Tenant, theirs: Tenant) -> None:
    answer = ours.submitter.post(f"/v1/jobs/{ours.job()}/fork", json={"dataset": {"id": theirs.dataset()}})
    assert answer.json()["errors"][0]["code"] == "unknown_dataset"


def test_a_fork_outlives_what_it_was_forked_from(ours: Tenant) -> None:
    job_id = ours.running_job()
    fork = ours.submitter.post(f"/v1/jobs/{job_id}/fork", json={}).json()["id"]
    ours.succeed(job_id)
    ours.submitter.delete(f"/v1/jobs/{job_id}")
    assert ours.reader.get(f"/v1/jobs/{fork}").json()["forked_from"] == job_id


@pytest.mark.parametrize("which", ["best", "last", "id"])
def test_a_fork_can_start_from_a_checkpoint(ours: Tenant, which: str) -> None:
    job_id = ours.running_job()
    checkpoint = ours.checkpoint(job_id)
    asked = checkpoint.id if which == "id" else which
    patch = {"warm_start": {"freeze": "body"}, "seed": 1}
    fork = ours.submitter.post(f"/v1/jobs/{job_id}/fork?checkpoint={asked}", json=patch)
    assert fork.status_code == 201, fork.text
    resolved = fork.json()["resolved_spec"]["warm_start"]
    assert (resolved["checkpoint"], resolved["sha256"]) == (checkpoint.id, checkpoint.weights_sha256)
    assert resolved["freeze"]


def test_a_fork_from_a_checkpoint_that_is_not_there_is_refused(ours: Tenant, theirs: Tenant) -> None:
    path = f"/v1/jobs/{ours.running_job()}/fork"
    foreign = theirs.checkpoint(theirs.running_job()).id
    for asked, code in (("best", "no_checkpoint"), (foreign, "unknown_checkpoint")):
        answer = ours.submitter.post(f"{path}?checkpoint={asked}", json={})
        assert (answer.status_code, answer.json()["errors"][0]["code"]) == (422, code)
    assert ours.submitter.post(f"{path}?checkpoint=x", json={}).status_code == 422
