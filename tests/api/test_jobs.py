"""Jobs over HTTP."""

import copy
import hashlib
import json
import threading
import time

import hypothesis
import pytest
from hypothesis import strategies as st
from sqlalchemy import select

from api.examples import SPEC
from models import jobs
from models.tables import Attempt, Checkpoint, Event, MetricChunk
from tests.api.conftest import Json, Tenant, spec_on


def test_a_job_is_there_once_it_is_acknowledged(ours: Tenant) -> None:
    answer = ours.submitter.post("/v1/jobs", json=spec_on(ours.dataset(), name="first"))
    job = answer.json()
    assert (answer.status_code, answer.headers["location"]) == (201, f"/v1/jobs/{job['id']}")
    assert (job["status"], job["name"], job["attempt"]) == ("queued", "first", 0)
    assert ours.reader.get(answer.headers["location"]).json() == job


def test_a_queued_job_says_what_it_waits_for(ours: Tenant) -> None:
    first, second = (ours.reader.get(f"/v1/jobs/{ours.job()}").json() for _ in range(2))
    assert second["queue_position"] > first["queue_position"], "and others' first jobs are between them"
    assert second["status_reason"] == "waiting for a worker: none is online"


def test_the_resolved_spec_has_every_default_and_its_hash(ours: Tenant) -> None:
    job = ours.reader.get(f"/v1/jobs/{ours.job()}").json()
    canonical = json.dumps(job["resolved_spec"], sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert job["spec_sha256"] == hashlib.sha256(canonical.encode()).hexdigest()
    assert job["resolved_spec"]["loss"]["type"] == "cross_entropy"
    assert "loss" not in job["spec"]


@pytest.mark.parametrize(
    ("change", "pointer", "code", "suggestion"),
    [
        ({"clippin": {"type": "global_norm"}}, "/clippin", "unknown_key", "clipping"),
        ({"schedule": {"type": "cosin"}}, "/schedule/type", "unknown_type", "cosine"),
        ({"network": {"type": "mlp", "hidden": [10**9]}}, "/network/hidden/0", "too_large", None),
        ({"training": {"epochs": 2, "batch_size": 0}}, "/training/batch_size", "greater_than_equal", None),
        ({"dataset": {"id": "ds_nobody"}}, "/dataset/id", "unknown_dataset", None),
        ({"id": "job_mine"}, "/id", "unknown_key", None),
        ({"status": "succeeded"}, "/status", "unknown_key", None),
    ],
)
def test_a_bad_spec_is_refused_where_it_is_bad(
    ours: Tenant, change: dict[str, object], pointer: str, code: str, suggestion: str | None
) -> None:
    answer = ours.submitter.post("/v1/jobs", json=spec_on(ours.dataset()) | change)
    assert answer.status_code == 422
    item = next(item for item in answer.json()["errors"] if item["pointer"] == pointer)
    assert (item["code"], item.get("suggestion")) == (code, suggestion)


def test_all_mistakes_are_told_at_once(ours: Tenant) -> None:
    spec = spec_on(ours.dataset(), optimizer={"type": "sgdd"}, training={"epochs": -1, "batch_size": "many"})
    pointers = {item["pointer"] for item in ours.submitter.post("/v1/jobs", json=spec).json()["errors"]}
    assert pointers == {"/optimizer/type", "/training/epochs", "/training/batch_size"}


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@hypothesis.settings(
    max_examples=150, deadline=None, suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture]
)
@hypothesis.given(st.data())
def test_whatever_a_spec_says_the_answer_is_no_fault_of_ours(ours: Tenant, data: st.DataObject) -> None:
    sent = copy.deepcopy(SPEC) | {"dataset": {"id": ours.dataset(), "validation": {"fraction": 0.1}}}
    place: Json = sent
    key = data.draw(st.sampled_from([*sent, "x"]))
    if isinstance(sent.get(key), dict) and data.draw(st.booleans()):
        place = sent[key]
        key = data.draw(st.sampled_from([*place, "x"]))
    place[key] = data.draw(anything)
    body = json.dumps(sent).encode()
    answer = ours.reader.post("/v1/jobs/validate", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code in (200, 422)


def test_what_was_sent_is_not_echoed(ours: Tenant) -> None:
    spec = spec_on(ours.dataset(), optimizer={"type": "hunter2", "learning_rate": "hunter2"})
    assert "hunter2" not in ours.submitter.post("/v1/jobs", json=spec).text


def test_a_data_set_that_is_not_ready_is_refused_with_its_state(ours: Tenant) -> None:
    dataset = ours.submitter.post("/v1/datasets", json={"name": "empty"}).json()
    answer = ours.submitter.post("/v1/jobs", json=spec_on(dataset["id"]))
    assert answer.json()["errors"][0]["code"] == "dataset_not_ready"
    assert "uploading" in answer.json()["detail"]


def test_validation_says_what_a_job_would_cost(ours: Tenant) -> None:
    answer = ours.reader.post("/v1/jobs/validate", json=spec_on(ours.dataset())).json()
    assert (answer["valid"], answer["errors"]) == (True, [])
    assert answer["estimate"]["parameters"] == 64 * 16 + 16 + 16 * 2 + 2
    assert ours.reader.get("/v1/jobs").json()["data"] == []


def test_validation_of_a_bad_spec_is_an_answer_not_an_error(ours: Tenant) -> None:
    answer = ours.reader.post("/v1/jobs/validate", json=spec_on(ours.dataset(), seed=-1))
    assert (answer.status_code, answer.json()["valid"]) == (200, False)
    assert answer.json()["errors"][0]["pointer"] == "/seed"


def test_a_project_has_only_so_many_active_jobs(ours: Tenant) -> None:
    spec = spec_on(ours.dataset())
    for _ in range(100):
        with ours.world.services.database.write() as session:
            jobs.create(
                session, project_id=ours.project_id, dataset_id=spec["dataset"]["id"], spec={}, resolved_spec={},
                spec_sha256="0" * 64, warnings=[],
            )  # fmt: skip
    answer = ours.submitter.post("/v1/jobs", json=spec)
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "30")


