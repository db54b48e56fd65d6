"""Bodies, paths and headers that nobody sends by mistake: refused with a 4xx, never answered with a 5xx."""

import json
import time
from typing import Any

import pytest

from api import resources
from tests.api.conftest import Json, Tenant, spec_on

JSON = "application/json"
DEEP = 100_000
BODIES: dict[str, tuple[bytes, str, set[int]]] = {
    "NaN": (b'{"name": NaN}', JSON, {422}),
    "infinity": (b'{"name": -Infinity}', JSON, {422}),
    "1e999": (b'{"name": 1e999}', JSON, {422}),
    "10^400": (b'{"name": 1' + b"0" * 400 + b"}", JSON, {422}),
    "10^5000": (b'{"name": 1' + b"0" * 5000 + b"}", JSON, {422}),
    "a key twice": (b'{"name": "a", "name": "b"}', JSON, {422}),
    "a key twice, deep": (b'{"name": {"a": [{"b": 1, "b": 2}]}}', JSON, {422}),
    "NUL": (b'{"name": "a\\u0000b"}', JSON, {422}),
    "NUL in a key": (b'{"a\\u0000": 1}', JSON, {422}),
    "raw NUL": (b'{"name": "a\x00b"}', JSON, {400}),
    "half a surrogate pair": (b'{"name": "\\ud800"}', JSON, {422}),
    "half a surrogate pair in a key": (b'{"\\udfff": 1}', JSON, {422}),
    "raw surrogate": (b'{"name": "\xed\xa0\x80"}', JSON, {400}),
    "arrays in arrays": (b"[" * DEEP + b"]" * DEEP, JSON, {413, 422}),
    "objects in objects": (b'{"a":' * DEEP + b"1" + b"}" * DEEP, JSON, {413, 422}),
    "arrays in arrays, small": (b"[" * 9000 + b"]" * 9000, JSON, {422}),
    "never closed": (b"[" * 9000, JSON, {400, 422}),
    "BOM": (b'\xef\xbb\xbf{"name": "a"}', JSON, {400}),
    "UTF-16": ('{"name": "a"}'.encode("utf-16"), JSON, {400}),
    "not UTF-8": (b'{"name": "\xff"}', JSON, {400}),
    "nothing": (b"", JSON, {400}),
    "two values": (b'{"name": "a"}{"name": "b"}', JSON, {400}),
    "a comment": (b'{"name": "a"} // b', JSON, {400}),
    "too long": (b'{"name": "' + b"a" * 30_000 + b'"}', JSON, {413}),
    "a number": (b"1", JSON, {422}),
    "null": (b"null", JSON, {422}),
    "text": (b'"name"', JSON, {422}),
    "a list": (b"[]", JSON, {422}),
    "unknown keys": (json.dumps({f"k{n}": n for n in range(1000)}).encode(), JSON, {422}),
    "__proto__": (b'{"__proto__": {"admin": true}, "__class__": 1}', JSON, {422}),
    "server-owned": (b'{"id": "x", "project_id": "x", "status": "succeeded", "scope": 1}', JSON, {422}),
    "wrong type": (b'{"name": {"$ne": null}, "overlap_seconds": "x"}', JSON, {422}),
    "form": (b"name=a", "application/x-www-form-urlencoded", {415}),
    "multipart": (b"--a--", "multipart/form-data; boundary=a", {415}),
    "text/json": (b"{}", "text/json", {415}),
    "Latin-1": (b'{"name": "\xe9"}', "application/json; charset=latin-1", {415}),
    "no type": (b"{}", "", {415}),
}
PATHS = [
    "POST /v1/jobs",
    "POST /v1/jobs/validate",
    "POST /v1/jobs/{job}/fork",
    "PATCH /v1/jobs/{job}",
    "POST /v1/datasets",
    "POST /v1/projects",
    "PATCH /v1/projects/{project}",
    "POST /v1/api-keys",
    "POST /v1/api-keys/{key}/rotate",
]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("body", BODIES)
def test_a_hostile_body_is_refused(ours: Tenant, path: str, body: str) -> None:
    admin = ours.admin
    method, _, place = path.partition(" ")
    key = admin.get("/v1/api-keys").json()["last_id"]
    url = place.format(job=ours.job() if "{job}" in place else "", project=ours.project_id, key=key)
    content, kind, statuses = BODIES[body]
    answer = admin.request(method, url, content=content, headers={"Content-Type": kind} if kind else {})
    if path == "POST /v1/jobs/validate" and statuses == {422} and answer.status_code == 200:
        assert answer.json()["valid"] is False
        return
    assert answer.status_code in statuses, answer.text
    assert "Traceback" not in answer.text


