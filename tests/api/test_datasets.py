"""Data sets over HTTP."""

import errno
import hashlib
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy.exc import OperationalError

from models import datasets
from tests.api.conftest import Tenant, digest_of, spec_on

CONTENT = b"zipped pictures" * 100_000


def _create(tenant: Tenant) -> str:
    answer = tenant.submitter.post("/v1/datasets", json={"name": "digits"})
    assert (answer.status_code, answer.json()["status"]) == (201, "uploading")
    return str(answer.headers["location"])


def test_an_upload_is_stored_as_it_was_sent(ours: Tenant) -> None:
    path = _create(ours)
    answer = ours.submitter.put(f"{path}/content?filename=a.zip", content=CONTENT)
    dataset = answer.json()
    assert (answer.status_code, dataset["status"], dataset["filename"]) == (202, "queued", "a.zip")
    assert (dataset["upload_bytes"], dataset["upload_sha256"]) == (len(CONTENT), hashlib.sha256(CONTENT).hexdigest())
    assert b"".join(ours.world.services.storage.read(_upload_key(ours, dataset["id"]))) == CONTENT


def test_a_promised_digest_is_checked(ours: Tenant) -> None:
    path = _create(ours)
    put = ours.submitter.put
    wrong = put(f"{path}/content?filename=a.zip", content=CONTENT, headers={"Repr-Digest": digest_of(b"other")})
    assert (wrong.status_code, wrong.json()["error"]["code"]) == (400, "digest_mismatch")
    assert _objects(ours, path) == []
    right = put(f"{path}/content?filename=a.zip", content=CONTENT, headers={"Repr-Digest": digest_of(CONTENT)})
    assert right.status_code == 202


def test_a_digest_that_cannot_be_read_is_refused(ours: Tenant) -> None:
    headers = {"Repr-Digest": "sha-256=abc"}
    answer = ours.submitter.put(f"{_create(ours)}/content?filename=a.zip", content=b"x", headers=headers)
    assert answer.json()["errors"][0]["parameter"] == "Repr-Digest"


@pytest.mark.parametrize("announced", [True, False])
def test_too_large_an_upload_leaves_nothing(ours: Tenant, announced: bool) -> None:
    path = _create(ours)
    pieces: Iterator[bytes] = iter([b"x" * 100_000] * 33)
    content = b"".join(pieces) if announced else pieces
    answer = ours.submitter.put(f"{path}/content?filename=a.zip", content=content)
    assert answer.status_code == 413
    assert _objects(ours, path) == []
    assert ours.reader.get(path).json()["status"] == "uploading"


@pytest.mark.parametrize(
    ("query", "headers", "content", "status"),
    [
        ("", {}, b"x", 422),
        ("?filename=%00.zip", {}, b"x", 422),
        ("?filename=..", {}, b"x", 422),
        ("?filename=a.zip", {}, b"", 400),
        ("?filename=a.zip", {"Content-Encoding": "gzip"}, b"x", 415),
    ],
)
def test_a_bad_upload_is_refused(
    ours: Tenant, query: str, headers: dict[str, str], content: bytes, status: int
) -> None:
    answer = ours.submitter.put(f"{_create(ours)}/content{query}", content=content, headers=headers)
    assert answer.status_code == status