def test_pages_cover_the_list_once(ours: Tenant) -> None:
    made = [ours.job() for _ in range(5)]
    seen: list[str] = []
    while True:
        page = ours.reader.get(
            "/v1/jobs", params={"limit": 2, "order": "asc", **({"after": seen[-1]} if seen else {})}
        ).json()
        seen += [job["id"] for job in page["data"]]
        if not page["has_more"]:
            break
    assert seen == made


def test_filters_narrow_the_list(ours: Tenant) -> None:
    job_id = ours.job()
    ours.submitter.post(f"/v1/jobs/{ours.job()}/cancel")
    dataset_id = ours.reader.get(f"/v1/jobs/{job_id}").json()["dataset_id"]
    for params in ({"status": "queued"}, {"dataset": dataset_id}):
        assert [job["id"] for job in ours.reader.get("/v1/jobs", params=params).json()["data"]] == [job_id]
    assert len(ours.reader.get("/v1/jobs?status=queued&status=cancelled").json()["data"]) == 2
    assert ours.reader.get("/v1/jobs", params={"name": "50%_"}).json()["data"] == []


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=101", "limit=x", "status=done", "order=up", "after=%00", "name=%00"]
)
def test_a_bad_query_is_refused_by_name(ours: Tenant, query: str) -> None:
    answer = ours.reader.get(f"/v1/jobs?{query}")
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["parameter"] == query.split("=")[0]