@pytest.mark.parametrize(
    "path",
    [
        "/v1/jobs/%00",
        "/v1/jobs/job_%ff%fe",
        "/v1/jobs/..%2f..%2fetc%2fpasswd",
        "/v1/jobs/job_" + "0" * 5000,
        "/v1/jobs/job_" + "٣" * 32,
        "/v1/jobs/' OR 1=1 --",
        "/v1/checkpoints/ckpt_" + "g" * 32 + "/content",
        "/v1/catalog/__class__/x",
        "/v1/jobs?after=job_%27",
        "/v1/jobs?limit=1e3",
        "/v1/jobs?limit=9" + "9" * 4000,
        "/v1/jobs?created_after=9999999999999999999-01-01T00:00:00Z",
        "/v1/jobs?created_after=0001-01-01T00:00:00%2B14:00",
        "/v1/jobs?metadata[a]=%ED%A0%80",
        "/v1/jobs?name=%ED%A0%80",
        "/v1/jobs?tag=" + "x" * 201,
        "/v1/usage?month=9999-99",
        "/v1/compare?jobs=%00,%00",
        "//v1/jobs",
        "/v1/jobs/",
    ],
)
def test_a_hostile_address_is_no_fault_of_ours(ours: Tenant, path: str) -> None:
    assert ours.admin.get(path).status_code < 500


@pytest.mark.parametrize(
    "headers",
    [
        {"If-None-Match": '"' * 5000},
        {"If-None-Match": "*, W/"},
        {"Idempotency-Key": "x" * 256},
        {"Idempotency-Key": '"'},
        {"Range": "bytes=" + "0-0," * 10_000},
        {"Content-Length": "-1"},
        {"X-Request-Id": "<script>"},
        {"Accept": "*/*;q=" + "9" * 1000},
        {"Authorization": "Bearer " + "x" * 9000},
        {"Cookie": "a=" + "x" * 4000},
    ],
    ids=lambda headers: next(iter(headers)),
)
def test_a_hostile_header_is_no_fault_of_ours(ours: Tenant, headers: dict[str, str]) -> None:
    content = f"/v1/checkpoints/{ours.checkpoint(ours.running_job()).id}/content"
    for path in ("/v1/jobs", content):
        assert ours.admin.get(path, headers=headers).status_code < 500
    assert ours.admin.post("/v1/datasets", json={"name": "x"}, headers=headers).status_code < 500


def test_markup_in_names_comes_back_as_it_is_in_json_that_no_browser_reads_as_a_page(ours: Tenant) -> None:
    name = "<img src=x onerror=alert(1)>"
    answer = ours.reader.get(f"/v1/jobs/{ours.job(name=name, tags=[name], notes=name)}")
    assert (answer.json()["name"], answer.json()["notes"]) == (name, name)
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"network": {"type": "mlp", "hidden": [10**9]}}, "/network/hidden/0"),
        ({"network": {"type": "mlp", "hidden": [8] * 600}}, "/network/hidden"),
        ({"training": {"epochs": 10**9, "batch_size": 1}}, "/training/epochs"),
        ({"training": {"epochs": 1, "batch_size": 0}}, "/training/batch_size"),
        ({"optimizer": {"type": "sgd", "learning_rate": -1}}, "/optimizer/learning_rate"),
        ({"optimiser": {"type": "sgd"}}, "/optimiser"),
        ({"loss": {"type": "cross_entropy", "class_weights": [1.0, 1.0, 1.0]}}, "/loss/class_weights"),
    ],
)
def test_p26_an_absurd_spec_is_refused_at_once_and_in_place(ours: Tenant, change: Json, pointer: str) -> None:
    body = spec_on(ours.dataset()) | change
    submitter, seconds = ours.submitter, []
    for _ in range(3):
        started = time.perf_counter()
        answer = submitter.post("/v1/jobs", json=body)
        seconds.append(time.perf_counter() - started)
        assert answer.status_code == 422
        assert pointer in [item["pointer"] for item in answer.json()["errors"]]
    assert min(seconds) < 0.1


