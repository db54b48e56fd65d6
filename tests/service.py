"""The service as real processes: an API, any number of workers, a broker. What the tests of faults kill, stop and
start again."""

import hashlib
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import httpx

from models import checkpoints, projects
from models.database import Database
from models.queue import Bell
from models.settings import Settings
from models.storage import open_storage
from models.tables import Job, Worker
from tests.faults.checker import strays, violations
from tests.servers.process import free_port, running
from worker.intake import run_ingest
from worker.site import Site

ROOT = Path(__file__).parents[1]
DIGITS = ROOT / "local" / "digits.npz"
TERMINAL = {"succeeded", "failed", "cancelled"}


@dataclass
class Service:
    """One installation. Timings are short, so that what takes half a minute in life takes seconds here."""

    folder: Path
    settings: dict[str, str]
    stack: ExitStack
    http: httpx.Client = field(init=False)
    api: subprocess.Popen[bytes] = field(init=False)
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)
    numbers: Iterator[int] = field(default_factory=itertools.count)
    """Of workers: no two share a log or a folder."""
    submitted: list[str] = field(default_factory=list)
    """Jobs that were acknowledged."""

    def start_api(self, **settings: str) -> None:
        port = free_port()
        url = f"http://127.0.0.1:{port}"
        command = [sys.executable, "-m", "uvicorn", "api.main:create_app", "--factory", "--port", str(port)]
        ready = partial(_answers, f"{url}/healthz")
        self.api = self._start("api", [*command, "--log-level", "warning"], ready, **settings)
        self.http = self.stack.enter_context(
            httpx.Client(base_url=url, headers={"Authorization": f"Bearer {self._key}"}, timeout=60)
        )

    def start_worker(self, **settings: str) -> subprocess.Popen[bytes]:
        name = f"worker-{next(self.numbers)}"
        log = self.folder / f"{name}.log"
        process = self._start(
            name,
            [sys.executable, "-m", "worker", "serve"],
            lambda: log.exists() and b"worker_started" in log.read_bytes(),
            TRAINWRIGHT_CACHE_DIR=str(self.folder / name),
            **settings,
        )
        self.workers.append(process)
        return process

    def end_all(self) -> None:
        """Cancel what has not ended, and forget what was submitted."""
        for job_id in self.submitted:
            if self.job(job_id)["status"] not in TERMINAL:
                self._ok(self.http.post(f"/v1/jobs/{job_id}/cancel"))
                self.finish(job_id)
        self.submitted.clear()

    def keep_one_worker(self) -> None:
        """Whatever has been done to those that were there: one lives."""
        living = [worker for worker in self.workers if worker.poll() is None]
        for worker in living[1:]:
            worker.terminate()
            worker.wait()
        if not living:
            self.start_worker()

    def upload(self, file: Path, name: str | None = None) -> str:
        """A data set that a worker has taken in."""
        return self._ready(self._send(file, name or file.name))

    def take_in(self, file: Path) -> str:
        """The same without a worker: this process does what one would, unless one is there and faster."""
        dataset_id = self._send(file, file.name)
        settings = self.read_settings()
        with closing(Site(settings, Bell(settings))) as site:
            run_ingest(site, dataset_id)
        return self._ready(dataset_id)

    def submit(self, spec: dict[str, Any]) -> str:
        self.submitted.append(str(self._ok(self.http.post("/v1/jobs", json=spec))["id"]))
        return self.submitted[-1]

    def job(self, job_id: str) -> dict[str, Any]:
        return self._ok(self.http.get(f"/v1/jobs/{job_id}"))

    def finish(self, job_id: str, seconds: float = 120) -> dict[str, Any]:
        return self.wait(f"/v1/jobs/{job_id}", TERMINAL, seconds)

    def wait(self, path: str, states: set[str], seconds: float = 120) -> dict[str, Any]:
        deadline = time.monotonic() + seconds
        while (answer := self._ok(self.http.get(path)))["status"] not in states:
            assert time.monotonic() < deadline, f"{path} is still {answer['status']}: {self.logs()}"
            time.sleep(0.05)
        return answer

    def reach_step(self, job_id: str, step: int, seconds: float = 60) -> int:
        """Wait until a job has reported a step; returns the step it is at."""
        deadline = time.monotonic() + seconds
        while (at := int((self.job(job_id)["progress"] or {}).get("step", 0))) < step:
            assert time.monotonic() < deadline, f"{job_id} is still at step {at}: {self.logs()}"
            time.sleep(0.02)
        return at

    def reach_attempt(self, job_id: str, attempt: int, seconds: float = 60) -> subprocess.Popen[bytes]:
        """Wait until an attempt has begun; returns the worker that it belongs to."""
        deadline = time.monotonic() + seconds
        while (job := self.job(job_id))["attempt"] < attempt or job["status"] not in {"starting", "running"}:
            assert time.monotonic() < deadline, f"{job_id} is {job['status']}, attempt {job['attempt']}: {self.logs()}"
            time.sleep(0.01)
        return self.owner_of(job_id)

    def last_weights(self, job_id: str) -> str:
        """The sha256 of a job's last checkpoint, checked against its bytes."""
        checkpoint = self._ok(self.http.get(f"/v1/jobs/{job_id}/checkpoints/last"))
        content = self.http.get(f"/v1/checkpoints/{checkpoint['id']}/content").raise_for_status().content
        assert hashlib.sha256(content).hexdigest() == checkpoint["sha256"]
        return str(checkpoint["sha256"])

    def last_bits(self, job_id: str) -> tuple[str, str]:
        """The same with that of all else that a resume needs, but for the seconds that it took: the optimizer's
        state, averages, the best so far, running metrics, the position."""
        with self.database() as database, database.read() as session:
            checkpoint = checkpoints.last(session, job_id)
        assert checkpoint is not None
        assert checkpoint.state_key is not None
        state = b"".join(open_storage(self.read_settings()).read(checkpoint.state_key))
        length = int.from_bytes(state[:8], "little")
        header = json.loads(state[8 : 8 + length])
        position = json.loads(header.pop("__metadata__")["progress"])
        assert position.pop("seconds") > 0
        told = json.dumps([header, position], sort_keys=True).encode()
        return self.last_weights(job_id), hashlib.sha256(told + state[8 + length :]).hexdigest()

    def events(self, job_id: str) -> list[str]:
        return [event["type"] for event in self._ok(self.http.get(f"/v1/jobs/{job_id}/events?limit=100"))["data"]]

    def logs(self, most: int = 3000) -> str:
        """The last characters of each."""
        return "\n".join(path.read_text(errors="replace")[-most:] for path in sorted(self.folder.glob("*.log")))

    def _send(self, file: Path, name: str) -> str:
        dataset_id = str(self._ok(self.http.post("/v1/datasets", json={"name": file.stem}))["id"])
        with file.open("rb") as body:
            self._ok(self.http.put(f"/v1/datasets/{dataset_id}/content", params={"filename": name}, content=body))
        return dataset_id

    def _ready(self, dataset_id: str) -> str:
        dataset = self.wait(f"/v1/datasets/{dataset_id}", {"ready", "failed"})
        assert dataset["status"] == "ready", dataset
        return dataset_id

    def _start(self, name: str, command: list[str], is_ready: Any, **settings: str) -> subprocess.Popen[bytes]:
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("TRAINWRIGHT_")},
            **self.settings,
            **settings,
        }
        log = self.folder / f"{name}.log"
        return self.stack.enter_context(running(command, log=log, is_ready=is_ready, environment=environment, cwd=ROOT))

    def owner_of(self, job_id: str) -> subprocess.Popen[bytes]:
        """The worker process that has a job."""
        with self.database() as database, database.read() as session:
            job = session.get_one(Job, job_id)
            pid = session.get_one(Worker, job.worker_id).pid
        return next(process for process in self.workers if process.pid == pid)

    @contextmanager
    def database(self) -> Iterator[Database]:
        database = Database(self.read_settings())
        yield database
        database.close()

    def violations(self) -> list[str]:
        """What should not be, in the tables and the store."""
        with self.database() as database:
            return violations(database, open_storage(self.read_settings()), self.submitted)

    def read_settings(self) -> Settings:
        values = {name.removeprefix("TRAINWRIGHT_").lower(): value for name, value in self.settings.items()}
        return Settings.model_validate(values)

    @cached_property
    def _key(self) -> str:
        with self.database() as database, database.write() as session:
            project = projects.project_named(session, "tests") or projects.create_project(session, "tests")
            return projects.create_key(session, project.id, name="tests", scope="admin")[1]

    def _ok(self, reply: httpx.Response) -> dict[str, Any]:
        assert reply.is_success, (
            f"{reply.request.method} {reply.request.url}: {reply.status_code} {reply.text}\n{self.logs()}"
        )
        body: dict[str, Any] = reply.json()
        return body


