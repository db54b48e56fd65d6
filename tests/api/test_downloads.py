"""Uploads and downloads through a real S3 server, and without one."""

from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest
from fastapi.testclient import TestClient

from api.main import create_app
from models.settings import Settings
from tests.api.conftest import Tenant, World, digest_of
from tests.servers.s3 import S3

CONTENT = bytes(range(256)) * 10_000


@contextmanager
def _tenant(settings: Settings) -> Iterator[Tenant]:
    app = create_app(settings)
    with TestClient(app, raise_server_exceptions=False) as client:
        yield World(app.state.services, client).tenant()


@pytest.fixture
def ours(sqlite_url: str, s3: S3) -> Iterator[Tenant]:
    settings = Settings(
        database_url=sqlite_url,
        storage_url=s3.url,
        s3_endpoint=s3.endpoint,
        s3_region=s3.region,
        s3_access_key_id=s3.access_key,
        s3_secret_access_key=s3.secret_key,
        upload_max_bytes=3_000_000,
    )
    with _tenant(settings) as tenant:
        yield tenant


def test_a_bucket_serves_all_and_parts(ours: Tenant) -> None:
    path = f"/v1/checkpoints/{ours.checkpoint(ours.running_job(), CONTENT).id}/content"
    assert ours.reader.get(path).content == CONTENT
    part = ours.reader.get(path, headers={"Range": "bytes=1000000-1000009"})
    assert (part.status_code, part.content) == (206, CONTENT[1_000_000:1_000_010])


def test_a_bucket_can_be_asked_for_a_link(ours: Tenant) -> None:
    path = f"/v1/checkpoints/{ours.checkpoint(ours.running_job(), CONTENT).id}/content"
    answer = ours.reader.get(f"{path}?redirect=true", follow_redirects=False)
    assert answer.status_code == 307
    assert httpx.get(answer.headers["location"]).content == CONTENT


@pytest.mark.parametrize(
    ("content", "headers", "status"),
    [
        (CONTENT, {"Repr-Digest": digest_of(CONTENT)}, 202),
        (CONTENT, {"Repr-Digest": digest_of(b"")}, 400),
        (b"x" * 3_000_001, {}, 413),
    ],
)
def test_a_bucket_keeps_only_what_was_taken(ours: Tenant, content: bytes, headers: dict[str, str], status: int) -> None:
    path = ours.submitter.post("/v1/datasets", json={"name": "x"}).headers["location"]
    answer = ours.submitter.put(f"{path}/content?filename=a.zip", content=iter([content]), headers=headers)
    assert answer.status_code == status
    assert len(list(ours.world.services.storage.keys("datasets"))) == (1 if status == 202 else 0)


def test_without_its_store_the_service_says_try_again(sqlite_url: str) -> None:
    settings = Settings(
        database_url=sqlite_url, storage_url="s3://bucket", s3_endpoint="http://127.0.0.1:1", s3_access_key_id="id",
        s3_secret_access_key="hunter2",
    )  # fmt: skip
    with _tenant(settings) as tenant:
        path = tenant.submitter.post("/v1/datasets", json={"name": "x"}).headers["location"]
        answer = tenant.submitter.put(f"{path}/content?filename=a.zip", content=b"x")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
    assert "hunter2" not in answer.text
