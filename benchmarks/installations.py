"""Servers to measure, on free ports: ours, a route with one INSERT, and MLflow's tracking server; each with the
requests that can be made of it."""

import itertools
import json
import os
import secrets
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine

from benchmarks import peers
from benchmarks.load import Next, ask, request
from models import datasets, jobs, metrics, projects
from models.database import Database
from models.spec.manifest import ArrayFile, ImageManifest, ImageSplit
from tests.conftest import migrate
from tests.servers.postgres import postgres_server
from tests.servers.process import free_port, running
from tests.servers.redis import redis_server

ROOT = Path(__file__).parents[1]
SPEC = json.loads((ROOT / "benchmarks/workloads/fashion.json").read_text())
DURABLE = {"fsync": "on", "full_page_writes": "on", "shared_buffers": "512MB"}
"""A Postgres that keeps its promises."""
STEPS, CURVES = 100, ("train/loss", "train/accuracy", "learning_rate", "gradient_norm", "samples_per_second")
"""What is appended at once."""
APPEND = f"append {STEPS} steps of {len(CURVES)} curves"
Json = dict[str, Any]


@dataclass(frozen=True)
class Server:
    """Something that answers, and the requests that can be made of it, by what they ask."""

    name: str
    port: int
    requests: Mapping[str, Next]
    calls: Mapping[str, Callable[[int], Callable[[], None]]] = field(default_factory=dict)
    """What is no request but a worker's own work: client → what it does again and again."""
    tidy: Callable[[], None] = lambda: None
    """Called between two measurements."""


@contextmanager
def databases(kind: str, folder: Path) -> Iterator[Callable[[str], str]]:
    """Yield what makes an empty database of a name; its answer is the URL."""
    if kind == "sqlite":
        yield lambda name: f"sqlite:///{folder}/{name}.db"
        return
    with postgres_server(**DURABLE) as server:
        yield lambda _: server.create_database().render_as_string(hide_password=False)


def versions(*urls: str) -> dict[str, str]:
    """Of what the API is made of, and of the databases."""
    found = {name: version(name) for name in ("FastAPI", "uvicorn", "SQLAlchemy")}
    for url in urls:
        engine = create_engine(url)
        with engine.connect():
            found[DATABASES[engine.dialect.name]] = ".".join(map(str, engine.dialect.server_version_info or ()))
        engine.dispose()
    return found


DATABASES = {"postgresql": "Postgres", "sqlite": "SQLite"}
OURS = "ours"


def named(name: str, processes: int) -> str:
    return name if processes == 1 else f"{name}, {processes} processes"


@contextmanager
def ours(folder: Path, url: str, processes: int = 1) -> Iterator[Server]:
    """The API with a broker and no worker."""
    name = named(OURS, processes)
    with served(name, folder, url, processes) as (database, port):
        with database.write() as session:
            project_id, key = project_of(session, "benchmark")
            dataset_id = dataset_of(session, project_id)
        requests = _our_requests(database, project_id, dataset_id, key)
        calls = {APPEND: lambda _: _appending(database, _running_job(database, project_id, dataset_id))}
        yield Server(name, port, requests, calls if processes == 1 else {}, lambda: _forget_queue(database))


@contextmanager
def served(name: str, folder: Path, url: str, processes: int = 1) -> Iterator[tuple[Database, int]]:
    """Our tables, and the port of the API to them."""
    migrate(url)
    with redis_server() as broker:
        settings = settings_of(url, folder, TRAINWRIGHT_BROKER_URL=broker, WEB_CONCURRENCY=str(processes))
        with opened(settings) as database, web(name, "api.main:create_app", folder, settings, "/healthz") as port:
            yield database, port


def settings_of(url: str, folder: Path, **others: str) -> dict[str, str]:
    return {
        "TRAINWRIGHT_DATABASE_URL": url,
        "TRAINWRIGHT_STORAGE_URL": f"file://{folder}/objects",
        "TRAINWRIGHT_CACHE_DIR": f"{folder}/cache",
        "TRAINWRIGHT_REQUESTS_PER_MINUTE": "100000000",
        **others,
    }