@pytest.mark.parametrize(
    ("method", "path", "resource", "ours_to_say"),
    [
        ("POST", "/v1/jobs", resources.Job, {"name", "tags", "notes", "metadata"}),
        ("PATCH", "/v1/jobs/{job}", resources.Job, {"name", "tags", "notes", "metadata"}),
        ("POST", "/v1/jobs/{job}/fork", resources.Job, {"name", "tags", "notes", "metadata"}),
        ("POST", "/v1/datasets", resources.Dataset, {"name"}),
        ("POST", "/v1/projects", resources.CreatedProject, {"name", "limits"}),
        ("PATCH", "/v1/projects/{project}", resources.Project, {"name", "limits"}),
        ("POST", "/v1/api-keys", resources.CreatedApiKey, {"name", "scope", "project_id"}),
    ],
)
def test_p28_what_the_server_says_cannot_be_sent(
    ours: Tenant, method: str, path: str, resource: type[resources.Resource], ours_to_say: set[str]
) -> None:
    owned = resource.model_fields.keys() - ours_to_say
    url = path.format(job=ours.job() if "{job}" in path else "", project=ours.project_id)
    before = ours.admin.get(url).text if method == "PATCH" else ""
    answer = ours.admin.request(method, url, json=dict.fromkeys(owned, "x"))
    assert answer.status_code == 422
    assert {f"/{name}" for name in owned} <= {item["pointer"] for item in answer.json()["errors"]}
    assert method != "PATCH" or ours.admin.get(url).text == before


FOREIGN: dict[str, tuple[str, str, Json | None]] = {
    "a data set in a spec": ("POST", "/v1/jobs", {"dataset": {"id": "{dataset}"}}),
    "a data set in a spec that is only looked at": ("POST", "/v1/jobs/validate", {"dataset": {"id": "{dataset}"}}),
    "a checkpoint to start from": ("POST", "/v1/jobs", {"warm_start": {"checkpoint": "{checkpoint}"}}),
    "a job to start from": ("POST", "/v1/jobs", {"warm_start": {"checkpoint": {"job": "{job}", "which": "best"}}}),
    "a data set in a patch": ("POST", "/v1/jobs/{mine}/fork", {"dataset": {"id": "{dataset}"}}),
    "a checkpoint of a fork": ("POST", "/v1/jobs/{mine}/fork?checkpoint={checkpoint}", {}),
    "a project of a key": ("POST", "/v1/api-keys", {"name": "x", "project_id": "{project}"}),
    "a job to compare": ("GET", "/v1/compare?jobs={mine},{job}", None),
    "an event to go on from": ("GET", "/v1/jobs/{mine}/events?after={event}", None),
    "a project of keys": ("GET", "/v1/api-keys?project={project}", None),
    "a project of figures": ("GET", "/v1/usage?project={project}", None),
    "a data set of jobs": ("GET", "/v1/jobs?dataset={dataset}", None),
}


