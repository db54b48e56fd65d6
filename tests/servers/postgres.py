"""A Postgres of the tests' own, from whatever installation the machine has."""

import os
import re
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import psycopg
from psycopg import sql
from sqlalchemy import URL, make_url

from tests.servers.process import ServerFailed, ServerMissing, free_port, group_of, running

MISSING = (
    "no PostgreSQL here: install it (Debian and Ubuntu: apt-get install postgresql; macOS: brew install postgresql@17) "
    "or name a server in TRAINWRIGHT_TEST_POSTGRES_URL"
)
INSTALLATIONS = (
    "usr/lib/postgresql/*/bin/initdb",
    "usr/pgsql-*/bin/initdb",
    "opt/homebrew/opt/postgresql@*/bin/initdb",
    "usr/local/opt/postgresql@*/bin/initdb",
)
# Speed over durability: a test's data need not outlive the machine. They outlive a crash of the server all the same:
# what is committed has been handed to the kernel, as synchronous_commit stays on.
OPTIONS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "fsync": "off",
    "full_page_writes": "off",
    "shared_buffers": "32MB",
    "max_connections": "200",
}


@dataclass(frozen=True)
class Postgres:
    """A server, known by the URL of a role that may create databases."""

    url: URL
    crash: Callable[[], None] | None = None
    """Ends it at once, as a machine that loses its power, and starts it again; None for one that is not ours."""

    def create_database(self, template: str = "template0") -> URL:
        """A database that nobody has used yet, a copy of `template`."""
        name = f"trainwright_{secrets.token_hex(6)}"
        self._execute("CREATE DATABASE {} TEMPLATE {}", name, template)
        return self.url.set(database=name)

    def drop_database(self, url: URL) -> None:
        """Remove it, whoever is still connected."""
        self._execute("DROP DATABASE {} WITH (FORCE)", str(url.database))

    def answers(self) -> bool:
        try:
            self._execute("SELECT 1")
        except psycopg.OperationalError:
            return False
        return True

    def _execute(self, statement: str, *names: str) -> None:
        address = self.url.set(drivername="postgresql").render_as_string(hide_password=False)
        with psycopg.connect(address, autocommit=True, connect_timeout=5) as connection:
            connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))


@contextmanager
def postgres_server(**others: str) -> Iterator[Postgres]:
    """The server that TRAINWRIGHT_TEST_POSTGRES_URL names, otherwise one of our own, with `others` of its options."""
    if named := os.environ.get("TRAINWRIGHT_TEST_POSTGRES_URL"):
        yield Postgres(make_url(named).set(drivername="postgresql+psycopg"))
        return
    binaries = find_binaries()
    user = _unprivileged_user()
    with tempfile.TemporaryDirectory(prefix="trainwright-postgres-") as name:
        folder = Path(name)
        if user:
            shutil.chown(folder, user)
        password = secrets.token_hex(16)
        _initialize(binaries, folder, password, user)
        port = free_port()
        server = Postgres(URL.create("postgresql+psycopg", "postgres", password, "127.0.0.1", port, "postgres"))
        options = [part for key, value in (OPTIONS | others).items() for part in ("-c", f"{key}={value}")]
        start = partial(
            running,
            [binaries / "postgres", "-D", folder / "data", "-p", str(port), *options],
            log=folder / "log",
            is_ready=server.answers,
            user=user,
            stop_signal=signal.SIGINT,  # a fast shutdown: SIGTERM would wait for every client
        )
        with ExitStack() as stack:
            processes = [stack.enter_context(start())]

            def crash() -> None:
                processes[-1].send_signal(signal.SIGQUIT)  # an immediate shutdown
                processes[-1].wait()
                processes.append(stack.enter_context(start()))

            yield replace(server, crash=crash)


def find_binaries() -> Path:
    """The folder of `initdb` and `postgres`, the newest version first."""
    installed = [path.parent for pattern in INSTALLATIONS for path in Path("/").glob(pattern)]
    if installed:
        return max(installed, key=lambda path: [int(number) for number in re.findall(r"\d+", str(path))])
    if on_path := shutil.which("initdb"):
        return Path(on_path).resolve().parent
    raise ServerMissing(MISSING)


def _unprivileged_user() -> str | None:
    """Postgres refuses to run as root: somebody else then, and nobody in particular where it has no user of its own."""
    import pwd  # absent on Windows

    if os.getuid() != 0:
        return None
    return "postgres" if any(entry.pw_name == "postgres" for entry in pwd.getpwall()) else "nobody"


def _initialize(binaries: Path, folder: Path, password: str, user: str | None) -> None:
    secret = folder / "password"
    secret.write_text(password)
    secret.chmod(0o600)
    if user:
        shutil.chown(secret, user)
    done = subprocess.run(
        [binaries / "initdb", "-D", folder / "data", "-U", "postgres", "-A", "scram-sha-256", f"--pwfile={secret}",
         "-E", "UTF8", "--locale=C", "--no-sync"],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, cwd=folder, check=False,
        user=user, group=group_of(user), extra_groups=None if user is None else [],
    )  # fmt: skip
    if done.returncode != 0:
        raise ServerFailed(f"initdb ended with {done.returncode}: {done.stderr}")
