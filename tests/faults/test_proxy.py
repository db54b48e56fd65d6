"""The proxy misbehaves as it is told to, and only then."""

import socket
import threading
from collections.abc import Iterator

import pytest

from tests.faults.proxy import Proxy, proxy


@pytest.fixture
def between() -> Iterator[Proxy]:
    """A proxy in front of a server that says everything back."""
    server = socket.create_server(("127.0.0.1", 0))

    def echo() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            threading.Thread(target=_say_back, args=(connection,), daemon=True).start()

    threading.Thread(target=echo, daemon=True).start()
    with proxy(*server.getsockname()) as made:
        yield made
    server.shutdown(socket.SHUT_RDWR)
    server.close()


def _say_back(connection: socket.socket) -> None:
    with connection:
        while data := connection.recv(1000):
            connection.sendall(data)


def connect(between: Proxy) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", between.port))
    connection.settimeout(1)
    return connection


def has_ended(connection: socket.socket) -> bool:
    """Whether the other end is gone, with or without a farewell."""
    try:
        return connection.recv(10) == b""
    except ConnectionError:
        return True


def test_bytes_pass_both_ways(between: Proxy) -> None:
    with connect(between) as connection:
        connection.sendall(b"hello")
        assert connection.recv(10) == b"hello"


def test_an_open_connection_is_reset(between: Proxy) -> None:
    with connect(between) as connection:
        connection.sendall(b"hello")
        connection.recv(10)
        between.reset()
        assert has_ended(connection)


def test_a_black_hole_answers_nothing_until_it_is_healed(between: Proxy) -> None:
    with connect(between) as connection:
        between.black_hole = True
        connection.sendall(b"hello")
        with pytest.raises(TimeoutError):
            connection.recv(10)
        between.heal()
        assert connection.recv(10) == b"hello"


def test_an_answer_is_cut_after_so_many_bytes(between: Proxy) -> None:
    between.cut_after = 3
    with connect(between) as connection:
        connection.sendall(b"hello")
        received = b""
        try:
            while data := connection.recv(10):
                received += data
        except ConnectionResetError:
            pass
    assert len(received) <= 3


def test_it_may_refuse(between: Proxy) -> None:
    between.refuses = True
    with connect(between) as connection:
        assert has_ended(connection)
