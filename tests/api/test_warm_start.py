"""Jobs that start from the checkpoint of another one, over HTTP."""

from typing import Any

import pytest

from models.tables import Checkpoint
from tests.api.conftest import Json, Tenant, spec_on


def earlier(tenant: Tenant) -> tuple[str, Checkpoint]:
    job_id = tenant.running_job()
    return job_id, tenant.checkpoint(job_id)


def starting(tenant: Tenant, checkpoint: Any, **changes: Any) -> Json:
    return spec_on(tenant.dataset(), warm_start={"checkpoint": checkpoint}, **changes)


def codes(answer: Any) -> set[tuple[str, str]]:
    assert answer.status_code == 422, answer.text
    return {(error["pointer"], error["code"]) for error in answer.json()["errors"]}


def test_the_resolved_spec_records_which_weights(ours: Tenant) -> None:
    job_id, checkpoint = earlier(ours)
    for named in (checkpoint.id, {"job": job_id}, {"job": job_id, "which": "last"}):
        answer = ours.submitter.post("/v1/jobs", json=starting(ours, named))
        assert answer.status_code == 201, answer.text
        start = answer.json()["resolved_spec"]["warm_start"]
        assert (start["checkpoint"], start["sha256"]) == (checkpoint.id, checkpoint.weights_sha256)
        assert (start["output"], start["normalization"]) == ("keep", "inherit")
        assert answer.json()["spec"]["warm_start"] == {"checkpoint": named}


def test_a_foreign_checkpoint_is_as_unknown_as_none(ours: Tenant, theirs: Tenant) -> None:
    job_id, checkpoint = earlier(theirs)
    foreign = ours.submitter.post("/v1/jobs", json=starting(ours, checkpoint.id))
    missing = ours.submitter.post("/v1/jobs", json=starting(ours, "ckpt_0"))
    assert codes(foreign) == codes(missing) == {("/warm_start/checkpoint", "unknown_checkpoint")}
    assert foreign.json()["errors"] == missing.json()["errors"]
    of_job = ours.submitter.post("/v1/jobs", json=starting(ours, {"job": job_id}))
    assert codes(of_job) == {("/warm_start/checkpoint/job", "unknown_job")}


def test_a_job_without_a_checkpoint_has_nothing_to_start_from(ours: Tenant) -> None:
    answer = ours.submitter.post("/v1/jobs", json=starting(ours, {"job": ours.running_job()}))
    assert codes(answer) == {("/warm_start/checkpoint", "no_checkpoint")}


def test_what_does_not_fit_is_told_with_everything_else(ours: Tenant) -> None:
    _, checkpoint = earlier(ours)
    spec = starting(ours, checkpoint.id, network={"type": "mlp", "hidden": [17]}, schedule={"type": "plateau"})
    told = codes(ours.submitter.post("/v1/jobs", json=spec))
    assert told > {("/warm_start/layers", "shape"), ("/schedule/metric", "no_validation")}
    answer = ours.reader.post("/v1/jobs/validate", json=spec)
    details = [error["detail"] for error in answer.json()["errors"] if error["code"] == "shape"]
    assert "The weight of `hidden.0` is 17 × 64 here and 16 × 64 in the checkpoint" in details


@pytest.mark.parametrize("named", [{}, {"job": 3}, ["ckpt"], 3, None])
def test_a_checkpoint_has_an_id(ours: Tenant, named: Any) -> None:
    answer = ours.submitter.post("/v1/jobs", json=starting(ours, named))
    assert all(pointer.startswith("/warm_start/checkpoint") for pointer, _ in codes(answer))


def test_a_job_is_not_deleted_while_another_one_starts_from_it(ours: Tenant) -> None:
    job_id, checkpoint = earlier(ours)
    ours.succeed(job_id)
    successor = ours.submitter.post("/v1/jobs", json=starting(ours, checkpoint.id)).json()["id"]
    refused = ours.submitter.delete(f"/v1/jobs/{job_id}")
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "checkpoint_in_use")
    ours.submitter.post(f"/v1/jobs/{successor}/cancel")
    assert ours.submitter.delete(f"/v1/jobs/{job_id}").status_code == 409
    assert ours.submitter.delete(f"/v1/jobs/{successor}").status_code == 204
    assert ours.submitter.delete(f"/v1/jobs/{job_id}").status_code == 204
