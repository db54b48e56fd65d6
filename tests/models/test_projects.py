"""Keys open what they should."""

import pytest

from models import projects
from tests.models.conftest import Office


def test_a_key_is_recognized_until_it_is_revoked(office: Office) -> None:
    with office.database.write() as session:
        key, text = projects.create_key(session, office.project_id, name="laptop", scope="submit")
        caller = projects.authenticate(session, text)
        assert caller is not None
        assert caller.project_id == office.project_id
        projects.revoke_key(session, office.project_id, key.id)
        assert projects.authenticate(session, text) is None


def test_the_secret_is_not_in_the_table(office: Office) -> None:
    with office.database.write() as session:
        key, text = projects.create_key(session, office.project_id, name="laptop", scope="read")
    assert text.split("_", 2)[2] not in repr(vars(key))


@pytest.mark.parametrize("text", ["", "tw_", "tw_x_y", "Bearer", "tw_\x00_\x00", "tw__"])
def test_what_is_no_key_opens_nothing(office: Office, text: str) -> None:
    with office.database.read() as session:
        assert projects.authenticate(session, text) is None


@pytest.mark.parametrize(
    ("scope", "opens"), [("read", {"read"}), ("submit", {"read", "submit"}), ("admin", {"read", "submit", "admin"})]
)
def test_a_scope_contains_the_smaller_ones(scope: str, opens: set[str]) -> None:
    caller = projects.Caller("key", "prj", scope)
    assert {wanted for wanted in ("read", "submit", "admin") if caller.may(wanted)} == opens
