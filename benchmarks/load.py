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
    in_time: int = 0
    """Answers that were there after so many seconds."""
    latencies: list[float] = field(default_factory=list)
    """Seconds from sending a request to the end of its answer; of all, the last ones too: who waits long is counted."""
    failures: int = 0
    """Answers that were no success."""

    @property
    def rate(self) -> float:
        return self.in_time / self.seconds

    def milliseconds(self, share: float) -> float:
        return 1000 * quantile(self.latencies, share)


@dataclass(frozen=True)
class Length:
    """How long is measured: until there are so many answers, but so many seconds at least, and at most."""

    answers: int
    least: float
    most: float

    def is_over(self, answers: int, seconds: float) -> bool:
        return seconds >= self.most or (seconds >= self.least and answers >= self.answers)


def request(method: str, path: str, headers: Mapping[str, str], body: bytes = b"") -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", *(f"{name}: {value}" for name, value in headers.items())]
    if body:
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, "", ""]).encode() + body


def fire(port: int, following: Next, clients: int, length: Length) -> Load:
    """Send requests for so long, from as many connections that stay open, and hear all answers out.

    Raises:
        ConnectionError: the server closed one, or did not answer.
    """
    load = Load(clients)
    with selectors.DefaultSelector() as selector:
        for _ in range(clients):
            one = Connection(port)
            selector.register(one.socket, selectors.EVENT_READ, one)
        begun = time.perf_counter()
        for key in selector.get_map().values():
            key.data.send(following())
        while selector.get_map():
            events = selector.select(PATIENCE)
            if not events:
                raise ConnectionError("the server does not answer")
            for key, _ in events:
                one = key.data
                if not one.receive():
                    continue
                now = time.perf_counter()
                load.latencies.append(now - one.sent)
                load.failures += not one.succeeded
                if not load.in_time and length.is_over(len(load.latencies), now - begun):
                    load.seconds, load.in_time = now - begun, len(load.latencies)
                if load.in_time:
                    selector.unregister(one.socket)
                    one.socket.close()
                else:
                    one.send(following())
    return load


class Connection:
    """With one request on its way."""

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

    def ask(self, message: bytes) -> tuple[int, bytes]:
        """One request; the status and the body of its answer."""
        self.send(message)
        while not self.receive():
            pass
        return self.answer()


def ask(port: int, message: bytes) -> tuple[int, bytes]:
    """One request from a connection of its own."""
    connection = Connection(port)
    answer = connection.ask(message)
    connection.socket.close()
    return answer
