"""An installation that is brought up to date keeps what it has: from each earlier revision, with rows in all tables."""

from datetime import UTC, datetime
from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import MetaData, inspect, select, text

from models import audit, browser_sessions, checkpoints, discarded, exports, jobs, metrics, projects, usage
from models.checkpoints import Saved
from models.states import State
from models.tables import Held, IdempotentReply, LogLine, MlflowRun, Preview, Table, UploadPart, Worker
from tests.models.conftest import ROOT, Office

Rows = dict[str, list[dict[str, Any]]]


def _config() -> Config:
    return Config(toml_file=ROOT / "pyproject.toml")


REVISIONS = [script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()][1:]


@pytest.fixture
def postgres_url(own_postgres_url: str) -> str:
    """These change the tables."""
    return own_postgres_url


def _move(office: Office, revision: str) -> None:
    config = _config()
    with office.database.rebuild() as connection:
        config.attributes["connection"] = connection
        (command.upgrade if revision == "head" else command.downgrade)(config, revision)


def _fill(office: Office) -> str:
    """A row at least in every table; returns the id of a job that waits."""
    waiting, running = office.job(), office.running()
    saved = Saved("epoch", 1, 1, True, {"train/loss": 0.5}, "w1", "0" * 64, 7, "s1", "0" * 64)
    with office.database.write() as session:
        key = projects.create_key(session, office.project_id, name="a key", scope="submit")[0]
        session.add(IdempotentReply(api_key_id=key.id, key="k", fingerprint="0" * 64, status=201, body={"id": waiting}))
        browser_sessions.open_session(session, key.id, 60)
        audit.record(session, office.project_id, key.id, "deleteJob", "job_x", name="é")
        usage.charge(session, office.project_id, datetime(2026, 1, 31, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC))
        metrics.append(session, running.id, 1, "step", {"step": [1], "train/loss": [0.5]}, {"step": 1})
        saved_row = checkpoints.record(session, running.id, 1, saved)
        exports.ask(session, saved_row, "onnx")
        session.add(Held(job_id=waiting, checkpoint_id=saved_row.id))
        now = datetime(2026, 1, 1, tzinfo=UTC)
        said = {"source": "worker", "level": "info", "message": "é", "logged_at": now}
        session.add(LogLine(id="log_1", job_id=running.id, attempt=1, **said))
        session.add(UploadPart(dataset_id=running.dataset_id, number=1, key="part", bytes=1, sha256="0" * 64))
        asked = {"project_id": office.project_id, "dataset_id": running.dataset_id, "spec": {}}
        session.add(Preview(id="prv_1", kind="schedule", sha256="0" * 64, **asked))
        session.add(MlflowRun(job_id=running.id))
        discarded.add(session, "jobs/job_gone")
        session.add(Worker(id="wrk_a", host="h", pid=1, slots=1, busy=0, device="cpu", state="online"))
    return waiting


def _rows(office: Office, only: Rows | None = None) -> Rows:
    """What is in the tables as they are now, or of them in the tables and columns that are named."""
    tables = MetaData()
    with office.database.read() as session:
        tables.reflect(session.connection())
        found: Rows = {}
        for table in tables.sorted_tables:
            if table.name == "alembic_version" or (only is not None and table.name not in only):
                continue
            wanted = [column for column in table.columns if only is None or column.name in only[table.name][0]]
            rows = session.execute(select(*wanted).order_by(*table.primary_key.columns)).mappings()
            found[table.name] = [{**row} for row in rows]
    return found


@pytest.mark.parametrize("revision", REVISIONS)
def test_rows_of_all_tables_survive_an_upgrade(office: Office, revision: str) -> None:
    waiting = _fill(office)
    assert {name for name, rows in _rows(office).items() if rows} == Table.metadata.tables.keys()
    _move(office, revision)
    before = _rows(office)
    assert all(before.values())
    _move(office, "head")
    assert _rows(office, only=before) == before
    assert office.read(waiting).state is State.QUEUED
    with office.database.write() as session:
        assert jobs.request_pause(session, office.project_id, waiting) is not None


@pytest.mark.parametrize("revision", REVISIONS)
def test_what_an_earlier_release_writes_fits_into_the_tables_of_a_later_one(office: Office, revision: str) -> None:
    """Tables grow first, and what nobody writes any more goes a release later: both releases run meanwhile."""
    _move(office, revision)
    with office.database.read() as session:
        looked = inspect(session.connection())
        known = {name: {column["name"] for column in looked.get_columns(name)} for name in looked.get_table_names()}
    _move(office, "head")
    with office.database.read() as session:
        looked = inspect(session.connection())
        for table, columns in known.items():
            now = {column["name"]: column for column in looked.get_columns(table)}
            assert columns <= now.keys(), f"{table}: the earlier release still writes {columns - now.keys()}"
            for name in now.keys() - columns:
                assert now[name]["nullable"] or now[name]["default"] is not None, f"{table}.{name}"


def test_what_hangs_on_a_row_still_goes_with_it(office: Office) -> None:
    job_id = office.running().id
    _move(office, REVISIONS[-1])
    _move(office, "head")
    with office.database.write() as session:
        session.execute(text("DELETE FROM jobs"))
    assert office.events(job_id) == []
