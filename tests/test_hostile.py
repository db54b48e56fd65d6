"""Hostile uploads against the whole service, and what its logs say: API, worker and decoder as real processes."""

import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import numpy as np
import pytest
from sqlalchemy import make_url

from tests.service import Service, descendants, service
from tests.worker.ingest.test_sandbox import (
    MEMORY_PROMISE,
    TIME_PROMISE,
    bomb_of_many_gigabytes,
    bomb_of_pixels,
    parquet_of_a_million_long_texts,
    parquet_of_one_page_of_zeros,
    table_of_one_endless_line,
    zip_of_300_000_entries,
)
from tests.worker.ingest.uploads import image, saved, written, zipped


def npz_of_a_gigabyte_of_zeros(folder: Path) -> Path:
    zeros = np.zeros((1024, 2**20), np.uint8)
    return saved(folder / "a.npz", x=zeros, y=np.arange(1024) % 2)


def table_of_wide_cells(folder: Path) -> Path:
    return written(folder / "a.csv", "a,b\n" + ("x" * 70_000 + ",1\n") * 100)


def truncated_png(folder: Path) -> Path:
    return zipped(folder / "a.zip", {f"cat/{number}.png": image(60, 60)[:900] for number in range(3)})


BOMBS: list[tuple[Callable[[Path], Path], str]] = [
    (parquet_of_a_million_long_texts, "ratio"),
    (parquet_of_one_page_of_zeros, "ratio"),
    (npz_of_a_gigabyte_of_zeros, "ratio"),
    (bomb_of_pixels, "ratio"),
    (truncated_png, "damaged_images"),
    (table_of_one_endless_line, "row_too_large"),
    (table_of_wide_cells, "cell_too_large"),
    (bomb_of_many_gigabytes, "ratio"),
    (zip_of_300_000_entries, "too_many_entries"),
]


@dataclass
class Watch:
    """What others felt meanwhile."""

    peak: int = 0
    """Bytes that the decoder had in memory at most."""
    milliseconds: list[float] = field(default_factory=list)
    """Of answers to `/healthz`."""


@contextmanager
def watching(installation: Service) -> Iterator[Watch]:
    watch, over = Watch(), threading.Event()
    url = f"{installation.http.base_url}/healthz"

    def look() -> None:
        with httpx.Client() as client:
            while not over.wait(0.02):
                started = time.perf_counter()
                assert client.get(url).status_code == 200
                watch.milliseconds.append((time.perf_counter() - started) * 1000)
                watch.peak = max(watch.peak, *map(_decoder_peak, descendants(installation.workers[0].pid)), 0)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield watch
    finally:
        over.set()
        thread.join()


def _decoder_peak(pid: int) -> int:
    """The most that the process has had in memory, if it is the one that decodes."""
    process = Path("/proc") / str(pid)
    try:
        if b"worker.ingest" not in (process / "cmdline").read_bytes():
            return 0
        lines = (process / "status").read_text().splitlines()
    except OSError:  # it has ended
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM")), 0)


@pytest.fixture(scope="module")
def installation(migrated_sqlite: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("hostile")
    database = folder / "trainwright.db"
    database.write_bytes(migrated_sqlite.read_bytes())
    with service(folder, f"sqlite:///{database}", "memory://") as installation:
        installation.start_worker()
        yield installation


@pytest.mark.chaos
@pytest.mark.parametrize(("make", "code"), BOMBS)
def test_p24_p25_a_bomb_is_refused_while_others_are_served(
    installation: Service,
    tmp_path: Path,
    record_property: Callable[[str, object], None],
    make: Callable[[Path], Path],
    code: str,
) -> None:
    source, http = make(tmp_path), installation.http
    path = http.post("/v1/datasets", json={"name": make.__name__}).headers["location"]
    with watching(installation) as watch:
        uploaded = http.put(f"{path}/content", params={"filename": source.name}, content=source.read_bytes())
        assert uploaded.status_code == 202
        started = time.monotonic()
        dataset = installation.wait(path, {"ready", "failed"})
        seconds = time.monotonic() - started
    felt = f"{seconds:.1f} s, {watch.peak / 2**20:.0f} MiB, /healthz {max(watch.milliseconds):.0f} ms at most"
    record_property("felt", f"{make.__name__}, {source.stat().st_size:,} bytes: {felt}")
    assert dataset["failure"]["code"] == code, dataset["failure"]
    assert watch.peak < MEMORY_PROMISE
    assert seconds < TIME_PROMISE
    assert statistics.median(watch.milliseconds) < 100


def test_p29_no_log_has_a_secret_or_what_was_sent(postgres_url: str, tmp_path: Path) -> None:
    store = {"TRAINWRIGHT_S3_SECRET_ACCESS_KEY": "hunter2-store"}
    with service(tmp_path, postgres_url, "redis://:hunter2-broker@127.0.0.1:1/0", **store) as installation:
        installation.start_worker(TRAINWRIGHT_BROKER_URL="memory://")
        http = installation.http
        made = http.post("/v1/api-keys", json={"name": "hunter2-name"}).json()["key"]
        wrong = f"Bearer {made[:-1]}!"
        assert http.get("/v1/jobs?name=hunter2-query", headers={"Authorization": wrong}).status_code == 401
        assert http.post("/v1/jobs", json={"hunter2-body": 1}).status_code == 422
        dataset = http.post("/v1/datasets", json={"name": "x"}).json()["id"]
        http.put(f"/v1/datasets/{dataset}/content?filename=hunter2-file.csv", content=b"a,b\nhunter2,1\n1\n")
        assert installation.wait(f"/v1/datasets/{dataset}", {"failed"})["failure"]["code"] == "ragged_row"
        key = http.headers["authorization"].removeprefix("Bearer ")
    logs = "\n".join(file.read_text() for file in tmp_path.glob("*.log"))
    assert "request_id" in logs
    assert "worker_started" in logs
    hidden = ["hunter2", "Bearer", "Traceback", str(make_url(postgres_url).password)]
    assert [word for word in (*hidden, *(text.split("_", 2)[2] for text in (made, key))) if word in logs] == []
