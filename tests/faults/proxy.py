"""A TCP proxy that can be told to misbehave: between the service and its database, its broker, its store."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

PIECE = 64 * 1024


@dataclass
class Proxy:
    """Passes bytes on, unless it is told otherwise; what it is told holds for open connections too."""

    upstream: tuple[str, int]
    listener: socket.socket = field(default_factory=lambda: socket.create_server(("127.0.0.1", 0)))
    delay: float = 0.0
    """Seconds before each piece is passed on."""
    black_hole: bool = False
    """Takes everything, passes nothing on, closes nothing: as a firewall that lost its state."""
    cut_after: int | None = None
    """Bytes from the upstream after which a connection is reset."""
    refuses: bool = False
    _open: set[socket.socket] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def port(self) -> int:
        return int(self.listener.getsockname()[1])

    def heal(self) -> None:
        self.delay, self.black_hole, self.cut_after, self.refuses = 0.0, False, None, False

    def reset(self) -> None:
        """Ends every open connection with a RST, as a server that is killed."""
        with self._lock:
            connections, self._open = self._open, set()
        for connection in connections:
            _reset(connection)

    def serve(self) -> None:
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            if self.refuses:
                _reset(near)
                continue
            try:
                far = socket.create_connection(self.upstream, timeout=5)
            except OSError:
                _reset(near)
                continue
            far.settimeout(None)
            with self._lock:
                self._open |= {near, far}
            threading.Thread(target=self._pump, args=(near, far, False), daemon=True).start()
            threading.Thread(target=self._pump, args=(far, near, True), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, is_answer: bool) -> None:
        passed = 0
        with suppress(OSError):
            while data := source.recv(PIECE):
                time.sleep(self.delay)
                while self.black_hole:
                    time.sleep(0.01)
                if is_answer and self.cut_after is not None and passed + len(data) > self.cut_after:
                    sink.sendall(data[: max(0, self.cut_after - passed)])
                    _reset(source)
                    _reset(sink)
                    return
                passed += len(data)
                sink.sendall(data)
        with self._lock:
            self._open -= {source, sink}
        for end in (source, sink):
            _close(end)


@contextmanager
def proxy(host: str, port: int) -> Iterator[Proxy]:
    made = Proxy((host, port))
    thread = threading.Thread(target=made.serve, name="proxy", daemon=True)
    thread.start()
    yield made
    made.heal()
    with suppress(OSError):
        made.listener.shutdown(socket.SHUT_RDWR)  # or the thread that accepts would not notice
    made.listener.close()
    made.reset()
    thread.join()


def _reset(connection: socket.socket) -> None:
    """Close without a farewell."""
    with suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    _close(connection)


def _close(connection: socket.socket) -> None:
    """At once, even while another thread waits for bytes of it."""
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    with suppress(OSError):
        connection.close()
