"""A server of real sockets that drops connections, asks for patience, and restarts in the middle of a download."""

import asyncio
import hashlib
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from client import AsyncClient, Checkpoint, Client, RateLimited
from tests.servers.process import free_port

CONTENT = bytes(range(256)) * 4096
SHA256 = hashlib.sha256(CONTENT).hexdigest()
VERSION = b'{"version": "1", "api": "v1", "spec_version": 1}'
CHECKPOINT = Checkpoint.model_validate(
    {"id": "ckpt_1", "job_id": "job_1", "kind": "last", "step": 1, "epoch": 1, "is_best": True, "metrics": {},
     "attempt": 1, "bytes": len(CONTENT), "sha256": SHA256, "created_at": "2026-01-01T00:00:00Z"}
)  # fmt: skip
DROP, RESTART = "drop", "restart"
Mood = str | int


@dataclass
class Moody:
    """Has a mood for each request, and is well when it has no more."""

    moods: list[Mood]
    port: int = field(default_factory=free_port)
    asked: list[str | None] = field(default_factory=list)
    """The range of each request for content."""

    def start(self) -> None:
        moody = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                moody.answer(self)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                """Nothing is said."""

        self.server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        mood = self.moods.pop(0) if self.moods else 200
        if request.path.endswith("/content"):
            self.asked.append(request.headers["Range"])
        if isinstance(mood, int) and mood != 200:
            self.send(request, mood, b"{}", {"Retry-After": "0"})
        elif mood == DROP:
            self.cut(request)
        elif not request.path.endswith("/content"):
            self.send(request, 200, VERSION, {})
        else:
            self.send_content(request, whole=mood != RESTART)

    def send_content(self, request: BaseHTTPRequestHandler, *, whole: bool) -> None:
        begin = int((request.headers["Range"] or "bytes=0-").removeprefix("bytes=").removesuffix("-"))
        headers = {"Content-Range": f"bytes {begin}-{len(CONTENT) - 1}/{len(CONTENT)}"} if begin else {}
        rest = CONTENT[begin:]
        if whole:
            self.send(request, 206 if begin else 200, rest, headers)
            return
        self.send(request, 206 if begin else 200, rest[: len(rest) // 2], headers, length=len(rest))
        threading.Thread(target=self.restart).start()
        self.cut(request)

    def restart(self) -> None:
        self.stop()
        threading.Timer(0.1, self.start).start()

    @staticmethod
    def send(
        request: BaseHTTPRequestHandler, status: int, body: bytes, headers: dict[str, str], length: int | None = None
    ) -> None:
        request.send_response(status)
        for name, value in {"Content-Length": str(length or len(body)), **headers}.items():
            request.send_header(name, value)
        request.end_headers()
        request.wfile.write(body)
        request.wfile.flush()

    @staticmethod
    def cut(request: BaseHTTPRequestHandler) -> None:
        """In the middle of whatever was said."""
        request.close_connection = True
        request.connection.shutdown(socket.SHUT_RDWR)


Serve = Callable[..., Moody]


@pytest.fixture
def serve() -> Iterator[Serve]:
    started: list[Moody] = []

    def start(*moods: Mood) -> Moody:
        started.append(Moody(list(moods)))
        started[-1].start()
        return started[-1]

    yield start
    for moody in started:
        moody.stop()


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("client.retries.FIRST_PAUSE", 0.4)


def ask(url: str) -> str:
    with Client(url, "tw_x") as client:
        return client.version().version


def ask_async(url: str) -> str:
    async def work() -> str:
        async with AsyncClient(url, "tw_x") as client:
            return (await client.version()).version

    return asyncio.run(work())


def download(url: str, path: Path) -> Path:
    with Client(url, "tw_x") as client:
        return client.checkpoints.download(CHECKPOINT, path)


def download_async(url: str, path: Path) -> Path:
    async def work() -> Path:
        async with AsyncClient(url, "tw_x") as client:
            return await client.checkpoints.download(CHECKPOINT, path)

    return asyncio.run(work())


@pytest.mark.parametrize("moods", [(DROP, DROP), (429, 503), (503, DROP), (DROP, 429)])
@pytest.mark.parametrize("work", [ask, ask_async])
def test_two_faults_in_a_row_are_got_over(serve: Serve, work: Callable[[str], str], moods: tuple[Mood, ...]) -> None:
    assert work(f"http://127.0.0.1:{serve(*moods).port}") == "1"


def test_who_is_asked_for_patience_again_and_again_is_told_so(serve: Serve) -> None:
    with pytest.raises(RateLimited):
        ask(f"http://127.0.0.1:{serve(429, 429, 429).port}")


@pytest.mark.parametrize("work", [download, download_async])
@pytest.mark.parametrize("moods", [(RESTART,), (503, RESTART, RESTART), (429, RESTART, DROP)])
def test_a_download_outlives_the_server_and_goes_on_where_it_was(
    serve: Serve, tmp_path: Path, work: Callable[[str, Path], Path], moods: tuple[Mood, ...]
) -> None:
    moody = serve(*moods)
    path = work(f"http://127.0.0.1:{moody.port}", tmp_path / "best.safetensors")
    assert hashlib.sha256(path.read_bytes()).hexdigest() == SHA256
    assert [each.name for each in tmp_path.iterdir()] == ["best.safetensors"]
    assert moody.asked[-1] is not None, "the rest, and not all of it again"
