"""A POST that is sent again."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from models import idempotency, projects
from tests.api.conftest import Tenant, spec_on


def test_the_same_request_has_the_same_answer(ours: Tenant) -> None:
    submitter, spec = ours.submitter, spec_on(ours.dataset())
    first, again = (submitter.post("/v1/jobs", json=spec, headers={"Idempotency-Key": "k"}) for _ in range(2))
    assert (again.status_code, again.content, again.headers["location"]) == (
        201,
        first.content,
        first.headers["location"],
    )
    assert ("idempotent-replayed" in first.headers, again.headers["idempotent-replayed"]) == (False, "true")
    assert len(ours.reader.get("/v1/jobs").json()["data"]) == 1


def test_a_quoted_key_is_the_same_key(ours: Tenant) -> None:
    submitter = ours.submitter
    keys = ("k", '"k"')
    ids = {
        submitter.post("/v1/datasets", json={"name": "x"}, headers={"Idempotency-Key": k}).json()["id"] for k in keys
    }
    assert len(ids) == 1


def test_the_order_of_keys_and_spaces_do_not_make_another_request(ours: Tenant) -> None:
    admin = ours.admin
    headers = {"Idempotency-Key": "k", "Content-Type": "application/json"}
    bodies = (b'{"name":"x","scope":"read"}', b'{ "scope": "read", "name": "x" }')
    assert [admin.post("/v1/api-keys", content=body, headers=headers).status_code for body in bodies] == [201, 201]


def test_another_request_with_the_key_is_refused(ours: Tenant) -> None:
    submitter = ours.submitter
    answers = [
        submitter.post("/v1/datasets", json={"name": name}, headers={"Idempotency-Key": "k"}) for name in ("x", "y")
    ]
    assert answers[1].status_code == 422
    assert answers[1].json()["error"]["code"] == "idempotency_key_reused"


def test_the_key_of_another_caller_is_another_key(ours: Tenant, theirs: Tenant) -> None:
    headers = {"Idempotency-Key": "k"}
    made = [tenant.submitter.post("/v1/datasets", json={"name": "x"}, headers=headers) for tenant in (ours, theirs)]
    assert made[0].json()["id"] != made[1].json()["id"]


def test_an_error_is_not_kept(ours: Tenant) -> None:
    submitter, spec = ours.submitter, spec_on("ds_nobody")
    headers = {"Idempotency-Key": "k"}
    assert submitter.post("/v1/jobs", json=spec, headers=headers).status_code == 422
    assert submitter.post("/v1/jobs", json=spec_on(ours.dataset()), headers=headers).status_code == 201


@pytest.mark.parametrize("key", ["", '""', "a b", "x" * 256, "\xe9"])
def test_a_key_that_cannot_be_kept_is_refused(ours: Tenant, key: str) -> None:
    headers = {**ours.submitter.headers, "Content-Type": "application/json"}
    raw = {name.encode(): value.encode() for name, value in headers.items()} | {
        b"Idempotency-Key": key.encode("latin-1")
    }
    answer = ours.world.client.post("/v1/datasets", content=b'{"name": "x"}', headers=raw)
    assert answer.status_code == 422


def test_fifty_at_once_make_one_job(ours: Tenant, theirs: Tenant) -> None:
    submitter, spec = ours.submitter, spec_on(ours.dataset())

    def post(_: int) -> tuple[int, str]:
        answer = submitter.post("/v1/jobs", json=spec, headers={"Idempotency-Key": "the-same"})
        return answer.status_code, answer.json().get("id", answer.text)

    with ThreadPoolExecutor(50) as pool:
        answers = set(pool.map(post, range(50)))
    assert len(answers) == 1
    assert len(ours.reader.get("/v1/jobs").json()["data"]) == 1
    other = submitter.post("/v1/jobs", json=spec | {"seed": 1}, headers={"Idempotency-Key": "the-same"})
    assert other.status_code == 422
    spec = spec_on(theirs.dataset())
    assert theirs.submitter.post("/v1/jobs", json=spec, headers={"Idempotency-Key": "the-same"}).status_code == 201


def test_nobody_waits_long_for_a_request_that_hangs(ours: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    services, submitter = ours.world.services, ours.submitter
    if services.settings.is_sqlite:
        pytest.skip("SQLite has one writer: there is no row to wait on")
    monkeypatch.setattr(idempotency, "PATIENCE_SECONDS", 1)
    with services.database.read() as session:
        key = projects.keys_of(session, ours.project_id)[-1]
    with services.database.write() as session:
        idempotency.take(session, key.id, "k", "0" * 64)
        answer = submitter.post("/v1/datasets", json={"name": "x"}, headers={"Idempotency-Key": "k"})
        session.rollback()
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "in_flight")
    assert answer.headers["x-should-retry"] == "true"


def test_a_secret_is_told_once(ours: Tenant) -> None:
    admin = ours.admin
    bodies = [admin.post("/v1/api-keys", json={"name": "x"}, headers={"Idempotency-Key": "k"}).json() for _ in range(2)]
    assert bodies[0]["key"].startswith("tw_")
    assert bodies[1] == bodies[0] | {"key": None}
