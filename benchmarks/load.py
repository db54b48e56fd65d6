"""Requests over HTTP from so many clients at once, each of which sends the next one when the last is answered.

One thread and one selector for all of them, on bare sockets: about 30 µs a request, so that what is measured is the
server. Answers are acknowledged at once: a server that sends one in two pieces, and holds the second back until the
first is acknowledged (RFC 896), as uvicorn's processes do without uvloop, would otherwise wait 40 ms for Linux.
"""

import selectors
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from benchmarks.figures import quantile

Next = Callable[[], bytes]
"""Makes the next request."""
PATIENCE = 30.0


@dataclass
class Load:
    """What came of it."""

    clients: int
    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    """Seconds from sending a request to the end of its answer, of those that were answered within the time."""
    failures: int = 0
    """Answers that were no success."""

    @property
    def rate(self) -> float:
        return len(self.latencies) / self.seconds

    def milliseconds(self, share: float) -> float:
        return 1000 * quantile(self.latencies, share)


def request(method: str, path: str, headers: Mapping[str, str], body: bytes = b"") -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", *(f"{name}: {value}" for name, value in headers.items())]
    if body:
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, "", ""]).encode() + body


def fire(port: int, following: Next, clients: int, seconds: float) -> Load:
    """Send requests for so many seconds, from as many connections that stay open.

    Raises:
        ConnectionError: the server closed one, or did not answer.
    """
    load = Load(clients)
    with selectors.DefaultSelector() as selector:
        for _ in range(clients):
            one = _Client(port)
            selector.register(one.socket, selectors.EVENT_READ, one)
        waiting = [key.data for key in selector.get_map().values()]
        begun = time.perf_counter()
        for one in waiting:
            one.send(following())
        while (now := time.perf_counter()) - begun < seconds:
            events = selector.select(PATIENCE)
            if not events:
                raise ConnectionError("the server does not answer")
            for key, _ in events:
                one = key.data
                if one.receive():
                    now = time.perf_counter()
                    load.latencies.append(now - one.sent)
                    load.failures += not one.succeeded
                    one.send(following())
        load.seconds = now - begun
        for one in waiting:
            one.finish()
    return load


class _Client:
    """A connection with one request on its way."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), PATIENCE)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sent = 0.0
        self.succeeded = False
        self._received = b""
        self._length: int | None = None

    def send(self, message: bytes) -> None:
        self._received, self._length = b"", None
        self.sent = time.perf_counter()
        self.socket.sendall(message)
        self._acknowledge_at_once()

    def receive(self) -> bool:
        """Whether the answer is here, whole. Answers say their length."""
        piece = self.socket.recv(1 << 18)
        self._acknowledge_at_once()
        if not piece:
            raise ConnectionError("the server closed a connection")
        self._received += piece
        if self._length is None and (head := self._received.find(b"\r\n\r\n")) >= 0:
            lines = self._received[:head].lower().split(b"\r\n")
            self.succeeded = lines[0].split(b" ")[1][:1] == b"2"
            self._length = head + 4 + next(int(line[15:]) for line in lines if line.startswith(b"content-length:"))
        return self._length is not None and len(self._received) >= self._length

    def _acknowledge_at_once(self) -> None:
        """Linux forgets it again and again."""
        if hasattr(socket, "TCP_QUICKACK"):
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)

    def answer(self) -> tuple[int, bytes]:
        head, _, body = self._received.partition(b"\r\n\r\n")
        return int(head.split(b" ")[1]), body

    def finish(self) -> None:
        """Hear the last answer out: the server has nothing left to do when somebody else is measured."""
        while not self.receive():
            pass
        self.socket.close()


def ask(port: int, message: bytes) -> tuple[int, bytes]:
    """One request; the status and the body of its answer."""
    client = _Client(port)
    client.send(message)
    while not client.receive():
        pass
    client.socket.close()
    return client.answer()