def test_an_unchanged_job_is_not_sent_again(ours: Tenant) -> None:
    path = f"/v1/jobs/{ours.running_job()}"
    first = ours.reader.get(path)
    again = ours.reader.get(path, headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", first.headers["etag"])
    assert again.headers["retry-after"] == "1"


def test_a_changed_job_is_sent_again(ours: Tenant) -> None:
    job_id = ours.running_job()
    first = ours.reader.get(f"/v1/jobs/{job_id}")
    ours.report(job_id, {"step": [1, 2], "train/loss": [0.5, 0.4]})
    again = ours.reader.get(f"/v1/jobs/{job_id}", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.json()["progress"]) == (200, {"step": 2})


def test_waiting_ends_with_a_change(ours: Tenant) -> None:
    job_id, reader = ours.running_job(), ours.reader
    threading.Timer(0.3, ours.succeed, [job_id]).start()
    started = time.monotonic()
    answer = reader.get(f"/v1/jobs/{job_id}?wait=10")
    assert answer.json()["status"] == "succeeded"
    assert 0.2 < time.monotonic() - started < 3


def test_waiting_does_not_miss_what_has_changed_already(ours: Tenant) -> None:
    job_id, reader = ours.running_job(), ours.reader
    known = reader.get(f"/v1/jobs/{job_id}").headers["etag"]
    ours.report(job_id, {"step": [1]})
    started = time.monotonic()
    assert reader.get(f"/v1/jobs/{job_id}?wait=10", headers={"If-None-Match": known}).status_code == 200
    assert time.monotonic() - started < 2


def test_waiting_for_nothing_ends_in_time(ours: Tenant) -> None:
    path, reader = f"/v1/jobs/{ours.running_job()}", ours.reader
    known = reader.get(path).headers["etag"]
    assert reader.get(f"{path}?wait=0.3", headers={"If-None-Match": known}).status_code == 304


def test_many_who_wait_hold_no_connection(ours: Tenant) -> None:
    job_id, reader = ours.running_job(), ours.reader
    path = f"/v1/jobs/{job_id}"
    waiting = [threading.Thread(target=reader.get, args=[f"{path}?wait=30"]) for _ in range(60)]
    for thread in waiting:
        thread.start()
    time.sleep(1)
    assert reader.get(path).status_code == 200
    assert all(thread.is_alive() for thread in waiting)
    ours.succeed(job_id)
    for thread in waiting:
        thread.join()


def test_a_job_that_ended_is_deleted_with_its_rows_and_its_objects(ours: Tenant) -> None:
    job_id, other = ours.running_job(), ours.running_job()
    for one in (job_id, other):
        ours.report(one, {"step": [1], "train/loss": [0.5]})
        ours.checkpoint(one)
        ours.succeed(one)
    assert ours.submitter.delete(f"/v1/jobs/{job_id}").status_code == 204
    storage = ours.world.services.storage
    assert list(storage.keys(f"jobs/{job_id}")) == []
    assert len(list(storage.keys(f"jobs/{other}"))) == 1
    for path in ("", "/events", "/metrics", "/checkpoints"):
        assert ours.reader.get(f"/v1/jobs/{job_id}{path}").status_code == 404
    with ours.world.services.database.read() as session:
        for table in (Event, Attempt, MetricChunk, Checkpoint):
            assert session.scalars(select(table).where(table.job_id == job_id)).all() == []
    assert ours.submitter.delete(f"/v1/jobs/{job_id}").status_code == 404


def test_a_job_that_has_not_ended_is_not_deleted(ours: Tenant) -> None:
    for job_id in (ours.job(), ours.running_job()):
        answer = ours.submitter.delete(f"/v1/jobs/{job_id}")
        assert (answer.status_code, answer.json()["error"]["code"]) == (409, "job_not_ended")


def test_a_data_set_can_go_once_its_jobs_are_gone(ours: Tenant) -> None:
    job_id = ours.running_job()
    ours.succeed(job_id)
    dataset_id = ours.reader.get(f"/v1/jobs/{job_id}").json()["dataset_id"]
    assert ours.submitter.delete(f"/v1/datasets/{dataset_id}").status_code == 409
    ours.submitter.delete(f"/v1/jobs/{job_id}")
    assert ours.submitter.delete(f"/v1/datasets/{dataset_id}").status_code == 204


@pytest.mark.parametrize("part", ["", "/events", "/metrics"])
def test_while_a_job_runs_its_answers_say_when_to_come_again(ours: Tenant, part: str) -> None:
    job_id = ours.running_job()
    running = ours.reader.get(f"/v1/jobs/{job_id}{part}")
    known = {"If-None-Match": running.headers["etag"]}
    assert running.headers["retry-after"] == "1"
    assert ours.reader.get(f"/v1/jobs/{job_id}{part}", headers=known).status_code == 304
    ours.succeed(job_id)
    assert "retry-after" not in ours.reader.get(f"/v1/jobs/{job_id}{part}").headers


def test_a_report_is_told_by_the_job_and_neither_by_a_list_nor_by_its_event(ours: Tenant) -> None:
    job_id = ours.running_job()
    ours.succeed(job_id)
    path, last = f"/v1/jobs/{job_id}", {"last": {"train/loss": 0.5}}
    assert ours.reader.get(path).json()["summary"] == {**last, "report": {"epoch": 1}}
    assert ours.reader.get("/v1/jobs").json()["data"][0]["summary"] == last
    assert ours.reader.get(f"{path}/events").json()["data"][-1]["data"] == last


def test_a_job_says_how_long_it_has_had_a_device_once_an_attempt_has_ended(ours: Tenant) -> None:
    job_id = ours.running_job()
    path = f"/v1/jobs/{job_id}"
    before = ours.reader.get(path)
    assert before.json()["usage"] == {"device_seconds": 0}
    time.sleep(0.1)
    assert ours.reader.get(path, headers={"If-None-Match": before.headers["etag"]}).status_code == 304
    ours.succeed(job_id)
    seconds = ours.reader.get(path).json()["usage"]["device_seconds"]
    assert 0.1 <= seconds < 60
    assert ours.reader.get("/v1/jobs").json()["data"][0]["usage"] == {"device_seconds": seconds}


def test_every_address_that_a_job_names_is_one_of_the_api(ours: Tenant) -> None:
    job_id = ours.job()
    urls = ours.reader.get(f"/v1/jobs/{job_id}").json()["urls"]
    assert ours.reader.get(urls.pop("dataset")).status_code == 200
    named = {path.replace(job_id, "{job_id}") for path in urls.values()}
    paths = ours.reader.get("/openapi.json").json()["paths"]
    assert named == {path for path in paths if path.startswith("/v1/jobs/{job_id}") and path.count("/") < 5}
