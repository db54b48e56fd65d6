"""A browser that is signed in, without the browser."""

from fastapi.testclient import TestClient

from models import browser_sessions, projects
from models.projects import Scope
from tests.api.conftest import Tenant

HERE = {"Origin": "http://testserver"}


def sign_in(tenant: Tenant, scope: Scope = "submit") -> TestClient:
    """With a cookie jar of its own."""
    client = TestClient(tenant.world.client.app)
    key = tenant.headers(scope)["Authorization"].removeprefix("Bearer ")
    answer = client.post("/sign-in", data={"key": key, "next": "/jobs"}, headers=HERE, follow_redirects=False)
    assert answer.status_code == 303, answer.text
    return client


def ticket_of(tenant: Tenant, seconds: float = 60) -> str:
    with tenant.world.services.database.write() as session:
        key, _ = projects.create_key(session, tenant.project_id, name="link", scope="admin")
        return browser_sessions.issue_ticket(session, key.id, seconds)
