"""Uploads by parts over HTTP."""

import errno
import hashlib
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import select, update

from api.uploads import sha256_of
from models import datasets, discarded, uploads
from models.clock import now_plus
from models.datasets import Upload
from models.storage import SignedPut, Storage
from models.tables import Audit, Discarded, UploadPart
from tests.api.conftest import Tenant, digest_of

PARTS = [b"first" * 50_000, b"second" * 40_000, b"third"]
WHOLE = b"".join(PARTS)
SHA256 = hashlib.sha256(WHOLE).hexdigest()


def _create(tenant: Tenant) -> str:
    return str(tenant.submitter.post("/v1/datasets", json={"name": "digits"}).headers["location"])


def _put(
    tenant: Tenant, path: str, number: int, content: bytes | Iterator[bytes] | None = None, **options: Any
) -> httpx.Response:
    content = PARTS[number - 1] if content is None else content
    return tenant.submitter.put(f"{path}/parts/{number}", content=content, **options)


def _complete(tenant: Tenant, path: str, **changes: Any) -> httpx.Response:
    body = {"filename": "a.zip", "sha256": SHA256, "parts": 3, **changes}
    return tenant.submitter.post(f"{path}/complete", json=body)


def _objects(tenant: Tenant, path: str) -> list[str]:
    return list(tenant.world.services.storage.keys(f"datasets/{Path(path).name}"))


def _rows(tenant: Tenant, path: str) -> list[UploadPart]:
    with tenant.world.services.database.read() as session:
        return uploads.parts(session, Path(path).name)


def test_parts_in_any_order_are_the_file(ours: Tenant) -> None:
    path = _create(ours)
    for number in (3, 1, 2):
        assert _put(ours, path, number, headers={"Content-Digest": digest_of(PARTS[number - 1])}).status_code == 200
    answer = _complete(ours, path)
    dataset = answer.json()
    assert (answer.status_code, dataset["status"], dataset["filename"]) == (202, "queued", "a.zip")
    assert (dataset["upload_bytes"], dataset["upload_sha256"]) == (len(WHOLE), SHA256)
    stored = [b"".join(ours.world.services.storage.read(row.key)) for row in _rows(ours, path)]
    assert b"".join(stored) == WHOLE


def test_who_was_cut_off_sees_what_is_there(ours: Tenant) -> None:
    path = _create(ours)
    _put(ours, path, 1)
    _put(ours, path, 3)
    seen = ours.reader.get(f"{path}/parts").json()
    assert [part["number"] for part in seen["data"]] == [1, 3]
    assert seen["data"][0]["sha256"] == hashlib.sha256(PARTS[0]).hexdigest()
    assert seen["bytes"] == len(PARTS[0]) + len(PARTS[2])


def test_a_part_that_is_sent_again_takes_the_place_of_the_earlier_one(ours: Tenant) -> None:
    path = _create(ours)
    _put(ours, path, 1, b"wrong")
    answers = [_put(ours, path, 1).json() for _ in range(2)]
    assert answers[0] == answers[1] == {"number": 1, "bytes": len(PARTS[0]), "sha256": _sha256(PARTS[0])}
    assert len(_objects(ours, path)) == 1


def test_a_part_with_another_digest_is_not_kept(ours: Tenant) -> None:
    path = _create(ours)
    answer = _put(ours, path, 1, headers={"Content-Digest": digest_of(b"other")})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "digest_mismatch")
    assert (_objects(ours, path), _rows(ours, path)) == ([], [])


def test_a_whole_that_is_not_what_was_said_leaves_nothing(ours: Tenant) -> None:
    path = _create(ours)
    for number in (1, 2, 3):
        _put(ours, path, number)
    answer = _complete(ours, path, sha256="0" * 64)
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/sha256")
    assert (_objects(ours, path), _rows(ours, path)) == ([], [])
    assert ours.reader.get(path).json()["status"] == "uploading"


