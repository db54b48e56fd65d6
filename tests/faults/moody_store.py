"""An HTTP proxy in front of an object store that takes its time and then often says 500."""

import http.client
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit


class MoodyStore(ThreadingHTTPServer):
    """Passes requests on as they are, signatures and all, unless it is in the mood."""

    daemon_threads = True

    def __init__(self, upstream: str, *, share: float, delay: float, seed: int) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        parts = urlsplit(upstream)
        self.upstream = str(parts.hostname), int(parts.port or 80)
        self.share, self.delay = share, delay
        """Which share of the requests it refuses, after so many seconds."""
        self.random = random.Random(seed)
        self.answered: Counter[int] = Counter()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: MoodyStore
    protocol_version = "HTTP/1.1"

    def _handle(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.server.random.random() < self.server.share:
            time.sleep(self.server.delay)
            self._answer(500, [], b"")
            return
        connection = http.client.HTTPConnection(*self.server.upstream, timeout=60)
        try:
            connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                connection.putheader(name, value)
            connection.endheaders(body)
            reply = connection.getresponse()
            self._answer(reply.status, reply.getheaders(), reply.read())
        finally:
            connection.close()

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _handle  # noqa: N815

    def _answer(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.server.answered[status] += 1
        self.send_response_only(status)
        for name, value in headers:
            if name.lower() not in {"connection", "transfer-encoding", "content-length"}:
                self.send_header(name, value)
        length = dict(headers).get("Content-Length") if self.command == "HEAD" else None
        self.send_header("Content-Length", length or str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """It is talkative otherwise."""


@contextmanager
def moody_store(upstream: str, *, share: float = 0.5, delay: float = 1.0, seed: int = 0) -> Iterator[MoodyStore]:
    store = MoodyStore(upstream, share=share, delay=delay, seed=seed)
    thread = threading.Thread(target=store.serve_forever, daemon=True)
    thread.start()
    yield store
    store.shutdown()
    store.server_close()
    thread.join()
