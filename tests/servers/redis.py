"""A Redis of the tests' own: the machine's `redis-server`, otherwise the Valkey that a wheel brings."""

import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import redis

from local import broker
from tests.servers.process import ServerMissing, free_port, running

MISSING = (
    "no Redis here: install it (Debian and Ubuntu: apt-get install redis-server; macOS: brew install redis) "
    "or name a server in TRAINWRIGHT_TEST_REDIS_URL"
)


@contextmanager
def redis_server() -> Iterator[str]:
    """URL of the database that TRAINWRIGHT_TEST_REDIS_URL names (it will be flushed, and the next one), otherwise of
    one of our own.
    """
    if named := os.environ.get("TRAINWRIGHT_TEST_REDIS_URL"):
        yield named
        return
    binary = find_binary()
    with tempfile.TemporaryDirectory(prefix="trainwright-redis-") as name:
        folder = Path(name)
        port, password = free_port(), secrets.token_hex(16)
        settings = folder / "redis.conf"  # a file, because a command line shows its secrets to everybody
        settings.write_text(
            f'bind 127.0.0.1\nport {port}\nrequirepass {password}\ndir "{folder}"\n'
            f'appendonly yes\nappendfsync no\nsave ""\nmaxmemory-policy noeviction\n'
        )
        url = f"redis://:{password}@127.0.0.1:{port}/0"
        with running([binary, settings], log=folder / "log", is_ready=lambda: answers(url)):
            yield url


def answers(url: str) -> bool:
    try:
        with redis.Redis.from_url(url, socket_timeout=5) as client:
            return bool(client.ping())
    except redis.ConnectionError:
        return False


def flush(url: str) -> None:
    """Forget everything under this URL, as a test expects to find it."""
    with redis.Redis.from_url(url, socket_timeout=5) as client:
        client.flushdb()


def next_database(url: str) -> str:
    """The one beside it, on the same server."""
    parts = urlsplit(url)
    return parts._replace(path=f"/{(int(parts.path.strip('/') or 0) + 1) % 16}").geturl()


def find_binary() -> Path:
    if on_path := shutil.which("redis-server"):
        return Path(on_path)
    if in_wheel := broker.find_binary():
        return in_wheel
    raise ServerMissing(MISSING)
