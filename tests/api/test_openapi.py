"""What the API says of itself. (That it keeps to it is checked with every answer that a test gets: `conftest.py`.)"""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from api import VERSION
from api.labels import split
from api.main import create_app
from models.spec import parse_spec
from tests.api.conftest import Json, settings_for


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> Json:
    return create_app(settings_for("sqlite://", tmp_path_factory.mktemp("objects"))).openapi()


def _operations(document: Json) -> Iterator[Json]:
    for operations in document["paths"].values():
        yield from operations.values()


def test_operations_have_names_of_their_own(document: Json) -> None:
    names = [operation["operationId"] for operation in _operations(document)]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch("[a-z]+([A-Z][a-z]+)*", name) for name in names)
    assert "listJobEvents" in names


def test_every_operation_is_described(document: Json) -> None:
    for operation in _operations(document):
        assert operation["description"], operation["operationId"]
        assert operation["tags"], operation["operationId"]
        assert {"400", "500"} <= set(operation["responses"]), operation["operationId"]


def test_every_parameter_is_described(document: Json) -> None:
    plain = {"job_id", "dataset_id", "checkpoint_id", "key_id", "project_id", "family", "type_"}
    for operation in _operations(document):
        for parameter in operation.get("parameters", []):
            assert parameter["name"] in plain or parameter["description"], operation["operationId"]


def test_every_json_has_an_example(document: Json) -> None:
    whole_documents = {"getJobSpecSchema", "getOpenapi"}
    for operation in _operations(document):
        answers = [answer for status, answer in operation["responses"].items() if status.startswith("2")]
        for part in [*answers, operation.get("requestBody", {})]:
            content = part.get("content", {}).get("application/json", {"example": "not json"})
            assert content.get("example") or operation["operationId"] in whole_documents, operation["operationId"]


def test_the_example_of_a_spec_is_one(document: Json) -> None:
    body = document["paths"]["/v1/jobs"]["post"]["requestBody"]["content"]["application/json"]
    labels, mistakes, spec = split(body["example"])
    assert labels.tags
    assert not mistakes
    parse_spec(spec)


def test_nothing_is_referred_to_that_is_not_there(document: Json) -> None:
    referred = set(re.findall(r"'#/components/schemas/([^']+)'", str(document)))
    assert referred == referred & set(document["components"]["schemas"])


def test_it_is_served_without_a_key(client: TestClient, document: Json) -> None:
    answer = client.get("/openapi.json")
    assert answer.json() == document
    assert client.get("/openapi.json", headers={"If-None-Match": answer.headers["etag"]}).status_code == 304


def test_the_version_is_that_of_the_project(client: TestClient) -> None:
    pyproject = (Path(__file__).parents[2] / "pyproject.toml").read_text()
    assert f'\nversion = "{VERSION}"\n' in pyproject
    assert client.get("/version").json()["version"] == VERSION
