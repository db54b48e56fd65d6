"""Large files by parts, against the real service: cut, started anew, and directly to a store."""

import asyncio
import hashlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from client import AsyncClient, Client, ConnectionFailed, Dataset
from tests.faults.proxy import Proxy, proxy
from tests.servers.s3 import S3
from tests.service import Service, kill_all_of, service

PART = 128 * 1024


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("client.sending.PART_BYTES", PART)


@pytest.fixture
def installation(sqlite_url: str, tmp_path: Path) -> Iterator[Service]:
    with service(tmp_path, sqlite_url, "memory://") as made:
        yield made


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Vectors in some ten parts."""
    path = tmp_path / "vectors.npz"
    generator = np.random.default_rng(0)
    np.savez(path, inputs=generator.normal(size=(2000, 160)).astype(np.float32), targets=np.arange(2000) % 3)
    return path


def key_of(installation: Service) -> str:
    return str(installation.http.headers["Authorization"]).removeprefix("Bearer ")


def client_of(installation: Service, through: Proxy | None = None) -> Client:
    port = installation.http.base_url.port if through is None else through.port
    return Client(f"http://127.0.0.1:{port}", key_of(installation))


def parts_of(installation: Service, dataset: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = installation.http.get(f"/v1/datasets/{dataset}/parts").json()["data"]
    return found


def assert_arrived(dataset: Dataset, file: Path) -> None:
    content = file.read_bytes()
    assert (dataset.upload_bytes, dataset.upload_sha256) == (len(content), hashlib.sha256(content).hexdigest())


def test_a_large_file_becomes_a_data_set_that_a_worker_takes_in(installation: Service, file: Path) -> None:
    installation.start_worker()
    with client_of(installation) as client:
        told: list[int] = []
        dataset = client.datasets.upload(file, progress=lambda done, total: told.append(done))
        assert_arrived(dataset, file)
        assert client.datasets.wait(dataset, 60).status == "ready"
    assert told == sorted(told)
    assert told[-1] == file.stat().st_size


def test_who_is_cut_off_and_comes_again_goes_on_where_it_was(installation: Service, file: Path) -> None:
    host, port = "127.0.0.1", installation.http.base_url.port
    assert port is not None
    with proxy(host, port) as line:
        with client_of(installation, line) as client, pytest.raises(ConnectionFailed):
            client.datasets.upload(file, progress=Cut(line, file.stat().st_size * 2 // 3))
        dataset = installation.http.get("/v1/datasets").json()["data"][0]
        before = parts_of(installation, dataset["id"])
        assert 3 < len(before) < file.stat().st_size // PART
        line.heal()
        sent: list[int] = []
        with client_of(installation, line) as client:
            finished = client.datasets.upload(file, progress=lambda done, total: sent.append(done))
    assert finished.id == dataset["id"]
    assert_arrived(finished, file)
    assert sent[: len(before)] == [PART * number for number in range(1, len(before) + 1)], "whole parts: none sent anew"
    assert parts_of(installation, finished.id)[: len(before)] == before


class Cut:
    """Resets every connection once so much was sent, and lets nobody in again."""

    def __init__(self, line: Proxy, after: int) -> None:
        self.line, self.after = line, after

    def __call__(self, done: int, total: int) -> None:
        if done >= self.after:
            self.line.refuses = True
            self.line.reset()


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("client.retries.LONGEST_PAUSE", 0.5)


def test_an_api_that_is_killed_and_started_again_is_waited_for(
    installation: Service, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = installation.http.base_url.port
    assert port is not None
    with proxy("127.0.0.1", port) as line, client_of(installation, line) as client:
        killed = threading.Event()

        def kill_and_start(done: int, total: int) -> None:
            if done > total // 2 and not killed.is_set():
                killed.set()
                kill_all_of(installation.api)
                installation.start_api()
                assert installation.http.base_url.port is not None
                line.upstream = ("127.0.0.1", installation.http.base_url.port)

        assert_arrived(client.datasets.upload(file, progress=kill_and_start), file)
    assert killed.is_set()


def test_async_code_goes_on_too(installation: Service, file: Path) -> None:
    async def upload() -> tuple[Dataset, Dataset]:
        async with AsyncClient(str(installation.http.base_url), key_of(installation)) as client:
            dataset = await client.datasets.upload(file)
            return dataset, await client.datasets.upload(file, dataset=dataset)

    first, again = asyncio.run(upload())
    assert_arrived(first, file)
    assert again.id == first.id, "what had arrived is no conflict"


def test_parts_go_directly_to_a_store_that_takes_them(
    sqlite_url: str, s3: S3, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {
        "TRAINWRIGHT_STORAGE_URL": s3.url,
        "TRAINWRIGHT_S3_ENDPOINT": s3.endpoint,
        "TRAINWRIGHT_S3_REGION": s3.region,
        "TRAINWRIGHT_S3_ACCESS_KEY_ID": s3.access_key,
        "TRAINWRIGHT_S3_SECRET_ACCESS_KEY": s3.secret_key,
    }
    monkeypatch.setattr("client.sending.PART_BYTES", 8 * PART)
    with service(tmp_path, sqlite_url, "memory://", **settings) as installation, client_of(installation) as client:
        installation.start_worker()
        dataset = client.datasets.upload(file)
        assert_arrived(dataset, file)
        assert client.datasets.wait(dataset, 60).status == "ready"
        actions = [entry.action for entry in client.projects.audit()]
    assert "signDatasetPart" in actions
    assert "uploadDatasetPart" not in actions