def test_a_wrong_sha256_costs_nothing_once_somebody_else_was_right(
    ours: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = _create(ours)
    _put(ours, path, 1, WHOLE)

    def read_while_another_completes(storage: Storage, parts: list[UploadPart]) -> str | None:
        with ours.world.services.database.write() as session:
            upload = Upload(filename="a.zip", key=None, parts=[parts[0].key], size=len(WHOLE), sha256=SHA256)
            assert datasets.uploaded(session, Path(path).name, **upload) is not None
        return sha256_of(storage, parts)

    monkeypatch.setattr("api.routes.uploads.sha256_of", read_while_another_completes)
    assert _complete(ours, path, parts=1, sha256="0" * 64).status_code == 422
    assert (len(_objects(ours, path)), len(_rows(ours, path))) == (1, 1)


def test_however_many_complete_it_at_once_it_is_read_once(ours: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    path, read = _create(ours), []
    _put(ours, path, 1, WHOLE)

    def slowly(storage: Storage, parts: list[UploadPart]) -> str | None:
        read.append(len(parts))
        time.sleep(0.3)
        return sha256_of(storage, parts)

    monkeypatch.setattr("api.routes.uploads.sha256_of", slowly)
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: _complete(ours, path, parts=1), range(4)))
    assert sorted(answer.status_code for answer in answers) == [202, 409, 409, 409]
    assert read == [1]


def test_what_is_missing_is_named_and_the_rest_kept(ours: Tenant) -> None:
    path = _create(ours)
    _put(ours, path, 2)
    answer = _complete(ours, path)
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "missing_parts")
    assert "1, 3" in answer.json()["detail"]
    assert len(_objects(ours, path)) == 1


def test_completing_again_with_the_same_key_is_answered_the_same(ours: Tenant) -> None:
    path, submitter = _create(ours), ours.submitter
    _put(ours, path, 1, WHOLE)
    body = {"filename": "a.zip", "sha256": SHA256, "parts": 1}
    answers = [submitter.post(f"{path}/complete", json=body, headers={"Idempotency-Key": "done"}) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [202, 202]
    assert answers[1].headers["idempotent-replayed"] == "true"
    assert _complete(ours, path, parts=1).json()["error"]["code"] == "already_uploaded"
    assert _put(ours, path, 1).json()["error"]["code"] == "already_uploaded"


def test_parts_beyond_the_last_are_dropped(ours: Tenant) -> None:
    path = _create(ours)
    for number in (1, 2, 3):
        _put(ours, path, number)
    half = PARTS[0] + PARTS[1]
    assert _complete(ours, path, parts=2, sha256=_sha256(half)).status_code == 202
    assert len(_objects(ours, path)) == 2


def test_one_body_takes_the_place_of_parts(ours: Tenant) -> None:
    path = _create(ours)
    _put(ours, path, 1)
    assert ours.submitter.put(f"{path}/content?filename=a.zip", content=b"x").status_code == 202
    assert (len(_objects(ours, path)), _rows(ours, path)) == (1, [])


def test_all_parts_together_are_no_larger_than_an_upload_may_be(ours: Tenant) -> None:
    path = _create(ours)
    assert _put(ours, path, 1, bytes(2_000_000)).status_code == 200
    assert _put(ours, path, 2, bytes(1_000_001)).status_code == 413
    assert _put(ours, path, 2, iter([bytes(1_000_001)])).status_code == 413
    assert _put(ours, path, 1, bytes(3_000_000)).status_code == 200
    assert len(_objects(ours, path)) == 1


def test_parts_count_against_the_room_of_the_project(ours: Tenant) -> None:
    ours.limited(storage_bytes=1000)
    path = _create(ours)
    assert _put(ours, path, 1, bytes(900)).status_code == 200
    assert _put(ours, path, 2, bytes(101)).status_code == 413
    assert _put(ours, path, 1, bytes(1000)).status_code == 200
    assert _put(ours, path, 2, b"x").json()["error"]["code"] == "storage_limit"
    assert ours.admin.get("/v1/usage").json()["data"][0]["storage_bytes"] == 1000


@pytest.mark.parametrize("number", ["0", "1001", "x", "-1"])
def test_there_are_parts_1_to_1000(ours: Tenant, number: str) -> None:
    assert ours.submitter.put(f"{_create(ours)}/parts/{number}", content=b"x").status_code == 404


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"filename": ".."}, "/filename"),
        ({"sha256": "abc"}, "/sha256"),
        ({"parts": 0}, "/parts"),
        ({"part": 3}, "/part"),
    ],
)
def test_what_is_wrong_with_a_completion_is_pointed_at(ours: Tenant, changes: dict[str, Any], pointer: str) -> None:
    answer = _complete(ours, _create(ours), **changes)
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, pointer)


