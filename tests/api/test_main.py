"""The operator's first key."""

import pytest

from api.__main__ import main
from models import projects
from models.database import Database
from models.settings import Settings
from models.tables import Project


def test_a_first_key_opens_the_project_it_was_made_for(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TRAINWRIGHT_DATABASE_URL", sqlite_url)
    monkeypatch.setenv("TRAINWRIGHT_STORAGE_URL", "file:///nowhere")
    for scope in ("admin", "read"):
        assert main(["new-key", "vision", "--scope", scope]) == 0
    admin, reader = capsys.readouterr().out.split()
    database = Database(Settings())
    with database.read() as session:
        callers = [projects.authenticate(session, text) for text in (admin, reader)]
        names = [caller and session.get_one(Project, caller.project_id).name for caller in callers]
    database.close()
    assert [caller and caller.scope for caller in callers] == ["admin", "read"]
    assert names == ["vision", "vision"]
