"""The API in this process, on a database and a store of its own. Whatever a test gets as an answer is checked against
what the API says of itself."""

import base64
import hashlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient
from starlette.routing import compile_path

from api.dependencies import Services
from api.main import create_app
from models import checkpoints, datasets, jobs, projects
from models.checkpoints import Saved
from models.ids import new_id
from models.metrics import append
from models.projects import Scope
from models.settings import Settings
from models.spec.manifest import ArrayFile, ImageManifest, ImageSplit
from models.tables import Checkpoint, Job
from tests.conftest import copied

Json = dict[str, Any]


@pytest.fixture(scope="session", params=["sqlite", "postgres"])
def url_of_the_run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One database for all tests of this folder: projects keep them apart."""
    if request.param == "sqlite":
        path = shutil.copy(request.getfixturevalue("migrated_sqlite"), tmp_path_factory.mktemp("api"))
        yield f"sqlite:///{path}"
        return
    with copied(*map(request.getfixturevalue, ("postgres", "migrated_postgres"))) as url:
        yield url


@pytest.fixture(scope="session")
def world(url_of_the_run: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator["World"]:
    settings = settings_for(url_of_the_run, tmp_path_factory.mktemp("objects"))
    app = create_app(settings)
    with TestClient(app, raise_server_exceptions=False) as client:
        client.event_hooks["response"] = [Declared(app.openapi()).check]
        yield World(app.state.services, client)


@pytest.fixture
def client(world: "World") -> TestClient:
    """Asks without a key."""
    return world.client


@pytest.fixture
def ours(world: "World") -> "Tenant":
    return world.tenant()


@pytest.fixture
def theirs(world: "World") -> "Tenant":
    return world.tenant()


def settings_for(database_url: str, objects: Path) -> Settings:
    return Settings(
        database_url=database_url,
        storage_url=f"file://{objects}",
        upload_max_bytes=3_000_000,
        spec_max_bytes=20_000,
        active_jobs_per_project=100,
    )


class Declared:
    """Every answer is one that the OpenAPI document declares for its operation."""

    def __init__(self, document: Json) -> None:
        self._operations = [(compile_path(path)[0], operations) for path, operations in document["paths"].items()]

    def check(self, response: httpx.Response) -> None:
        method, path = response.request.method.lower(), response.request.url.path
        assert "x-request-id" in response.headers
        if response.status_code >= 400 and path != "/readyz":
            assert response.headers["content-type"] == "application/problem+json"
        found = [
            operations[method] for regex, operations in self._operations if regex.match(path) and method in operations
        ]
        if found:
            assert str(response.status_code) in found[0]["responses"], f"{method} {path}: {response.status_code}"


@dataclass(frozen=True)
class World:
    """The service as its operator sees it."""

    services: Services
    client: TestClient

    def tenant(self) -> "Tenant":
        with self.services.database.write() as session:
            project = projects.create_project(session, new_id("prj"))
        return Tenant(self, project.id)


@dataclass(frozen=True)
class Tenant:
    """A project, and what its keys can do."""

    world: World
    project_id: str

    def limited(self, **limits: int) -> "Tenant":
        """The same with limits, as its founder would set them."""
        with self.world.services.database.write() as session:
            row = projects.lock(session, self.project_id)
            for name, value in limits.items():
                setattr(row, name, value)
        return self

    def headers(self, scope: Scope = "submit") -> dict[str, str]:
        with self.world.services.database.write() as session:
            _, text = projects.create_key(session, self.project_id, name="test", scope=scope)
        return {"Authorization": f"Bearer {text}"}

    def as_(self, scope: Scope) -> "Asking":
        return Asking(self.world.client, self.headers(scope))

    @property
    def submitter(self) -> "Asking":
        return self.as_("submit")

    @property
    def reader(self) -> "Asking":
        return self.as_("read")

    @property
    def admin(self) -> "Asking":
        return self.as_("admin")

    def dataset(self) -> str:
        """One that is ready."""
        with self.world.services.database.write() as session:
            row = datasets.create(session, project_id=self.project_id, name="digits")
            datasets.uploaded(session, row.id, filename="a.zip", key=f"datasets/{row.id}/u", size=3, sha256="0" * 64)
            datasets.claim(session, row.id, worker_id="w", lease_seconds=30)
            datasets.ready(session, row.id, 1, manifest=MANIFEST.model_dump(mode="json"), content_sha256="1" * 64)
        return row.id

    def job(self, **changes: Any) -> str:
        """One that is queued."""
        answer = self.submitter.post("/v1/jobs", json=spec_on(self.dataset(), **changes))
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    def running_job(self, **changes: Any) -> str:
        job_id = self.job(**changes)
        with self.world.services.database.write() as session:
            jobs.claim(session, job_id, worker_id="w", lease_seconds=60)
            jobs.start(session, job_id, 1, environment={}, start_step=0, data={})
        return job_id

    def report(self, job_id: str, columns: dict[str, list[float]]) -> None:
        with self.world.services.database.write() as session:
            append(session, job_id, 1, "step", columns, {"step": columns["step"][-1]})

    def succeed(self, job_id: str) -> Job:
        with self.world.services.database.write() as session:
            return jobs.succeed(session, job_id, 1, summary={"last": {"train/loss": 0.5}, "report": {"epoch": 1}})

    def checkpoint(self, job_id: str, content: bytes = b"weights" * 100, *, step: int = 1) -> Checkpoint:
        key = checkpoints.weights_key(job_id, 1, step, "epoch")
        writer = self.world.services.storage.writer(key)
        writer.write(content)
        stored = writer.commit()
        saved = Saved("epoch", step, 1, True, {"train/loss": 0.5}, key, stored.sha256, stored.bytes, None, None)
        with self.world.services.database.write() as session:
            return checkpoints.record(session, job_id, 1, saved)


@dataclass(frozen=True)
class Asking:
    """Asks with a key."""

    client: TestClient
    headers: dict[str, str]

    def request(self, method: str, path: str, headers: dict[str, str] | None = None, **options: Any) -> httpx.Response:
        answer: httpx.Response = self.client.request(method, path, headers=self.headers | (headers or {}), **options)
        return answer

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self.request("GET", path, **options)

    def post(self, path: str, **options: Any) -> httpx.Response:
        return self.request("POST", path, **options)

    def put(self, path: str, **options: Any) -> httpx.Response:
        return self.request("PUT", path, **options)

    def patch(self, path: str, **options: Any) -> httpx.Response:
        return self.request("PATCH", path, **options)

    def delete(self, path: str, **options: Any) -> httpx.Response:
        return self.request("DELETE", path, **options)


def spec_on(dataset_id: str, **changes: Any) -> Json:
    return {
        "dataset": {"id": dataset_id},
        "network": {"type": "mlp", "hidden": [16]},
        "optimizer": {"type": "sgd", "learning_rate": 0.1},
        "training": {"epochs": 2, "batch_size": 32},
        **changes,
    }


def digest_of(content: bytes) -> str:
    return f"sha-256=:{base64.b64encode(hashlib.sha256(content).digest()).decode()}:"


_ARRAY = ArrayFile(path="x.npy", dtype="uint8", shape=(100, 8, 8, 1), bytes=6400, sha256="2" * 64)
MANIFEST = ImageManifest(
    channels=1,
    size=(8, 8),
    classes=("no", "yes"),
    mean=(0.3,),
    std=(0.4,),
    splits={"train": ImageSplit(examples=100, inputs=_ARRAY, targets=_ARRAY, class_counts=(50, 50))},
)
