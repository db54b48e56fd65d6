from typing import Any

import psycopg
import pytest

from tests.servers.postgres import Postgres, postgres_server


def connect(url: str) -> "psycopg.Connection[Any]":
    return psycopg.connect(url.replace("postgresql+psycopg", "postgresql"), autocommit=True)


@pytest.mark.xdist_group("postgres_url")
@pytest.mark.parametrize("time", ["first", "second"])
def test_every_test_has_empty_tables(postgres_url: str, time: str) -> None:
    with connect(postgres_url) as connection:
        connection.execute("INSERT INTO projects (id, name, created_at) VALUES ('prj_1', 'left behind', now())")


@pytest.mark.parametrize("time", ["first", "second"])
def test_a_database_may_be_a_tests_own(own_postgres_url: str, time: str) -> None:
    with connect(own_postgres_url) as connection:
        connection.execute("CREATE TABLE left_behind (x integer)")


def test_a_dropped_database_is_gone_though_somebody_is_connected(postgres: Postgres) -> None:
    url = postgres.create_database()
    with connect(url.render_as_string(hide_password=False)) as connection:
        postgres.drop_database(url)
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")


def test_the_server_asks_for_its_password(postgres: Postgres) -> None:
    with pytest.raises(psycopg.OperationalError):
        connect(postgres.url.set(password="wrong").render_as_string(hide_password=False))


def test_what_is_committed_outlives_a_crash() -> None:
    with postgres_server() as server:
        if server.crash is None:
            pytest.skip("the server is not ours to crash")
        url = server.create_database().render_as_string(hide_password=False)
        with connect(url) as connection:
            connection.execute("CREATE TABLE kept (x integer)")
            server.crash()
        with connect(url) as connection:
            assert connection.execute("SELECT count(*) FROM kept").fetchone() == (0,)
