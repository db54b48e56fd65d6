"""A job that was acknowledged is there, once, whatever dies around its making."""

import time

import httpx
import pytest

from models.queue import Bell, celery_app
from tests.faults.conftest import quick
from tests.servers.redis import flush
from tests.service import Service


@pytest.mark.parametrize(
    "place",
    [
        pytest.param("post.before_commit", marks=pytest.mark.chaos),
        "post.after_commit",
        pytest.param("post.after_ring", marks=pytest.mark.chaos),
    ],
)
def test_p1_p2_a_post_whose_api_dies_is_sent_again_and_makes_one_job(
    installation: Service, dataset_id: str, place: str
) -> None:
    installation.start_worker()
    installation.start_api(TRAINWRIGHT_FAILPOINTS=f"{place}=kill")
    key = {"Idempotency-Key": f"once-{place}"}
    with pytest.raises(httpx.TransportError):
        installation.http.post("/v1/jobs", json=quick(dataset_id), headers=key)
    assert installation.api.wait() == -9
    installation.start_api()
    replies = [installation.http.post("/v1/jobs", json=quick(dataset_id), headers=key) for _ in range(2)]
    assert [reply.status_code for reply in replies] == [201, 201]
    assert replies[0].json()["id"] == replies[1].json()["id"]
    assert len(installation.http.get("/v1/jobs").json()["data"]) == 1
    installation.submitted.append(replies[0].json()["id"])
    assert installation.finish(installation.submitted[0])["status"] == "succeeded"


@pytest.mark.chaos
def test_p4_jobs_are_taken_while_the_broker_is_away(installation: Service, dataset_id: str) -> None:
    installation.start_api(TRAINWRIGHT_BROKER_URL="redis://127.0.0.1:1/0")
    for _ in range(20):
        begun = time.monotonic()
        installation.submit(quick(dataset_id))
        assert time.monotonic() - begun < 1
    installation.start_worker(TRAINWRIGHT_WORKER_SLOTS="2")
    jobs = [installation.finish(job_id) for job_id in installation.submitted]
    assert {(job["status"], job["attempt"]) for job in jobs} == {("succeeded", 1)}


def test_p5_a_broker_that_forgets_everything_loses_no_job(
    installation: Service, dataset_id: str, redis_url: str
) -> None:
    for _ in range(20):
        installation.submit(quick(dataset_id))
    flush(redis_url)
    installation.start_worker(TRAINWRIGHT_WORKER_SLOTS="2")
    jobs = [installation.finish(job_id) for job_id in installation.submitted]
    assert {(job["status"], job["attempt"]) for job in jobs} == {("succeeded", 1)}


@pytest.mark.chaos
def test_p6_a_message_that_comes_ten_times_is_one_attempt(installation: Service, dataset_id: str) -> None:
    job_ids = [installation.submit(quick(dataset_id)) for _ in range(5)]
    settings = installation.read_settings()
    bell = Bell(settings, celery_app(settings))
    for job_id in job_ids * 10:
        bell.ring("train", job_id)
    bell.close()
    for _ in range(3):
        installation.start_worker()
    jobs = [installation.finish(job_id) for job_id in job_ids]
    assert {(job["status"], job["attempt"]) for job in jobs} == {("succeeded", 1)}
