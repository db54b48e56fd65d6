"""A job that was acknowledged is there, once, whatever dies around its making."""

import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from sqlalchemy import make_url

from models.queue import Bell, celery_app
from tests.faults.conftest import quick
from tests.faults.proxy import proxy
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


def test_p3_fifty_posts_with_one_key_make_one_job(installation: Service, dataset_id: str) -> None:
    spec, key = quick(dataset_id), {"Idempotency-Key": "the-same"}
    with ThreadPoolExecutor(50) as pool:
        replies = list(pool.map(lambda _: installation.http.post("/v1/jobs", json=spec, headers=key), range(50)))
    assert {reply.status_code for reply in replies} == {201}, {reply.text for reply in replies}
    (job_id,) = {reply.json()["id"] for reply in replies}
    assert len(installation.http.get("/v1/jobs").json()["data"]) == 1
    assert installation.http.post("/v1/jobs", json=spec | {"seed": 1}, headers=key).status_code == 422
    installation.start_worker()
    installation.submitted.append(job_id)
    assert installation.finish(job_id)["attempt"] == 1


@pytest.mark.chaos
@pytest.mark.parametrize("how", ["refuses", "black_hole"])
def test_p4_jobs_are_taken_while_the_broker_is_away(
    installation: Service, dataset_id: str, redis_url: str, how: str
) -> None:
    url = make_url(redis_url)
    with proxy("127.0.0.1", int(url.port or 6379)) as broker:
        through = {"TRAINWRIGHT_BROKER_URL": url.set(port=broker.port).render_as_string(hide_password=False)}
        installation.start_api(**through)
        installation.start_worker(TRAINWRIGHT_WORKER_SLOTS="2", **through)
        setattr(broker, how, True)
        broker.reset()
        for _ in range(20):
            begun = time.monotonic()
            installation.submit(quick(dataset_id))
            assert time.monotonic() - begun < 1
        broker.heal()
        jobs = [installation.finish(job_id) for job_id in installation.submitted]
        installation.workers[-1].terminate()
        installation.workers[-1].wait()
    assert {(job["status"], job["attempt"]) for job in jobs} == {("succeeded", 1)}


@pytest.mark.chaos
def test_p4_jobs_are_taken_while_there_is_no_broker_at_all(installation: Service, dataset_id: str) -> None:
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
        bell.ring([("train", job_id)])
    bell.close()
    for _ in range(3):
        installation.start_worker()
    jobs = [installation.finish(job_id) for job_id in job_ids]
    assert {(job["status"], job["attempt"]) for job in jobs} == {("succeeded", 1)}