@contextmanager
def opened(settings: Mapping[str, str]) -> Iterator[Database]:
    from models.settings import Settings

    prefix = "TRAINWRIGHT_"
    names = {name.removeprefix(prefix).lower(): value for name, value in settings.items() if name.startswith(prefix)}
    database = Database(Settings.model_validate(names))
    yield database
    database.close()


def posting(dataset_id: str, headers: Mapping[str, str]) -> Next:
    """Each time a new job."""
    spec = json.dumps(SPEC | {"dataset": {"id": dataset_id}}).encode()
    numbers = itertools.count()
    return lambda: request("POST", "/v1/jobs", {**headers, "Idempotency-Key": f"key-{next(numbers)}"}, spec)


def _our_requests(database: Database, project_id: str, dataset_id: str, key: str) -> dict[str, Next]:
    headers = {"Authorization": f"Bearer {key}"}
    for _ in range(20):
        job_id = _running_job(database, project_id, dataset_id)
    append = _appending(database, job_id)
    for _ in range(10):
        append()
    with database.write() as session:
        jobs.succeed(session, job_id, 1, summary={})
    return {
        "POST a job": posting(dataset_id, headers),
        "GET a job": lambda: request("GET", f"/v1/jobs/{job_id}", headers),
        "list 20 jobs": lambda: request("GET", "/v1/jobs", headers),
        "read 1,000 steps": lambda: request("GET", f"/v1/jobs/{job_id}/metrics?keys=train/loss", headers),
    }


def project_of(session: Any, name: str) -> tuple[str, str]:
    """A project and a key to it."""
    project = projects.create_project(session, name)
    return project.id, projects.create_key(session, project.id, name=name, scope="admin")[1]


def dataset_of(session: Any, project_id: str) -> str:
    """A data set that is ready, as far as the tables know."""
    array = ArrayFile(path="x.npy", dtype="uint8", shape=(60_000, 28, 28, 1), bytes=47_040_128, sha256="2" * 64)
    split = ImageSplit(examples=60_000, inputs=array, targets=array, class_counts=(6000,) * 10)
    names = tuple("0123456789")
    manifest = ImageManifest(channels=1, size=(28, 28), classes=names, mean=(0.3,), std=(0.4,), splits={"train": split})
    row = datasets.create(session, project_id=project_id, name="Fashion-MNIST")
    datasets.uploaded(session, row.id, filename="fashion.npz", key=f"datasets/{row.id}/u", size=1, sha256="0" * 64)
    datasets.claim(session, row.id, worker_id="w", lease_seconds=30)
    datasets.ready(session, row.id, 1, manifest=manifest.model_dump(mode="json"), content_sha256="1" * 64)
    return row.id


def _running_job(database: Database, project_id: str, dataset_id: str) -> str:
    words: Json = {"spec": SPEC, "resolved_spec": SPEC, "spec_sha256": "0" * 64, "warnings": []}
    with database.write() as session:
        job = jobs.create(session, project_id=project_id, dataset_id=dataset_id, **words)
        jobs.claim(session, job.id, worker_id="w", lease_seconds=3600)
        jobs.start(session, job.id, 1, environment={}, start_step=0, data={})
    return job.id


def _appending(database: Database, job_id: str) -> Callable[[], None]:
    """As a worker does it, which talks to the database itself."""
    firsts = itertools.count(1, STEPS)

    def append() -> None:
        first = next(firsts)
        with database.write() as session:
            metrics.append(session, job_id, 1, "step", columns(first), {"step": first})

    return append


def columns(first: int) -> dict[str, list[float]]:
    """Curves of the next steps."""
    steps = range(first, first + STEPS)
    return {
        "step": list(steps),
        **{name: [1.0 / (step + place) for step in steps] for place, name in enumerate(CURVES)},
    }


def _forget_queue(database: Database) -> None:
    """What was posted is over, as if workers had kept up."""
    from sqlalchemy import text

    with database.write() as session:
        session.execute(text("UPDATE jobs SET state = 'cancelled' WHERE state = 'queued'"))


