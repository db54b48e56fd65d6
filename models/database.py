"""Connections. Postgres for many machines, SQLite for one; the same tables, migrations and queries.

SQLite runs in WAL with synchronous FULL, one writing connection a process and `BEGIN IMMEDIATE`: a deferred
transaction that turns into a write fails at once when another process has written meanwhile.
"""

import json
import select
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from psycopg.errors import FeatureNotSupported
from sqlalchemy import URL, Connection, Engine, ExceptionContext, create_engine, event, exc, text
from sqlalchemy.orm import Session
from sqlalchemy.pool import QueuePool

from models import meters
from models.failpoints import Injected, is_asked, reach
from models.settings import Settings

__all__ = ["COLLISIONS", "OUTAGES", "Database", "Session", "outage"]

OUTAGES = (exc.OperationalError, exc.InterfaceError, exc.InternalError, exc.TimeoutError)
"""What a transaction raises when the database is away, too busy, too slow, or has become a read-only standby."""
COLLISIONS = (exc.IntegrityError,)
"""What a transaction raises when another one was there first with something that does not go together with it."""


def outage() -> exc.OperationalError:
    """What the driver raises when the server is gone."""
    return exc.OperationalError("a statement", None, Injected("the server closed the connection"))


class Database:
    """Where transactions begin. `write()` commits when its block ends well and rolls back when it does not; `read()`
    never writes, and each of its statements sees what is committed when it begins."""

    def __init__(self, settings: Settings) -> None:
        url = settings.database_url.get_secret_value()
        options: dict[str, Any] = {"json_serializer": _to_json, "hide_parameters": True}
        if settings.is_sqlite:
            self._writer = _sqlite_engine(url, "BEGIN IMMEDIATE", pool_size=1, **options)
            self._reader = _sqlite_engine(url, "BEGIN", pool_size=8, **options)
        else:
            options |= {
                "pool_size": settings.database_pool_size,
                "max_overflow": 10,
                "pool_timeout": 10,
            }
            connect = {"connect_timeout": 5, "application_name": "trainwright"}
            self._writer = create_engine(url, connect_args=connect | _FAR_SIDE_IS_GONE, **options)
            event.listen(self._writer, "checkout", _look_whether_alive)
            # What only reads needs no transaction: two trips to the server less.
            self._reader = self._writer.execution_options(isolation_level="AUTOCOMMIT")
        for engine in {self._writer, self._reader} if settings.is_sqlite else {self._writer}:
            event.listen(engine, "handle_error", _count)
            if is_asked("database.call"):
                event.listen(engine, "before_cursor_execute", _reach)

    @property
    def engine(self) -> Engine:
        return self._writer

    @contextmanager
    def write(self) -> Iterator[Session]:
        with Session(self._writer, expire_on_commit=False) as session, session.begin():
            yield session
        reach("database.after_commit", error=outage)

    @contextmanager
    def read(self) -> Iterator[Session]:
        with Session(self._reader, expire_on_commit=False, autoflush=False) as session:
            yield session

    @contextmanager
    def rebuild(self) -> Iterator[Connection]:
        """A transaction in which tables may be built anew.

        SQLite builds a new table for each change of an old one, and would delete what hangs on the old one's rows: it
        does not follow foreign keys in here, and is asked in the end whether all of them still lead somewhere.
        """
        with self._writer.connect() as connection:
            if connection.dialect.name != "sqlite":
                with connection.begin():
                    yield connection
                return
            driver = connection.connection.driver_connection
            assert driver is not None
            driver.execute("PRAGMA foreign_keys=OFF")
            try:
                with connection.begin():
                    yield connection
                    dangling = connection.exec_driver_sql("PRAGMA foreign_key_check").all()
                    assert not dangling, f"foreign keys that lead nowhere: {dangling}"
            finally:
                driver.execute("PRAGMA foreign_keys=ON")

    def check(self) -> None:
        """Raise what stands in the way of using the tables."""
        with self.read() as session:
            session.execute(text("SELECT 1 FROM projects LIMIT 1"))

    def close(self) -> None:
        self._writer.dispose()
        self._reader.dispose()


def _look_whether_alive(connection: Any, _record: object, _proxy: object) -> None:
    """A server that left has closed its end, and there the end can be read: no need to ask it each time.

    Raises:
        DisconnectionError: the pool then makes a new connection.
    """
    looking = select.poll()
    looking.register(connection.fileno(), select.POLLIN)
    if looking.poll(0):
        raise exc.DisconnectionError


def _count(context: ExceptionContext) -> None:
    if isinstance(context.sqlalchemy_exception, OUTAGES):
        meters.DATABASE_ERRORS.inc()
    if isinstance(context.original_exception, FeatureNotSupported):
        context.is_disconnect = True  # a statement was prepared for columns that have another type by now


def _reach(*_: object) -> None:
    reach("database.call", error=outage)


_FAR_SIDE_IS_GONE = {
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}
"""libpq's settings for noticing, within half a minute, a server that vanished without a word: the kernel would wait for
two hours."""


def sqlite_url(path: Path) -> str:
    """The URL of a database in a file, whatever its name."""
    return URL.create("sqlite", database=str(path)).render_as_string()


def _sqlite_engine(url: str, begin: str, *, pool_size: int, **options: Any) -> Engine:
    engine = create_engine(
        url,
        poolclass=QueuePool,
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=30,
        connect_args={"timeout": 30},
        **options,
    )

    @event.listens_for(engine, "connect")
    def configure(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # the driver must not begin transactions of its own
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begin_transaction(connection: Any) -> None:
        connection.exec_driver_sql(begin)

    return engine


def _to_json(value: Any) -> str:
    return json.dumps(value, allow_nan=False, separators=(",", ":"), ensure_ascii=False)
