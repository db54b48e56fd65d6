"""The web process as it is run: a process of its own, sockets, a broker that is away."""

import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from sqlalchemy import select

from api.dependencies import Services
from api.rates import Rates
from api.ringing import Ringer
from models.database import Database
from models.queue import Bell
from models.storage import open_storage
from models.tables import Project
from tests.api.conftest import Tenant, World, settings_for, spec_on
from tests.api.test_events import parse
from tests.servers.process import free_port, running

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Server:
    process: subprocess.Popen[bytes]
    client: httpx.Client
    ours: Tenant


@contextmanager
def _server(url: str, folder: Path) -> Iterator[Server]:
    settings = settings_for(url, folder)
    port = free_port()
    environment = {
        "TRAINWRIGHT_DATABASE_URL": url,
        "TRAINWRIGHT_STORAGE_URL": settings.storage_url,
        "TRAINWRIGHT_BROKER_URL": "redis://127.0.0.1:1/0",
        "PYTHONPATH": str(ROOT),
    }
    command = [
        "env", *(f"{name}={value}" for name, value in environment.items()),
        sys.executable, "-m", "uvicorn", "--factory", "api.main:create_app", "--port", str(port), "--no-access-log",
        "--timeout-graceful-shutdown", "2", "--no-server-header",
    ]  # fmt: skip
    base = f"http://127.0.0.1:{port}"
    with running(command, log=folder / "api.log", is_ready=lambda: _answers(base)) as process:
        database = Database(settings)
        services = Services(settings, database, open_storage(settings), Ringer(Bell(settings)), Rates(settings))
        with httpx.Client(base_url=base, timeout=20) as client:
            world = World(services, client)  # type: ignore[arg-type]
            yield Server(process, client, world.tenant())
        database.close()


@pytest.fixture(scope="module")
def server(url_of_the_run: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with _server(url_of_the_run, tmp_path_factory.mktemp("server")) as server:
        yield server


def test_a_broker_that_is_away_delays_nobody(server: Server) -> None:
    submitter, spec = server.ours.submitter, spec_on(server.ours.dataset())
    for _ in range(5):
        started = time.monotonic()
        assert submitter.post("/v1/jobs", json=spec).status_code == 201
        assert time.monotonic() - started < 1


def test_a_stream_tells_what_happens_while_it_happens(server: Server) -> None:
    ours = server.ours
    job_id = ours.running_job()
    threading.Timer(0.3, ours.report, [job_id, {"step": [1, 2]}]).start()
    threading.Timer(1.2, ours.succeed, [job_id]).start()
    started = time.monotonic()
    with server.client.stream("GET", f"/v1/jobs/{job_id}/stream", headers=ours.headers("read")) as answer:
        pieces = answer.iter_text()
        first = next(pieces)
        assert time.monotonic() - started < 1
        rest = "".join(pieces)
    events = parse(first + rest)
    assert [event["event"] for event in events] == [
        "job.created", "job.claimed", "job.started", "job.progress", "job.succeeded",
    ]  # fmt: skip
    assert events[3]["data"]["progress"] == {"step": 2}
    assert "id" not in events[3]


def test_an_upload_that_is_broken_off_leaves_nothing(server: Server) -> None:
    ours = server.ours
    path = ours.submitter.post("/v1/datasets", json={"name": "x"}).headers["location"]

    def broken() -> Iterator[bytes]:
        yield b"x" * 2_000_000
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ours.submitter.put(f"{path}/content?filename=a.zip", content=broken())
    folder = Path(ours.world.services.settings.storage_url.removeprefix("file://"))
    deadline = time.monotonic() + 15
    while any(file.is_file() for file in folder.rglob("*") if "datasets" in file.parts) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert [file for file in folder.rglob("*") if file.is_file() and "datasets" in file.parts] == []
    assert ours.reader.get(path).json()["status"] == "uploading"


def test_a_hundred_slow_uploads_keep_nobody_else_waiting(server: Server) -> None:
    path = server.ours.submitter.post("/v1/datasets", json={"name": "slow"}).headers["location"]
    headers, address = server.ours.headers(), (server.client.base_url.host, server.client.base_url.port)
    head = f"PUT {path}/content?filename=a.zip HTTP/1.1\r\nHost: {address[0]}:{address[1]}\r\nContent-Length: 1000\r\n"
    with ExitStack() as stack:
        for _ in range(100):
            slow = stack.enter_context(socket.create_connection(address, timeout=20))
            slow.sendall(f"{head}Authorization: {headers['Authorization']}\r\n\r\nPK".encode())
        for _ in range(5):
            started = time.monotonic()
            assert server.client.get("/healthz").status_code == 200
            assert server.ours.submitter.post("/v1/datasets", json={"name": "quick"}).status_code == 201
            assert time.monotonic() - started < 2
    assert server.ours.reader.get(path).json()["status"] == "uploading"


def test_who_waits_for_a_lock_keeps_nobody_else_waiting(server: Server) -> None:
    """Eighteen who make jobs of a project that somebody else has locked, on SQLite the whole database.

    On Postgres they leave two of the process's twenty connections to others.
    """
    ours, spec = server.ours, spec_on(server.ours.dataset())
    reader, submitter, job_id = ours.reader, ours.submitter, ours.job()
    assert all(one.get(f"/v1/jobs/{job_id}").status_code == 200 for one in (reader, submitter))
    with ThreadPoolExecutor(18) as pool:
        with ours.world.services.database.write() as session:
            session.execute(select(Project).where(Project.id == ours.project_id).with_for_update())
            waiting = [pool.submit(submitter.post, "/v1/jobs", json=spec) for _ in range(18)]
            for _ in range(5):
                started = time.monotonic()
                assert reader.get(f"/v1/jobs/{job_id}").status_code == 200
                assert time.monotonic() - started < 2
            assert not any(one.done() for one in waiting)
        assert [one.result().status_code for one in waiting] == [201] * 18


def test_a_hundred_who_never_end_their_heads_keep_nobody_else_waiting(server: Server) -> None:
    address = (server.client.base_url.host, server.client.base_url.port)
    with ExitStack() as stack:
        for _ in range(100):
            slow = stack.enter_context(socket.create_connection(address, timeout=20))
            slow.sendall(b"GET /v1/jobs HTTP/1.1\r\nHost: x\r\nX-Slow: ")
        started = time.monotonic()
        assert server.client.get("/healthz").status_code == 200
        assert server.ours.submitter.post("/v1/datasets", json={"name": "quick"}).status_code == 201
        assert time.monotonic() - started < 1


def test_an_open_stream_does_not_hold_up_the_end(sqlite_url: str, tmp_path: Path) -> None:
    with _server(sqlite_url, tmp_path) as server:
        path = f"/v1/jobs/{server.ours.running_job()}/stream"
        with server.client.stream("GET", path, headers=server.ours.headers("read")) as answer:
            next(answer.iter_text())
            started = time.monotonic()
            server.process.send_signal(signal.SIGTERM)
            server.process.wait(timeout=10)
        assert time.monotonic() - started < 5


def _answers(base: str) -> bool:
    try:
        return httpx.get(f"{base}/healthz", timeout=1).status_code == 200
    except httpx.TransportError:
        return False
