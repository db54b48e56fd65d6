"""What every answer has around it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from fastapi.testclient import TestClient

from api.main import create_app
from models.settings import Settings
from tests.api.conftest import Tenant


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/healthz", 200), ("GET", "/nowhere", 404), ("PUT", "/healthz", 405)]
)
def test_every_answer_is_guarded_and_named(client: TestClient, method: str, path: str, status: int) -> None:
    answer = client.request(method, path)
    assert answer.status_code == status
    assert answer.headers["x-request-id"].startswith("req_")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert answer.headers["cache-control"] == "no-store"
    assert "server" not in answer.headers


@pytest.mark.parametrize(
    ("given", "is_taken"), [("abc-1.2_3", True), ("a b", False), ("x" * 129, False), ("<script>", False)]
)
def test_a_sane_request_id_is_kept(client: TestClient, given: str, is_taken: bool) -> None:
    answer = client.get("/nowhere", headers={"X-Request-Id": given})
    assert (answer.headers["x-request-id"] == given) == is_taken
    assert answer.json()["request_id"] == answer.headers["x-request-id"]


def test_a_log_has_who_and_what_and_no_secret(ours: Tenant) -> None:
    reader = ours.reader
    with structlog.testing.capture_logs() as logs:
        reader.get("/v1/jobs?name=private")
    assert [(line["path"], line["status"], line["project"]) for line in logs] == [("/v1/jobs", 200, ours.project_id)]
    assert reader.headers["Authorization"].split("_", 2)[2] not in str(logs)
    assert "private" not in str(logs)


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[TestClient]:
    settings = Settings(
        database_url="postgresql+psycopg://someone:hunter2@127.0.0.1:1/nothing",
        storage_url=f"file://{tmp_path}",
        allowed_hosts=("trainwright.test", "*.example.com"),
    )
    with TestClient(create_app(settings), base_url="http://trainwright.test", raise_server_exceptions=False) as client:
        yield client


@pytest.mark.parametrize(
    ("host", "is_ours"),
    [
        ("trainwright.test", True),
        ("TRAINWRIGHT.test:8000", True),
        ("a.example.com", True),
        ("example.com", False),
        ("evil.test", False),
        ("trainwright.test.evil.test", False),
        ("", False),
    ],
)
def test_only_our_hosts_are_served(guarded: TestClient, host: str, is_ours: bool) -> None:
    assert guarded.get("/healthz", headers={"Host": host}).status_code == (200 if is_ours else 400)


def test_without_its_database_the_service_says_try_again(guarded: TestClient) -> None:
    key = {"Authorization": f"Bearer tw_{'0' * 32}_{'a' * 43}"}
    answer = guarded.get("/v1/jobs", headers=key)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
    assert "hunter2" not in answer.text


def test_readiness_names_the_broken_part(guarded: TestClient) -> None:
    answer = guarded.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["parts"] == {"database": "cannot be used (OperationalError)", "storage": "ok", "broker": "ok"}


def test_the_service_is_ready_when_all_parts_are(client: TestClient) -> None:
    assert client.get("/readyz").json()["status"] == "ready"


def test_a_bug_is_an_answer_that_says_nothing(tmp_path: Path) -> None:
    app = create_app(Settings(database_url="sqlite://", storage_url=f"file://{tmp_path}"))

    def burst() -> None:
        raise KeyError("hunter2")

    app.add_api_route("/burst", burst)
    with TestClient(app, raise_server_exceptions=False) as client:
        answer = client.get("/burst")
    assert (answer.status_code, answer.headers["content-type"]) == (500, "application/problem+json")
    assert "hunter2" not in answer.text
