"""The service on one machine: the API, a worker and the broker as child processes, the database and the objects in a
data folder. The code is the large installation's; only the settings differ."""

import json
import os
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from threading import Event
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from pydantic import SecretStr, ValidationError

from local import broker
from local.folder import DataFolder
from local.supervisor import Program, Say, Stopped, Supervisor
from models import browser_sessions, jobs, projects
from models.database import Database, Session, sqlite_url
from models.settings import Settings

ROOT = Path(__file__).parents[1]
HOST = "127.0.0.1"
PORT, PORTS_TRIED = 8000, 100
PROJECT = "default"
TICKET_SECONDS = 24 * 3600
LOOK_SECONDS = 0.2
DRAIN_SECONDS = 20.0
"""A worker on one machine only has to save its jobs: nobody waits to take them over."""
API_STOP_SECONDS, BROKER_STOP_SECONDS, MARGIN_SECONDS = 3, 5, 5


class CannotStart(Exception):
    """The message says what stands in the way, and what to do."""


@dataclass(frozen=True)
class Running:
    """A service that is up."""

    port: int
    api_key: str
    api_key_file: Path
    key_is_new: bool
    ticket: str
    """Lets one browser in, once."""

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    @property
    def page_url(self) -> str:
        """A link that signs in the browser that opens it first. The key is not in it."""
        return f"{self.url}/sign-in?ticket={self.ticket}"


class Service:
    """One service on one data folder. `run` does everything in the thread that calls it: the child processes live no
    longer than that thread.

    Args:
        port: where the API listens; None for 8000, or the next one that is free.
        say: takes one line for whoever watches.
        extra: settings that go before those of the environment.
    """

    def __init__(self, folder: DataFolder, *, port: int | None, say: Say, **extra: Any) -> None:
        self._folder = folder
        self._port = port
        self._say = say
        self._extra = extra
        self.stopping = Event()
        """Set it to stop the service."""
        self.hurry = Event()
        """Set it to kill what has not stopped by then."""

    def run(self, on_ready: Callable[[Running], None]) -> None:
        """Start everything, call `on_ready`, and keep it running until `stopping` is set. Nothing is left running.

        Raises:
            InUse: another service runs on the data folder.
            CannotStart, ChildFailed: what did not work.
        """
        with self._folder.held(), self._folder.socket() as path, suppress(Stopped):
            binary = broker.find_binary()
            if binary is None:
                self._say("There is no Valkey for this platform: jobs start within seconds instead of at once.")
            settings = _settings(self._folder, "memory://" if binary is None else broker.url(path), self._extra)
            with self._supervisor(settings) as supervisor, _opened(settings) as database:
                running = self._prepare(database)
                if binary is not None:
                    supervisor.start(_broker(binary, path, self._folder.broker), stopping=self.stopping)
                supervisor.start(_worker(database, settings), _api(running.port), stopping=self.stopping)
                with self._folder.announced(running.url):
                    on_ready(running)
                    while not self.stopping.wait(LOOK_SECONDS):
                        supervisor.look_after()

    @contextmanager
    def _supervisor(self, settings: Settings) -> Iterator[Supervisor]:
        environment = os.environ | _as_environment(settings)
        environment["TORCHINDUCTOR_CACHE_DIR"] = str(self._folder.cache / "compiled")  # torch's choice would be /tmp
        environment.pop("TRAINWRIGHT_API_KEY", None)  # a client's
        supervisor = Supervisor(
            logs=self._folder.logs, environment=environment, folder=ROOT, say=self._say, hurry=self.hurry
        )
        try:
            yield supervisor
        finally:
            supervisor.stop()

    def _prepare(self, database: Database) -> Running:
        """Bring the tables up to date, and have a port and a key."""
        _migrate(database)
        port = self._free_port()
        with database.write() as session:
            key = self._folder.api_key()
            is_new = key is None or projects.authenticate(session, key) is None
            key = _new_key(session) if key is None or is_new else key
            file = self._folder.keep_api_key(key)
            ticket = _new_ticket(session, key)
        return Running(port, key, file, is_new, ticket)

    def _free_port(self) -> int:
        if self._port is not None:
            if not _is_free(self._port):
                raise CannotStart(f"Port {self._port} of {HOST} is taken; choose another with --port.")
            return self._port
        for port in range(PORT, PORT + PORTS_TRIED):
            if _is_free(port):
                if port != PORT:
                    self._say(f"Port {PORT} is taken, so this is on port {port}.")
                return port
        raise CannotStart(f"The {PORTS_TRIED} ports of {HOST} from {PORT} on are all taken; name one with --port.")


