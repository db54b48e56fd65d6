import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from playwright.sync_api import Browser

from models import projects
from models.projects import Scope
from tests.api.conftest import World
from tests.api.web.browser import Theme, Visitor, chromium, visitor
from tests.servers.process import ServerMissing
from tests.service import DIGITS, Service, service

HOSTILE = "<img src=x onerror=\"document.title='taken'\">"


@pytest.fixture
def browser(world: World) -> TestClient:
    """Asks without a key, keeps cookies, and takes pages that are no answers of the API."""
    return TestClient(world.client.app)


@dataclass(frozen=True)
class Site:
    """The service with a worker, a data set and two jobs that have trained, one with a bad name."""

    service: Service
    dataset_id: str
    jobs: list[str]
    repeated: str
    """The second one again, with another seed."""

    def key(self, scope: Scope = "submit", project: str = "tests") -> str:
        with self.service.database() as database, database.write() as session:
            row = projects.project_named(session, project) or projects.create_project(session, project)
            return projects.create_key(session, row.id, name="browser", scope=scope)[1]


@pytest.fixture(scope="session")
def site(migrated_sqlite: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    database = folder / "trainwright.db"
    database.write_bytes(migrated_sqlite.read_bytes())
    with service(folder, f"sqlite:///{database}", "memory://") as installation:
        installation.start_worker()
        dataset_id = installation.upload(DIGITS, name="digits.npz")
        starts = {f"He {HOSTILE}": "kaiming_normal", "Xavier": "xavier_normal"}
        jobs = [installation.submit(digits_spec(dataset_id, name, start)) for name, start in starts.items()]
        repeated = installation.submit({**digits_spec(dataset_id, "Xavier", "xavier_normal"), "seed": 1})
        assert {installation.finish(job)["status"] for job in (*jobs, repeated)} == {"succeeded"}
        yield Site(installation, dataset_id, jobs, repeated)


def digits_spec(dataset_id: str, name: str, start: str = "kaiming_normal", epochs: int = 3) -> dict[str, Any]:
    return {
        "name": name,
        "dataset": {"id": dataset_id, "validation": {"split": "test"}},
        "network": {"type": "mlp", "hidden": [64, 32]},
        "initialization": {"type": start},
        "optimizer": {"type": "sgd", "learning_rate": 0.05, "momentum": 0.9},
        "schedule": {"type": "cosine"},
        "clipping": {"type": "global_norm", "max_norm": 1.0},
        "training": {"epochs": epochs, "batch_size": 32},
    }


@pytest.fixture(scope="module")
def a_browser() -> Iterator[Browser]:
    with ExitStack() as stack:
        try:
            found = stack.enter_context(chromium())
        except ServerMissing as missing:
            if os.environ.get("CI") and not os.environ.get("TRAINWRIGHT_ALLOW_SKIPS"):
                pytest.fail(str(missing), pytrace=False)
            pytest.skip(str(missing))
        yield found


Visit = Callable[..., Visitor]


@pytest.fixture
def visit(a_browser: Browser, site: Site) -> Iterator[Visit]:
    """Somebody with a browser: `visit(scope="read", theme="dark", project=…)`. Nobody's browser may complain."""
    with ExitStack() as stack:
        visitors: list[Visitor] = []

        def come(scope: Scope | None = "submit", theme: Theme = "light", project: str = "tests") -> Visitor:
            key = None if scope is None else site.key(scope, project)
            base = str(site.service.http.base_url).rstrip("/")
            visitors.append(stack.enter_context(visitor(a_browser, base, theme, key=key)))
            return visitors[-1]

        yield come
        assert [complaint for somebody in visitors for complaint in somebody.complaints] == []
