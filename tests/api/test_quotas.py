"""What a project may: measured where the room is taken, also when many come at once."""

from concurrent.futures import ThreadPoolExecutor

from models import usage
from tests.api.conftest import Tenant, spec_on


def test_parallel_posts_never_overrun_the_limit(ours: Tenant) -> None:
    spec, submitter = spec_on(ours.dataset()), ours.limited(active_jobs=3).submitter
    with ThreadPoolExecutor(12) as clients:
        answers = list(clients.map(lambda _: submitter.post("/v1/jobs", json=spec), range(12)))
    assert sorted(answer.status_code for answer in answers) == [201] * 3 + [429] * 9
    assert all(answer.headers["retry-after"] == "30" for answer in answers if answer.status_code == 429)


def test_room_for_a_job_is_there_again_when_one_has_ended(ours: Tenant) -> None:
    job_id = ours.job()
    ours.limited(active_jobs=1)
    fork = f"/v1/jobs/{job_id}/fork"
    assert ours.submitter.post(fork, json={}).status_code == 429
    ours.submitter.post(f"/v1/jobs/{job_id}/cancel")
    assert ours.submitter.post(fork, json={}).status_code == 201
    assert ours.submitter.post(f"/v1/jobs/{job_id}/retry").status_code == 429


def test_one_project_s_limit_is_not_another_s(ours: Tenant, theirs: Tenant) -> None:
    ours.limited(active_jobs=0)
    assert theirs.job()


def test_an_upload_that_does_not_fit_is_refused_early_and_leaves_nothing(ours: Tenant) -> None:
    dataset = ours.submitter.post("/v1/datasets", json={"name": "x"}).json()["id"]
    path = f"/v1/datasets/{dataset}/content?filename=a.zip"
    ours.limited(storage_bytes=1000)
    assert ours.submitter.put(path, content=b"x" * 1001).status_code == 413
    assert list(ours.world.services.storage.keys(f"datasets/{dataset}")) == []
    assert ours.submitter.put(path, content=b"x" * 1000).status_code == 202
    other = ours.submitter.post("/v1/datasets", json={"name": "y"}).json()["id"]
    answer = ours.submitter.put(f"/v1/datasets/{other}/content?filename=a.zip", content=b"x")
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "storage_limit")
    assert answer.headers["x-should-retry"] == "false"


def test_a_job_whose_checkpoint_would_not_fit_is_refused(ours: Tenant) -> None:
    dataset = ours.dataset()
    ours.limited(storage_bytes=100)
    answer = ours.submitter.post("/v1/jobs", json=spec_on(dataset))
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "storage_limit")


def test_uploads_packed_data_and_weights_are_what_is_stored(ours: Tenant) -> None:
    job_id = ours.running_job()
    ours.checkpoint(job_id, b"w" * 500)
    with ours.world.services.database.read() as session:
        assert usage.storage_bytes(session, ours.project_id) == 3 + 2 * 6400 + 500


def test_a_key_that_asks_too_often_is_told_when_to_come_again(ours: Tenant) -> None:
    ours.limited(requests_per_minute=5)
    reader, other = ours.reader, ours.reader
    answers = [reader.get("/v1/workers") for _ in range(6)]
    assert [answer.status_code for answer in answers] == [200] * 5 + [429]
    assert 1 <= int(answers[-1].headers["retry-after"]) <= 60
    assert answers[-1].json()["error"]["type"] == "rate_limit_error"
    assert other.get("/v1/workers").status_code == 200
