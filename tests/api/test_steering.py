"""What a user may do to a job on its way, over HTTP."""

import pytest

from models import jobs
from models.failures import Failure
from models.states import FailureCode
from tests.api.conftest import Tenant


def test_a_queued_job_is_cancelled_at_once_and_once(ours: Tenant) -> None:
    path = f"/v1/jobs/{ours.job()}"
    answers = [ours.submitter.post(f"{path}/cancel") for _ in range(2)]
    assert [(answer.status_code, answer.json()["status"]) for answer in answers] == [(202, "cancelled")] * 2
    types = [event["type"] for event in ours.reader.get(f"{path}/events").json()["data"]]
    assert types == ["job.created", "job.cancelled"]


def test_a_running_job_is_asked_to_stop(ours: Tenant) -> None:
    path = f"/v1/jobs/{ours.running_job()}"
    job = ours.submitter.post(f"{path}/cancel").json()
    assert (job["status"], job["desired_state"]) == ("running", "cancel")
    assert job["status_reason"] == "stopping: a cancel was asked for"


def test_what_has_ended_cannot_be_cancelled(ours: Tenant) -> None:
    job_id = ours.running_job()
    ours.succeed(job_id)
    answer = ours.submitter.post(f"/v1/jobs/{job_id}/cancel")
    assert (answer.status_code, answer.headers["x-should-retry"]) == (409, "false")


def test_a_queued_job_rests_and_goes_on(ours: Tenant) -> None:
    path = f"/v1/jobs/{ours.job()}"
    for word, status in (("pause", "paused"), ("pause", "paused"), ("resume", "queued"), ("resume", "queued")):
        answer = ours.submitter.post(f"{path}/{word}")
        assert (answer.status_code, answer.json()["status"]) == (202, status)
    types = [event["type"] for event in ours.reader.get(f"{path}/events").json()["data"]]
    assert types == ["job.created", "job.paused", "job.resumed"]


def test_a_running_job_is_asked_to_rest(ours: Tenant) -> None:
    job = ours.submitter.post(f"/v1/jobs/{ours.running_job()}/pause").json()
    assert (job["status"], job["desired_state"]) == ("running", "pause")
    assert job["status_reason"] == "a pause was asked for: it is saving where it is"


def test_a_job_that_failed_is_tried_again(ours: Tenant) -> None:
    job_id = fail(ours, FailureCode.STORAGE_FULL)
    job = ours.submitter.post(f"/v1/jobs/{job_id}/retry").json()
    assert (job["status"], job["failure"], job["finished_at"]) == ("queued", None, None)
    assert ours.submitter.post(f"/v1/jobs/{job_id}/retry").json()["error"]["code"] == "not_failed"


def test_a_job_that_rests_says_until_when(ours: Tenant) -> None:
    job_id = ours.running_job()
    full = Failure(FailureCode.STORAGE_FULL, "no room")
    with ours.world.services.database.write() as session:
        jobs.retry(session, job_id, 1, failure=full, fruitless_limit=3, rest_seconds=60)
    assert "left in peace until" in ours.reader.get(f"/v1/jobs/{job_id}").json()["status_reason"]
    events = ours.reader.get(f"/v1/jobs/{job_id}/events").json()["data"]
    assert events[-1]["data"] == {"reason": "no room", "rest_seconds": 60}


def test_a_job_that_diverged_would_do_so_again(ours: Tenant) -> None:
    answer = ours.submitter.post(f"/v1/jobs/{fail(ours, FailureCode.DIVERGED)}/retry")
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "would_fail_again")


def test_what_is_sent_again_with_its_key_is_done_once(ours: Tenant) -> None:
    path, submitter = f"/v1/jobs/{fail(ours, FailureCode.STORAGE_FULL)}/retry", ours.submitter
    first, again = (submitter.post(path, headers={"Idempotency-Key": "k"}) for _ in range(2))
    assert (first.status_code, again.status_code, again.json()) == (202, 202, first.json())
    assert ("idempotent-replayed" in first.headers, again.headers["idempotent-replayed"]) == (False, "true")
    other = submitter.post(path.replace("retry", "cancel"), headers={"Idempotency-Key": "k"})
    assert (other.status_code, other.json()["error"]["code"]) == (422, "idempotency_key_reused")


@pytest.mark.parametrize("word", ["pause", "resume", "retry"])
def test_what_has_succeeded_is_done(ours: Tenant, word: str) -> None:
    job_id = ours.running_job()
    ours.succeed(job_id)
    answer = ours.submitter.post(f"/v1/jobs/{job_id}/{word}")
    assert (answer.status_code, answer.headers["x-should-retry"]) == (409, "false")


@pytest.mark.parametrize("word", ["cancel", "pause", "resume", "retry"])
def test_nobody_else_steers_a_job(ours: Tenant, theirs: Tenant, word: str) -> None:
    path = f"/v1/jobs/{ours.job()}/{word}"
    assert theirs.submitter.post(path).status_code == 404
    assert ours.reader.post(path).status_code == 403


def fail(tenant: Tenant, code: FailureCode) -> str:
    job_id = tenant.running_job()
    with tenant.world.services.database.write() as session:
        jobs.fail(session, job_id, 1, Failure(code, "it failed"))
    return job_id