@contextmanager
def service(folder: Path, database_url: str, broker_url: str, **settings: str) -> Iterator[Service]:
    """An installation with an API and no worker yet."""
    environment = {
        "TRAINWRIGHT_DATABASE_URL": database_url,
        "TRAINWRIGHT_BROKER_URL": broker_url,
        "TRAINWRIGHT_STORAGE_URL": f"file://{folder}/objects",
        "TRAINWRIGHT_CACHE_DIR": f"{folder}/cache",
        "TRAINWRIGHT_HEARTBEAT_SECONDS": "0.5",
        "TRAINWRIGHT_LEASE_SECONDS": "3",
        "TRAINWRIGHT_RECONCILE_SECONDS": "0.5",
        "TRAINWRIGHT_REST_SECONDS": "0.5",
        "TRAINWRIGHT_DRAIN_SECONDS": "20",
        "TRAINWRIGHT_TRAINER_THREADS": "1",
        **settings,
    }
    with ExitStack() as stack:
        installation = Service(folder, environment, stack)
        installation.start_api()
        yield installation
    left_behind = time.monotonic() + 2
    while found := strays(folder):
        assert time.monotonic() < left_behind, f"I7: processes {found} outlive their installation"
        time.sleep(0.05)


def kill_all_of(process: subprocess.Popen[bytes]) -> None:
    """SIGKILL, as the plug pulled: its children must see to themselves."""
    process.send_signal(signal.SIGKILL)
    process.wait()


