"""Checkpoints over HTTP: whole, in part, only if new; never damaged."""

import hashlib

import pytest

from tests.api.conftest import Tenant, digest_of

CONTENT = bytes(range(256)) * 10_000


@pytest.fixture
def path(ours: Tenant) -> str:
    return f"/v1/checkpoints/{ours.checkpoint(ours.running_job(), CONTENT).id}"


def test_a_checkpoint_says_what_it_is(ours: Tenant, path: str) -> None:
    body = ours.reader.get(path).json()
    assert (body["bytes"], body["sha256"]) == (len(CONTENT), hashlib.sha256(CONTENT).hexdigest())
    assert ours.reader.get(body["urls"]["content"]).content == CONTENT


def test_best_and_last_are_names_of_checkpoints(ours: Tenant) -> None:
    job_id = ours.running_job()
    ids = [ours.checkpoint(job_id, step=step).id for step in (1, 2)]
    listed = ours.reader.get(f"/v1/jobs/{job_id}/checkpoints").json()["data"]
    assert [row["id"] for row in listed] == ids
    for name in ("best", "last"):
        assert ours.reader.get(f"/v1/jobs/{job_id}/checkpoints/{name}").json() == listed[-1]


def test_without_a_checkpoint_there_is_no_best(ours: Tenant) -> None:
    assert ours.reader.get(f"/v1/jobs/{ours.running_job()}/checkpoints/best").status_code == 404


def test_a_download_carries_its_hash(ours: Tenant, path: str) -> None:
    answer = ours.reader.get(f"{path}/content")
    assert answer.headers["etag"] == f'"{hashlib.sha256(CONTENT).hexdigest()}"'
    assert answer.headers["repr-digest"] == digest_of(CONTENT)
    assert answer.headers["content-length"] == str(len(CONTENT))


def test_head_says_the_same_without_the_bytes(ours: Tenant, path: str) -> None:
    whole, head = ours.reader.get(f"{path}/content"), ours.reader.request("HEAD", f"{path}/content")
    differing = {"x-request-id", "date"}
    assert head.content == b""
    assert {k: v for k, v in head.headers.items() if k not in differing} == {
        k: v for k, v in whole.headers.items() if k not in differing
    }


@pytest.mark.parametrize(("header", "part"), [("bytes=10-19", slice(10, 20)), ("bytes=-7", slice(-7, None))])
def test_a_part_is_served(ours: Tenant, path: str, header: str, part: slice) -> None:
    answer = ours.reader.get(f"{path}/content", headers={"Range": header})
    assert (answer.status_code, answer.content) == (206, CONTENT[part])
    start = part.indices(len(CONTENT))[0]
    assert answer.headers["content-range"] == f"bytes {start}-{start + len(answer.content) - 1}/{len(CONTENT)}"


def test_a_part_beyond_the_end_is_not_there(ours: Tenant, path: str) -> None:
    answer = ours.reader.get(f"{path}/content", headers={"Range": f"bytes={len(CONTENT)}-"})
    assert (answer.status_code, answer.headers["content-range"]) == (416, f"bytes */{len(CONTENT)}")


def test_a_part_of_something_else_is_not_mixed_in(ours: Tenant, path: str) -> None:
    headers = {"Range": "bytes=10-", "If-Range": '"another"'}
    assert ours.reader.get(f"{path}/content", headers=headers).status_code == 200


@pytest.mark.parametrize(
    ("header", "names_it", "status"),
    [("If-None-Match", True, 304), ("If-None-Match", False, 200), ("If-Match", True, 200), ("If-Match", False, 412)],
)
def test_conditions_are_kept(ours: Tenant, path: str, header: str, names_it: bool, status: int) -> None:
    tag = f'"{hashlib.sha256(CONTENT).hexdigest()}"' if names_it else '"another"'
    assert ours.reader.get(f"{path}/content", headers={header: tag}).status_code == status


def test_a_store_without_signatures_serves_a_redirect_itself(ours: Tenant, path: str) -> None:
    assert ours.reader.get(f"{path}/content?redirect=true").content == CONTENT


def test_damaged_bytes_are_cut_short_and_never_served_again(ours: Tenant) -> None:
    checkpoint = ours.checkpoint(ours.running_job(), CONTENT)
    writer = ours.world.services.storage.writer(checkpoint.weights_key)
    writer.write(b"\xff" + CONTENT[1:])
    writer.commit()
    reader, path = ours.reader, f"/v1/checkpoints/{checkpoint.id}"
    assert len(reader.get(f"{path}/content").content) < len(CONTENT)
    assert reader.get(path).status_code == 404


def test_a_checkpoint_without_its_object_is_not_there(ours: Tenant) -> None:
    checkpoint = ours.checkpoint(ours.running_job())
    ours.world.services.storage.delete(checkpoint.weights_key)
    assert ours.reader.get(f"/v1/checkpoints/{checkpoint.id}/content").status_code == 404
