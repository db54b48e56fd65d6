"""What a service of jobs would be without ours: a route that keeps what it is sent with one INSERT, and shows it again.

`uvicorn --factory benchmarks.contestants.bare_route:create_app`, with BARE_DATABASE_URL.
"""

import gc
import json
import os
import sqlite3
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

from fastapi import FastAPI
from psycopg_pool import AsyncConnectionPool

TABLE = "CREATE TABLE IF NOT EXISTS bare (id text PRIMARY KEY, spec text NOT NULL)"
INSERT = "INSERT INTO bare (id, spec) VALUES ({0}, {0})"
SELECT = "SELECT spec FROM bare WHERE id = {0}"


def create_app() -> FastAPI:
    url = os.environ["BARE_DATABASE_URL"]
    return _on_sqlite(url.removeprefix("sqlite:///")) if url.startswith("sqlite") else _on_postgres(url)


def _freeze() -> None:
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 50, 100)


def _on_postgres(url: str) -> FastAPI:
    pool = AsyncConnectionPool(url, min_size=10, max_size=20, open=False)

    @asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        async with pool:
            async with pool.connection() as connection:
                await connection.execute("SELECT pg_advisory_xact_lock(1)")  # there may be several processes
                await connection.execute(TABLE)
            _freeze()
            yield

    app = FastAPI(lifespan=life)

    @app.post("/jobs", status_code=201)
    async def create(spec: dict[str, Any]) -> dict[str, Any]:
        job_id = uuid4().hex
        async with pool.connection() as connection:
            await connection.execute(INSERT.format("%s"), (job_id, json.dumps(spec)))
        return {"id": job_id, "spec": spec}

    @app.get("/jobs/{job_id}")
    async def show(job_id: str) -> dict[str, Any]:
        async with pool.connection() as connection:
            row = await (await connection.execute(SELECT.format("%s"), (job_id,))).fetchone()
        assert row is not None
        return {"id": job_id, "spec": json.loads(row[0])}

    return app


def _on_sqlite(path: str) -> FastAPI:
    def connect() -> sqlite3.Connection:
        connection = sqlite3.connect(path, timeout=30, isolation_level=None, check_same_thread=False)
        for pragma in ("journal_mode=WAL", "synchronous=FULL"):
            connection.execute(f"PRAGMA {pragma}")
        return connection

    writer, writing, readers = connect(), threading.Lock(), threading.local()
    writer.execute(TABLE)

    @asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        _freeze()
        yield

    app = FastAPI(lifespan=life)

    @app.post("/jobs", status_code=201)
    def create(spec: dict[str, Any]) -> dict[str, Any]:
        job_id = uuid4().hex
        with writing:
            writer.execute("BEGIN IMMEDIATE")
            writer.execute(INSERT.format("?"), (job_id, json.dumps(spec)))
            writer.execute("COMMIT")
        return {"id": job_id, "spec": spec}

    @app.get("/jobs/{job_id}")
    def show(job_id: str) -> dict[str, Any]:
        if not hasattr(readers, "connection"):
            readers.connection = connect()
        [spec] = readers.connection.execute(SELECT.format("?"), (job_id,)).fetchone()
        return {"id": job_id, "spec": json.loads(spec)}

    return app