@pytest.mark.parametrize("case", FOREIGN)
def test_p27_what_is_theirs_is_unknown_wherever_it_is_named(ours: Tenant, theirs: Tenant, case: str) -> None:
    method, path, body = FOREIGN[case]
    job = theirs.running_job()
    found = {
        "mine": ours.job(),
        "dataset": theirs.dataset(),
        "job": job,
        "checkpoint": theirs.checkpoint(job).id,
        "project": theirs.project_id,
        "event": theirs.reader.get(f"/v1/jobs/{job}/events").json()["last_id"],
    }
    nowhere = {name: id_ if name == "mine" else f"{id_.split('_')[0]}_{'0' * 32}" for name, id_ in found.items()}
    spec = spec_on(ours.dataset()) if path in ("/v1/jobs", "/v1/jobs/validate") else {}
    answers = []
    for ids in (found, nowhere):
        sent = None if body is None else spec | _filled(body, ids)
        answer = ours.admin.request(method, path.format(**ids), **({} if sent is None else {"json": sent}))
        answers.append((answer.status_code, answer.json() | {"request_id": ""}))
    assert answers[0] == answers[1]
    assert answers[0][0] in (404, 422) or answers[0][1].get("valid") is False or answers[0][1].get("data") == []


def _filled(value: Any, ids: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _filled(member, ids) for key, member in value.items()}
    return value.format(**ids) if isinstance(value, str) else value


def test_p29_every_kind_of_answer_is_guarded_and_tells_nothing_of_the_inside(ours: Tenant) -> None:
    running, ended = ours.running_job(), ours.running_job()
    checkpoint = ours.checkpoint(ended)
    ours.succeed(ended)
    content, admin = f"/v1/checkpoints/{checkpoint.id}/content", ours.admin
    known = {"If-None-Match": admin.get(f"/v1/jobs/{ended}").headers["etag"]}
    answers = [
        admin.get("/v1/jobs"),
        admin.get(f"/v1/jobs/{ended}", headers=known),
        admin.get(f"/v1/jobs/{ended}/stream"),
        admin.get(f"/v1/jobs/{ended}/metrics?format=csv"),
        admin.get(content),
        admin.get(content, headers={"Range": "bytes=0-1"}),
        admin.get(content, headers={"Range": "bytes=99999-"}),
        admin.request("HEAD", content),
        admin.get("/v1/jobs/job_0"),
        admin.request("OPTIONS", "/v1/jobs"),
        admin.request("TRACE", "/v1/jobs"),
        admin.post("/v1/jobs", json={}),
        admin.post("/v1/jobs", content=b"{", headers={"Content-Type": JSON}),
        admin.post("/v1/jobs", content=b"x"),
        admin.delete(f"/v1/jobs/{running}"),
        admin.delete(f"/v1/jobs/{ended}"),
        ours.reader.post("/v1/datasets", json={}),
        ours.world.client.get("/v1/jobs"),
    ]
    assert {answer.status_code for answer in answers} == {
        *(200, 204, 206, 304, 400, 401, 403, 404, 405, 409, 415, 416, 422)
    }
    for answer in answers:
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["cache-control"] in ("no-store", "private, no-cache", "no-cache")
        assert not [word for word in ("Traceback", ".py", "sqlalchemy", "psycopg") if word in answer.text]


def test_ten_thousand_ranges_are_answered_as_none(ours: Tenant) -> None:
    path = f"/v1/checkpoints/{ours.checkpoint(ours.running_job()).id}/content"
    answer = ours.reader.get(path, headers={"Range": "bytes=" + ",".join(f"{n}-{n}" for n in range(10_000))})
    assert (answer.status_code, len(answer.content)) == (200, 700)


@pytest.mark.parametrize("path", ["/v1/jobs", "/v1/jobs/job_0", "/v1/checkpoints/ckpt_0/content", "/v1/datasets"])
def test_a_method_that_is_not_taken_is_answered_with_those_that_are(ours: Tenant, path: str) -> None:
    answer = ours.reader.request("TRACE", path)
    document = ours.reader.get("/openapi.json").json()["paths"]
    place = path.replace("job_0", "{job_id}").replace("ckpt_0", "{checkpoint_id}")
    assert answer.status_code == 405
    assert {method.lower() for method in answer.headers["allow"].split(", ")} == document[place].keys()


def test_a_moment_is_a_date(ours: Tenant) -> None:
    answers = [ours.reader.get(f"/v1/jobs?created_after={text}") for text in ("0.5", "2026-11-02T09:30:00Z")]
    assert [answer.status_code for answer in answers] == [422, 200]