def children(pid: int) -> list[int]:
    """Of any of its threads: a process is the child of the one that started it."""
    found = []
    for listed in Path("/proc").glob(f"{pid}/task/*/children"):
        with suppress(FileNotFoundError, ProcessLookupError):
            found += [int(child) for child in listed.read_text().split()]
    return sorted(found)


def descendants(pid: int) -> list[int]:
    """Living processes below one."""
    return [below for child in children(pid) for below in (child, *descendants(child))]


def forkservers(worker: subprocess.Popen[bytes]) -> list[int]:
    """What a worker's trainers are forked from: one process, once it is there."""
    return [pid for pid in children(worker.pid) if b"forkserver" in Path(f"/proc/{pid}/cmdline").read_bytes()]


def trainers(worker: subprocess.Popen[bytes]) -> list[int]:
    """Living trainers of a worker that have a job, the oldest first."""
    return [pid for server in forkservers(worker) for pid in children(server) if name_of(pid) == "trainer"]


def waiting_trainers(worker: subprocess.Popen[bytes]) -> int:
    """How many of a worker wait for a job, ready."""
    return [name_of(pid) for server in forkservers(worker) for pid in children(server)].count("trainer, waits")


def name_of(pid: int) -> str | None:
    """What `top` shows; None if it has ended."""
    with suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/comm").read_text().removesuffix("\n")
    return None


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5).is_success
    except httpx.TransportError:
        return False
