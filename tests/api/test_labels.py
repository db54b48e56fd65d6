"""Name, tags, notes and metadata of jobs: said, changed, found."""

from datetime import UTC, datetime

import pytest

from tests.api.conftest import Json, Tenant, spec_on

SAID: Json = {"tags": ["paper", "a,b"], "notes": "figure 3", "metadata": {"team": "vision", "run.id": "7"}}


def test_what_is_said_of_a_job_is_no_part_of_its_spec(ours: Tenant) -> None:
    dataset = ours.dataset()
    plain, labelled = (ours.submitter.post("/v1/jobs", json=spec_on(dataset) | said).json() for said in ({}, SAID))
    assert {name: labelled[name] for name in SAID} == SAID
    assert (plain["tags"], plain["notes"], plain["metadata"]) == ([], None, {})
    assert (labelled["spec"], labelled["spec_sha256"]) == (plain["spec"], plain["spec_sha256"])


@pytest.mark.parametrize(
    ("said", "pointer"),
    [
        ({"tags": "paper"}, "/tags"),
        ({"tags": ["x"] * 33}, "/tags"),
        ({"tags": ["ok", "x\n"]}, "/tags/1"),
        ({"notes": 3}, "/notes"),
        ({"metadata": {"a b": "c"}}, "/metadata/a b"),
        ({"metadata": {"a": 1}}, "/metadata/a"),
    ],
)
def test_wrong_labels_are_told_with_the_mistakes_of_the_spec(ours: Tenant, said: Json, pointer: str) -> None:
    answer = ours.submitter.post("/v1/jobs", json=spec_on(ours.dataset(), seed=-1) | said)
    assert answer.status_code == 422
    assert {item["pointer"] for item in answer.json()["errors"]} == {pointer, "/seed"}


def test_a_patch_changes_what_it_names_in_any_state(ours: Tenant) -> None:
    job_id = ours.running_job(name="first", **SAID)
    ours.succeed(job_id)
    before = ours.reader.get(f"/v1/jobs/{job_id}")
    patch = {"name": "second", "notes": None, "metadata": {"team": None, "seed": "1"}}
    answer = ours.submitter.patch(f"/v1/jobs/{job_id}", json=patch)
    assert answer.status_code == 200
    changed = {name for name, value in answer.json().items() if value != before.json()[name]}
    assert changed == {"name", "notes", "metadata"}
    assert answer.json()["metadata"] == {"run.id": "7", "seed": "1"}
    after = ours.reader.get(f"/v1/jobs/{job_id}", headers={"If-None-Match": before.headers["etag"]})
    assert (after.json(), after.headers["etag"]) == (answer.json(), answer.headers["etag"])


@pytest.mark.parametrize("name", ["status", "id", "project_id", "attempt", "spec", "summary", "worker_id"])
def test_what_the_service_says_cannot_be_patched(ours: Tenant, name: str) -> None:
    answer = ours.submitter.patch(f"/v1/jobs/{ours.job()}", json={name: "mine"})
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, f"/{name}")


def test_a_patch_may_be_called_one(ours: Tenant) -> None:
    headers = {"Content-Type": "application/merge-patch+json"}
    path = f"/v1/jobs/{ours.job()}"
    assert ours.submitter.patch(path, content=b'{"name": "x"}', headers=headers).json()["name"] == "x"
    assert ours.submitter.patch(path, content=b"[]", headers=headers).status_code == 422
    assert ours.submitter.patch(path, content=b"x", headers={"Content-Type": "text/plain"}).status_code == 415


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"tag": "paper"}, ["a", "b"]),
        ({"tag": ["paper", "old"]}, ["b"]),
        ({"tag": "pap"}, []),
        ({"tag": 'it\'s, "quoted"'}, ["c"]),
        ({"metadata[team]": "vision"}, ["a", "b"]),
        ({"metadata[team]": "vision", "metadata[run.id]": "2"}, ["b"]),
        ({"metadata[team]": "Vision"}, []),
        ({"metadata[nothing]": ""}, []),
        ({"tag": "paper", "name": "B"}, ["b"]),
        ({"tag": "paper", "status": "queued", "metadata[run.id]": "1"}, ["a"]),
    ],
)
def test_jobs_are_found_by_what_is_said_of_them(ours: Tenant, query: dict[str, str], found: list[str]) -> None:
    ours.job(name="a", tags=["paper"], metadata={"team": "vision", "run.id": "1"})
    ours.job(name="b", tags=["paper", "old"], metadata={"team": "vision", "run.id": "2"})
    ours.job(name="c", tags=['it\'s, "quoted"'], metadata={"team": "speech"})
    listed = ours.reader.get("/v1/jobs", params={"order": "asc", **query}).json()["data"]
    assert [job["name"] for job in listed] == found


def test_filters_come_before_the_page_is_cut(ours: Tenant) -> None:
    for number in range(6):
        ours.job(name=str(number), tags=["even"] if number % 2 == 0 else [])
    page = ours.reader.get("/v1/jobs?tag=even&limit=2").json()
    assert ([job["name"] for job in page["data"]], page["has_more"]) == (["4", "2"], True)
    rest = ours.reader.get(f"/v1/jobs?tag=even&limit=2&after={page['last_id']}").json()
    assert ([job["name"] for job in rest["data"]], rest["has_more"]) == (["0"], False)


def test_jobs_are_found_by_when_they_were_made(ours: Tenant) -> None:
    first, second = ours.job(), ours.job()
    created = ours.reader.get(f"/v1/jobs/{first}").json()["created_at"]
    listed = ours.reader.get("/v1/jobs", params={"created_after": created}).json()["data"]
    assert second in [job["id"] for job in listed]
    later = datetime.now(UTC).replace(year=2100).isoformat()
    assert ours.reader.get("/v1/jobs", params={"created_after": later}).json()["data"] == []


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ("created_after=2026-11-02T09:30:00", "created_after"),
        ("created_after=yesterday", "created_after"),
        ("metadata[a b]=c", "metadata"),
        ("metadata[a]=c&metadata[a]=d", "metadata"),
        ("metadata[%22]=c", "metadata"),
        ("metadata[a]=%00", "metadata"),
        ("tag=%00", "tag"),
    ],
)
def test_what_cannot_be_looked_for_is_refused_by_name(ours: Tenant, query: str, parameter: str) -> None:
    answer = ours.reader.get(f"/v1/jobs?{query}")
    assert (answer.status_code, answer.json()["errors"][0]["parameter"]) == (422, parameter)