def test_a_full_disk_has_an_answer_of_its_own(ours: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    path = _create(ours)
    monkeypatch.setattr("models.storage._FileWriter.write", full)
    answer = ours.submitter.put(f"{path}/content?filename=a.zip", content=b"x")
    assert (answer.status_code, answer.json()["error"]["code"]) == (507, "storage_full")
    assert _objects(ours, path) == []


def test_an_upload_whose_row_may_be_there_keeps_its_object(ours: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    def lose_the_reply(*_: object, **__: object) -> None:
        raise OperationalError("COMMIT", {}, Exception("the database went away"))

    path = _create(ours)
    monkeypatch.setattr("models.datasets.uploaded", lose_the_reply)
    assert ours.submitter.put(f"{path}/content?filename=a.zip", content=b"x").status_code == 503
    assert len(_objects(ours, path)) == 1


@pytest.mark.parametrize("given", ["../../etc/a.zip", "C:\\\\data\\\\a.zip", "a.zip"])
def test_a_filename_is_a_name_and_no_path(ours: Tenant, given: str) -> None:
    headers = {"Content-Disposition": f'attachment; filename="{given}"'}
    answer = ours.submitter.put(f"{_create(ours)}/content", content=b"x", headers=headers)
    assert answer.json()["filename"] == "a.zip"


def test_content_is_uploaded_once(ours: Tenant) -> None:
    path = _create(ours)
    answers = [ours.submitter.put(f"{path}/content?filename=a.zip", content=b"x") for _ in range(2)]
    assert [answer.status_code for answer in answers] == [202, 409]


def test_a_failed_data_set_says_why_and_takes_another_upload(ours: Tenant) -> None:
    path = _create(ours)
    ours.submitter.put(f"{path}/content?filename=a.zip", content=b"x")
    _fail(ours, path)
    dataset = ours.reader.get(path).json()
    assert (dataset["status"], dataset["status_reason"]) == ("failed", "entry ../x leads outside")
    assert dataset["failure"]["entry"] == "../x"
    assert ours.submitter.put(f"{path}/content?filename=b.zip", content=b"y").status_code == 202
    assert len(_objects(ours, path)) == 1


def test_a_ready_data_set_shows_what_is_in_it(ours: Tenant) -> None:
    dataset = ours.reader.get(f"/v1/datasets/{ours.dataset()}").json()
    assert (dataset["status"], dataset["manifest"]["classes"]) == ("ready", ["no", "yes"])


def test_waiting_ends_when_the_data_set_changes(ours: Tenant) -> None:
    path, reader = _create(ours), ours.reader
    ours.submitter.put(f"{path}/content?filename=a.zip", content=b"x")
    threading.Timer(0.2, _fail, [ours, path]).start()
    answers = [reader.get(f"{path}?wait=10").json()["status"] for _ in range(2)]
    assert answers[-1] == "failed"


def test_an_unchanged_data_set_is_not_sent_again(ours: Tenant) -> None:
    path = f"/v1/datasets/{ours.dataset()}"
    tag = ours.reader.get(path).headers["etag"]
    assert ours.reader.get(path, headers={"If-None-Match": tag}).status_code == 304


def test_lists_are_pages(ours: Tenant) -> None:
    made = [_create(ours) for _ in range(3)]
    page = ours.reader.get("/v1/datasets?limit=2").json()
    rest = ours.reader.get(f"/v1/datasets?limit=2&after={page['last_id']}").json()
    assert [row["urls"]["self"] for row in page["data"] + rest["data"]] == made[::-1]
    assert (page["has_more"], rest["has_more"]) == (True, False)


def test_a_data_set_in_use_stays(ours: Tenant) -> None:
    job_id = ours.job()
    path = f"/v1/datasets/{ours.reader.get(f'/v1/jobs/{job_id}').json()['dataset_id']}"
    answer = ours.submitter.delete(path)
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "in_use")


@pytest.mark.parametrize("races", [20, pytest.param(200, marks=pytest.mark.chaos)])
def test_p20_deleting_and_using_at_once_never_leaves_a_job_without_data(ours: Tenant, races: int) -> None:
    submitter = ours.limited(active_jobs=races).submitter
    with ThreadPoolExecutor(2) as pool:
        for _ in range(races):
            dataset_id = ours.dataset()
            posted = pool.submit(submitter.post, "/v1/jobs", json=spec_on(dataset_id))
            deleted = pool.submit(submitter.delete, f"/v1/datasets/{dataset_id}")
            codes = posted.result().status_code, deleted.result().status_code
            assert codes in {(201, 409), (422, 204), (409, 204)}


def test_a_deleted_data_set_takes_its_objects_along(ours: Tenant) -> None:
    path = _create(ours)
    ours.submitter.put(f"{path}/content?filename=a.zip", content=b"x")
    assert ours.submitter.delete(path).status_code == 204
    assert ours.reader.get(path).status_code == 404
    assert _objects(ours, path) == []


def _objects(tenant: Tenant, path: str) -> list[str]:
    return list(tenant.world.services.storage.keys(f"datasets/{Path(path).name}"))


def _upload_key(tenant: Tenant, dataset_id: str) -> str:
    return _objects(tenant, dataset_id)[0]


def _fail(tenant: Tenant, path: str) -> None:
    dataset_id = Path(path).name
    failure = {"code": "unsafe_path", "detail": "entry ../x leads outside", "entry": "../x"}
    with tenant.world.services.database.write() as session:
        row = datasets.claim(session, dataset_id, worker_id="w", lease_seconds=30)
        assert row is not None
        datasets.fail(session, dataset_id, row.attempt, failure)
