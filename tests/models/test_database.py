"""What a database that is not itself is taken for."""

import socket
import sys

import pytest
from sqlalchemy import text
from sqlalchemy.exc import NotSupportedError

from models.database import OUTAGES, Database
from models.projects import create_project
from models.settings import Settings


def open_database(url: str) -> Database:
    return Database(Settings(database_url=url, storage_url="file:///nowhere"))


def test_a_standby_that_takes_no_writes_is_an_outage(postgres_url: str) -> None:
    database = open_database(postgres_url)
    with database.write() as session:
        session.execute(text("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY"))
    with pytest.raises(OUTAGES), database.write() as session:
        create_project(session, "a project")
    database.close()


def test_a_connection_whose_server_has_left_is_not_used_again(postgres_url: str) -> None:
    database, other = open_database(postgres_url), open_database(postgres_url)
    for begin in (database.read, database.write):
        with begin() as session:
            mine = session.scalars(text("SELECT pg_backend_pid()")).one()
        with other.read() as session:
            session.execute(text("SELECT pg_terminate_backend(:mine, 5000)"), {"mine": mine})
        with begin() as session:
            assert session.scalars(text("SELECT pg_backend_pid()")).one() != mine
    database.close()
    other.close()


def test_reading_is_not_a_transaction_that_is_left_open(postgres_url: str) -> None:
    database = open_database(postgres_url)
    with database.read() as session:
        session.execute(text("SELECT 1"))
        idle = (
            "SELECT count(*) FROM pg_stat_activity WHERE state = 'idle in transaction' AND datname = current_database()"
        )
        assert session.scalars(text(idle)).one() == 0
    with database.write() as session:
        create_project(session, "a project")
        session.rollback()
    with database.read() as session:
        assert session.scalars(text("SELECT count(*) FROM projects")).one() == 0
    database.close()


@pytest.mark.skipif(sys.platform != "linux", reason="the names of these options are Linux's")
def test_a_server_that_vanished_is_noticed_within_half_a_minute(postgres_url: str) -> None:
    database = open_database(postgres_url)
    with database.engine.connect() as connection:
        descriptor = connection.connection.driver_connection.fileno()  # type: ignore[union-attr]
        with socket.socket(fileno=descriptor) as wire:
            options = ("TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT", "TCP_USER_TIMEOUT")
            found = [wire.getsockopt(socket.IPPROTO_TCP, getattr(socket, name)) for name in options]
            wire.detach()
    database.close()
    assert found == [10, 5, 3, 30_000]


def test_a_statement_that_was_prepared_for_another_type_fails_once_at_most(own_postgres_url: str) -> None:
    """As after an upgrade under a process that lives on."""
    database, upgrade = open_database(own_postgres_url), open_database(own_postgres_url)
    names = text("SELECT name FROM projects")
    for _ in range(10):
        with database.read() as session:
            session.execute(names)
    with upgrade.write() as session:
        session.execute(text("ALTER TABLE projects ALTER COLUMN name TYPE text"))
    with pytest.raises(NotSupportedError), database.read() as session:
        session.execute(names)
    with database.read() as session:
        assert session.scalars(names).all() == []
    database.close()
    upgrade.close()
