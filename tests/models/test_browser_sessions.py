from collections.abc import Iterator

import pytest

from models import browser_sessions, projects
from models.database import Database
from models.ids import new_id
from models.settings import Settings


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    database = Database(Settings(database_url=database_url, storage_url="file:///nowhere"))
    yield database
    database.close()


@pytest.fixture
def key_id(database: Database) -> str:
    with database.write() as session:
        project = projects.create_project(session, new_id("prj"))
        return projects.create_key(session, project.id, name="laptop", scope="submit")[0].id


def test_a_token_stands_for_its_key_until_it_is_closed(database: Database, key_id: str) -> None:
    with database.write() as session:
        token = browser_sessions.open_session(session, key_id, 60)
        caller = browser_sessions.authenticate(session, token)
        assert caller is not None
        assert (caller.key_id, caller.scope) == (key_id, "submit")
        browser_sessions.close_session(session, token)
        assert browser_sessions.authenticate(session, token) is None


def test_a_session_ends_with_its_time_and_with_its_key(database: Database, key_id: str) -> None:
    with database.write() as session:
        old, young = (browser_sessions.open_session(session, key_id, seconds) for seconds in (-1, 60))
        assert browser_sessions.authenticate(session, old) is None
        caller = browser_sessions.authenticate(session, young)
        assert caller is not None
        projects.revoke_key(session, caller.project_id, key_id)
        session.flush()
        assert browser_sessions.authenticate(session, young) is None


def test_a_ticket_opens_one_session_and_is_none_itself(database: Database, key_id: str) -> None:
    with database.write() as session:
        ticket = browser_sessions.issue_ticket(session, key_id, 60)
        assert browser_sessions.authenticate(session, ticket) is None
        token = browser_sessions.redeem(session, ticket, 60)
        assert token is not None
        assert browser_sessions.authenticate(session, token)
        assert browser_sessions.redeem(session, ticket, 60) is None
        assert browser_sessions.redeem(session, token, 60) is None, "a session is no ticket"


def test_an_old_ticket_opens_nothing(database: Database, key_id: str) -> None:
    with database.write() as session:
        assert browser_sessions.redeem(session, browser_sessions.issue_ticket(session, key_id, -1), 60) is None