def test_what_is_anothers_is_not_there(ours: Tenant, theirs: Tenant) -> None:
    path = _create(ours)
    _put(ours, path, 1)
    signing = theirs.submitter.post(f"{path}/parts/1/sign", json={"bytes": 1, "sha256": SHA256})
    answers = [_put(theirs, path, 1), theirs.reader.get(f"{path}/parts"), _complete(theirs, path, parts=1), signing]
    assert [answer.status_code for answer in answers] == [404] * 4
    assert len(_rows(ours, path)) == 1


def test_where_the_store_signs_nothing_a_part_comes_to_the_service(ours: Tenant) -> None:
    path = _create(ours)
    asked = {"bytes": len(PARTS[0]), "sha256": _sha256(PARTS[0]).upper()}
    signed = ours.submitter.post(f"{path}/parts/1/sign", json=asked).json()
    assert signed["url"] == f"{path}/parts/1"
    assert ours.submitter.put(signed["url"], content=PARTS[0], headers=signed["headers"]).status_code == 200


def test_what_is_signed_again_and_again_does_not_go_on_for_ever(ours: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    path, services = _create(ours), ours.world.services
    monkeypatch.setattr(type(services.storage), "presign_put", lambda *_: SignedPut("https://store/part", {}))

    def sign(content: bytes) -> httpx.Response:
        asked = {"bytes": len(content), "sha256": _sha256(content)}
        return ours.submitter.post(f"{path}/parts/1/sign", json=asked)

    answers = [sign(b"same") for _ in range(30)]
    assert {answer.status_code for answer in answers} == {200}
    assert len(_rows(ours, path)) == 1
    answers = [sign(b"%d" % number) for number in range(uploads.MOST_SIGNED_IN_VAIN + 1)]
    assert [answer.status_code for answer in answers] == [200] * uploads.MOST_SIGNED_IN_VAIN + [409]
    assert answers[-1].json()["error"]["code"] == "signed_too_often"


def test_a_full_disk_keeps_the_parts_that_are_there(ours: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    path = _create(ours)
    _put(ours, path, 1)
    monkeypatch.setattr("models.storage._FileWriter.write", full)
    assert _put(ours, path, 2).json()["error"]["code"] == "storage_full"
    assert len(_rows(ours, path)) == len(_objects(ours, path)) == 1


def test_what_died_on_the_way_was_named_before_its_first_byte(ours: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    path = _create(ours)
    _put(ours, path, 2)
    monkeypatch.setattr("api.uploads.discard", lambda *_: None)
    monkeypatch.setattr("models.uploads.put", lambda *_, **__: None)
    assert _put(ours, path, 1).status_code == 409
    services = ours.world.services
    orphan = next(key for key in _objects(ours, path) if key != _rows(ours, path)[0].key)
    with services.database.write() as session:
        long_ago = now_plus(-discarded.GRACE_SECONDS - 1)
        session.execute(update(Discarded).where(Discarded.prefix == orphan).values(discarded_at=long_ago))
        assert orphan in discarded.overdue(session, limit=1000)
    discarded.sweep(services.database, services.storage, orphan)
    assert _objects(ours, path) == [_rows(ours, path)[0].key]


def test_an_upload_that_takes_too_long_is_refused(ours: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    path = _create(ours)
    monkeypatch.setattr("models.discarded.keep", lambda *_: False)
    assert _put(ours, path, 1).status_code == 408
    assert _objects(ours, path) == []


def test_what_is_deleted_while_it_is_sent_is_not_there(ours: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    path = _create(ours)

    def deleted(*_: object) -> None:
        assert ours.admin.delete(path).status_code == 204

    monkeypatch.setattr("api.routes.uploads.require_kept", deleted)
    monkeypatch.setattr("api.routes.uploads.require_room_for_part", lambda *_: None)
    assert _put(ours, path, 1).status_code == 404


def test_a_deleted_data_set_takes_its_parts_along(ours: Tenant) -> None:
    path = _create(ours)
    _put(ours, path, 1)
    assert ours.submitter.delete(path).status_code == 204
    assert (_objects(ours, path), _rows(ours, path)) == ([], [])


def test_every_part_is_in_the_audit(ours: Tenant) -> None:
    path = _create(ours)
    _put(ours, path, 1, WHOLE)
    _complete(ours, path, parts=1)
    with ours.world.services.database.read() as session:
        query = select(Audit.action).where(Audit.target == Path(path).name).order_by(Audit.id)
        assert list(session.scalars(query)) == ["createDataset", "uploadDatasetPart", "completeDatasetUpload"]


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