def _settings(folder: DataFolder, broker_url: str, extra: dict[str, Any]) -> Settings:
    """What the data folder decides, and otherwise the operator's settings."""
    try:
        settings = Settings(
            database_url=SecretStr(sqlite_url(folder.database)),
            broker_url=SecretStr(broker_url),
            storage_url=f"file://{folder.objects}",
            cache_dir=folder.cache,
            allowed_hosts=(HOST, "localhost"),
            **extra,
        )
    except ValidationError as error:
        wrong = "; ".join(f"TRAINWRIGHT_{str(item['loc'][0]).upper()}: {item['msg']}" for item in error.errors())
        raise CannotStart(f"The environment has settings that are not valid: {wrong}") from None
    if "drain_seconds" in settings.model_fields_set:
        return settings
    return settings.model_copy(update={"drain_seconds": DRAIN_SECONDS})


def _as_environment(settings: Settings) -> dict[str, str]:
    """As the child processes read them. No secret is among them: the database is a file, the broker a socket."""
    values = {name: getattr(settings, name) for name in settings.model_fields_set}
    return {f"TRAINWRIGHT_{name.upper()}": _as_text(value) for name, value in values.items()}


def _as_text(value: object) -> str:
    match value:
        case SecretStr():
            return value.get_secret_value()
        case tuple():
            return json.dumps(value)
        case _:
            return str(value)


@contextmanager
def _opened(settings: Settings) -> Iterator[Database]:
    database = Database(settings)
    try:
        yield database
    finally:
        database.close()


def _migrate(database: Database) -> None:
    config = Config(toml_file=ROOT / "pyproject.toml")
    with database.rebuild() as connection:
        config.attributes["connection"] = connection
        try:
            command.upgrade(config, "head")
        except CommandError as error:
            raise CannotStart(f"The database cannot be migrated ({error}): was a newer version here?") from None


def _new_key(session: Session) -> str:
    project = projects.project_named(session, PROJECT) or projects.create_project(session, PROJECT)
    return projects.create_key(session, project.id, name="first", scope="admin")[1]


def _new_ticket(session: Session, key: str) -> str:
    caller = projects.authenticate(session, key)
    assert caller is not None, "the key was made or checked in this transaction"
    return browser_sessions.issue_ticket(session, caller.key_id, TICKET_SECONDS)


def _broker(binary: Path, path: Path, folder: Path) -> Program:
    return Program("broker", broker.command(binary, path, folder), lambda: broker.answers(path), BROKER_STOP_SECONDS)


def _api(port: int) -> Program:
    serve = ["uvicorn", "api.main:create_app", "--factory", "--host", HOST, "--port", str(port), "--no-access-log"]
    graceful = ["--timeout-graceful-shutdown", str(API_STOP_SECONDS)]
    whole = [sys.executable, "-m", *serve, *graceful]
    return Program("api", whole, lambda: _is_ready(port), API_STOP_SECONDS + MARGIN_SECONDS)


def _worker(database: Database, settings: Settings) -> Program:
    begun = datetime.now(UTC)

    def reports() -> bool:
        with database.read() as session:
            return any(worker.started_at >= begun for worker in jobs.workers(session, seen_within=60))

    return Program(
        "worker", [sys.executable, "-m", "worker", "serve"], reports, settings.drain_seconds + MARGIN_SECONDS
    )


def _is_ready(port: int) -> bool:
    connection = HTTPConnection(HOST, port, timeout=1)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True
