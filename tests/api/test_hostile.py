"""Bodies, paths and headers that nobody sends by mistake: refused with a 4xx, never answered with a 5xx."""

import json

import pytest

from tests.api.conftest import Tenant

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
