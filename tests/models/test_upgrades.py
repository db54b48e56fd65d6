"""An installation that is brought up to date keeps what it has: from each earlier revision, with rows in the tables."""

import pytest
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import text

from models import jobs
from models.states import State
from tests.models.conftest import ROOT, Office


def _config() -> Config:
    return Config(toml_file=ROOT / "pyproject.toml")


REVISIONS = [script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()][1:]


def _move(office: Office, revision: str) -> None:
    config = _config()
    with office.database.rebuild() as connection:
        config.attributes["connection"] = connection
        (command.upgrade if revision == "head" else command.downgrade)(config, revision)


@pytest.mark.parametrize("revision", REVISIONS)
def test_rows_survive_an_upgrade(office: Office, revision: str) -> None:
    waiting, running = office.job(), office.running()
    before = office.events(running.id)
    _move(office, revision)
    _move(office, "head")
    assert office.read(waiting).state is State.QUEUED
    assert office.read(running.id).attempt == 1
    assert office.events(running.id) == before
    with office.database.write() as session:
        assert len(jobs.attempts(session, running.id)) == 1
        assert jobs.request_pause(session, office.project_id, waiting) is not None


def test_what_hangs_on_a_row_still_goes_with_it(office: Office) -> None:
    job_id = office.running().id
    _move(office, REVISIONS[-1])
    _move(office, "head")
    with office.database.write() as session:
        session.execute(text("DELETE FROM jobs"))
    assert office.events(job_id) == []
