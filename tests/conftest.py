"""What every test may ask for: real servers, started once a run, and an empty place in them for each test."""

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import TypeVar

import pytest
from sqlalchemy import URL, NullPool, create_engine, text

from models.tables import Table
from tests.servers.postgres import Postgres, postgres_server
from tests.servers.process import ServerMissing
from tests.servers.redis import flush, next_database, redis_server
from tests.servers.s3 import S3, s3_server
from tests.service import DIGITS, Service, service

ROOT = Path(__file__).parents[1]
Server = TypeVar("Server")


HEAVY = ("s3_server_of_the_run", "installation", "lasting_service", "machine", "_trainers")
"""Fixtures that start several processes, where tests share them; the first one decides."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The tests that share something heavy run in one of the test processes, which starts the only one."""
    for item in items:
        fixtures = item._fixtureinfo.name2fixturedefs if isinstance(item, pytest.Function) else {}
        shared = [name for name in HEAVY if name in fixtures and fixtures[name][-1].scope != "function"]
        if shared:
            item.add_marker(pytest.mark.xdist_group(f"{shared[0]} of {fixtures[shared[0]][-1].baseid}"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """One line for each reason to skip, however many tests share it."""
    reasons = Counter(report.longrepr[2] for report in terminalreporter.stats.get("skipped", []))
    for reason, tests in reasons.items():
        terminalreporter.write_line(f"SKIPPED {tests}: {reason.removeprefix('Skipped: ')}", yellow=True)


def pytest_make_parametrize_id(val: object) -> str | None:
    """Words of a spec are their own name; what is no JSON may call itself something else in every process."""
    try:
        return json.dumps(val) if isinstance(val, dict | list | tuple) else None
    except TypeError:
        return None


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """The Postgres server. Most tests want `postgres_url`."""
    yield from _started(postgres_server)


@pytest.fixture(scope="session")
def migrated_postgres(postgres: Postgres) -> Iterator[URL]:
    """A database with our tables and nothing in them, to be copied."""
    url = postgres.create_database()
    migrate(url.render_as_string(hide_password=False))
    yield url
    postgres.drop_database(url)


@contextmanager
def copied(postgres: Postgres, migrated: URL) -> Iterator[str]:
    """URL of a new database that is like another one."""
    url = postgres.create_database(template=str(migrated.database))
    try:
        yield url.render_as_string(hide_password=False)
    finally:
        postgres.drop_database(url)


@pytest.fixture(scope="session")
def postgres_url_of_the_run(postgres: Postgres, migrated_postgres: URL) -> Iterator[str]:
    """Of the database that tests have one after the other. They want `postgres_url`."""
    with copied(postgres, migrated_postgres) as url:
        yield url


@pytest.fixture
def postgres_url(postgres_url_of_the_run: str) -> Iterator[str]:
    """URL of a Postgres database with our tables and nothing in them. A test leaves the tables as they are."""
    yield postgres_url_of_the_run
    engine = create_engine(postgres_url_of_the_run, poolclass=NullPool)
    with engine.begin() as connection:
        connection.execute(_OTHERS_LEAVE)
        for table in reversed(Table.metadata.sorted_tables):
            connection.execute(table.delete())


_OTHERS_LEAVE = text(
    "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
    " WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
)


@pytest.fixture
def own_postgres_url(postgres: Postgres, migrated_postgres: URL) -> Iterator[str]:
    """The same, of a database that is this test's own, to do with as it likes; it takes a while to make."""
    with copied(postgres, migrated_postgres) as url:
        yield url


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a SQLite database with our tables and nothing in them, to be copied."""
    path = tmp_path_factory.mktemp("sqlite") / "trainwright.db"
    migrate(f"sqlite:///{path}")
    return path


@pytest.fixture
def sqlite_url(migrated_sqlite: Path, tmp_path: Path) -> str:
    """URL of a SQLite database with our tables, this test's own."""
    return f"sqlite:///{shutil.copy(migrated_sqlite, tmp_path / 'trainwright.db')}"


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest) -> str:
    """URL of a database with our tables and nothing in them; the test runs once on each kind."""
    return str(request.getfixturevalue(f"{request.param}_url"))


@pytest.fixture(scope="session")
def redis_server_of_the_run() -> Iterator[str]:
    yield from _started(redis_server)


@pytest.fixture
def redis_url(redis_server_of_the_run: str) -> str:
    """URL of a Redis that holds nothing."""
    flush(redis_server_of_the_run)
    return redis_server_of_the_run


@pytest.fixture(scope="session", params=["postgres", pytest.param("sqlite", marks=pytest.mark.chaos)])
def lasting_service(
    request: pytest.FixtureRequest, redis_server_of_the_run: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    """An installation that tests share. They want `running_service`."""
    folder = tmp_path_factory.mktemp("service")
    broker = next_database(redis_server_of_the_run)  # its worker hears no other test's bell
    flush(broker)
    with ExitStack() as stack:
        if request.param == "postgres":
            url = stack.enter_context(copied(*map(request.getfixturevalue, ("postgres", "migrated_postgres"))))
        else:
            url = f"sqlite:///{shutil.copy(request.getfixturevalue('migrated_sqlite'), folder / 'trainwright.db')}"
        yield stack.enter_context(service(folder, url, broker, TRAINWRIGHT_CHECKPOINT_SECONDS="0.3"))


@pytest.fixture
def running_service(lasting_service: Service) -> Iterator[Service]:
    """An installation with one worker, and with what other tests have left in it. The invariants hold afterwards."""
    lasting_service.keep_one_worker()
    yield lasting_service
    try:
        assert lasting_service.violations() == []
    finally:
        lasting_service.keep_one_worker()
        lasting_service.end_all()


@pytest.fixture(scope="session")
def digits_id(lasting_service: Service) -> str:
    """The digits, in that installation."""
    return lasting_service.take_in(DIGITS)


@pytest.fixture(scope="session")
def s3_server_of_the_run() -> Iterator[S3]:
    yield from _started(s3_server)


@pytest.fixture
def s3(s3_server_of_the_run: S3) -> S3:
    """A bucket, and a prefix in it that is this test's own."""
    return s3_server_of_the_run.with_new_prefix()


def _started(start: Callable[[], AbstractContextManager[Server]]) -> Iterator[Server]:
    """Skip where the server cannot be had; in CI that is a failure, for a skip there would pass for a success."""
    try:
        with start() as server:
            yield server
    except ServerMissing as missing:
        if os.environ.get("CI") and not os.environ.get("TRAINWRIGHT_ALLOW_SKIPS"):
            pytest.fail(str(missing), pytrace=False)
        pytest.skip(str(missing))


def migrate(url: str) -> None:
    """As an operator does it."""
    environment = os.environ | {"TRAINWRIGHT_DATABASE_URL": url, "TRAINWRIGHT_STORAGE_URL": "file:///nowhere"}
    subprocess.run([sys.executable, "-m", "alembic", "upgrade", "head"], cwd=ROOT, env=environment, check=True)