@contextmanager
def bare(folder: Path, url: str, processes: int = 1) -> Iterator[Server]:
    """A route with one INSERT."""
    url = url.replace("postgresql+psycopg", "postgresql")
    factory, name = "benchmarks.contestants.bare_route:create_app", named("bare route with one INSERT", processes)
    variables = {"BARE_DATABASE_URL": url, "WEB_CONCURRENCY": str(processes)}
    with web(name, factory, folder, variables, "/openapi.json") as port:
        spec = json.dumps(SPEC).encode()
        made = json.loads(ask(port, request("POST", "/jobs", {}, spec))[1])
        requests = {
            "POST a job": lambda: request("POST", "/jobs", {}, spec),
            "GET a job": lambda: request("GET", f"/jobs/{made['id']}", {}),
        }
        yield Server(name, port, requests)


@contextmanager
def web(name: str, factory: str, folder: Path, variables: Mapping[str, str], ready: str) -> Iterator[int]:
    """An application under uvicorn, as the service runs it, in one process unless WEB_CONCURRENCY says another number;
    its port.
    """
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", factory, "--factory", "--port", str(port), "--log-level", "warning"]
    environment = {**os.environ, **variables}
    log = folder / f"{name}.log"
    with running(command, log=log, is_ready=lambda: answers(port, ready), environment=environment, cwd=ROOT):
        yield port


@contextmanager
def mlflow(folder: Path, url: str) -> Iterator[Server | None]:
    """MLflow's tracking server, as its command starts it; None where it cannot be had."""
    if peers.install("mlflow"):
        yield None
        return
    port = free_port()
    program = ROOT / "build/mlflow/bin/mlflow"
    where = ["--host", "127.0.0.1", "--port", str(port), "--backend-store-uri", url, "--artifacts-destination", folder]
    environment = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", "PATH": f"{program.parent}:{os.environ['PATH']}"}
    command = [str(program), "server", *map(str, where)]
    log = folder / "mlflow.log"
    with running(command, log=log, is_ready=lambda: answers(port, "/health"), environment=environment, cwd=folder):
        yield Server("MLflow", port, _mlflow_requests(port))


def _mlflow_requests(port: int) -> dict[str, Next]:
    def post(path: str, content: Json) -> bytes:
        return request("POST", f"/api/2.0/mlflow/{path}", {}, json.dumps(content).encode())

    def make(path: str, content: Json) -> Json:
        status, answer = ask(port, post(path, content))
        assert status == 200, answer
        return dict(json.loads(answer))

    experiment = make("experiments/create", {"name": secrets.token_hex(4)})["experiment_id"]

    def new_run() -> Json:
        return {"experiment_id": experiment, "start_time": int(1000 * time.time()), "run_name": SPEC["name"]}

    def batch(run_id: str, first: int) -> Json:
        values = columns(first)
        steps = values.pop("step")
        now = int(1000 * time.time())
        points = [
            {"key": name, "value": value, "timestamp": now, "step": step}
            for name, column in values.items()
            for step, value in zip(steps, column, strict=True)
        ]
        return {"run_id": run_id, "metrics": points}

    run_id = make("runs/create", new_run())["run"]["info"]["run_id"]
    for _ in range(20):
        make("runs/create", new_run())
    for first in range(1, 1001, STEPS):
        make("runs/log-batch", batch(run_id, first))
    appended = make("runs/create", new_run())["run"]["info"]["run_id"]
    numbers = itertools.count(1, STEPS)
    history = f"/api/2.0/mlflow/metrics/get-history?run_id={run_id}&metric_key=train/loss"
    return {
        "POST a job": lambda: post("runs/create", new_run()),
        "GET a job": lambda: request("GET", f"/api/2.0/mlflow/runs/get?run_id={run_id}", {}),
        "list 20 jobs": lambda: post("runs/search", {"experiment_ids": [experiment], "max_results": 20}),
        APPEND: lambda: post("runs/log-batch", batch(appended, next(numbers))),
        "read 1,000 steps": lambda: request("GET", history, {}),
    }


def answers(port: int, path: str) -> bool:
    try:
        return ask(port, request("GET", path, {}))[0] == 200
    except (OSError, ValueError, StopIteration):
        return False
