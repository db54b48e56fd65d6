"""What an MLflow server is told, that each job is one run there, and that its outages cost nothing but time."""

import hashlib
import json
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
import pytest

from models import jobs, mlflow_runs
from models.failures import Failure
from models.queue import Bell
from models.settings import Settings
from models.states import FailureCode
from models.tables import Job, MlflowRun
from tests.models.conftest import Office, office
from tests.servers.mlflow import mlflow_server
from tests.servers.process import ServerMissing, free_port
from tests.service import DIGITS, kill_all_of, service
from worker.mlflow import Teller, parameters
from worker.site import Site

__all__ = ["office"]


class Double:
    """As much of an MLflow server as a teller sees; whether the real one is like it, the last test tells."""

    def __init__(self) -> None:
        self.runs: dict[str, dict[str, Any]] = {}
        self.away = False
        self.refuses = False

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if self.away:
            raise httpx.ConnectError("nobody listens")
        body = json.loads(request.content or b"{}")
        match request.url.path.rpartition("2.0/mlflow/")[2]:
            case "experiments/get-by-name":
                return httpx.Response(200, json={"experiment": {"experiment_id": "1"}})
            case "runs/search":
                found = [run for run in self.runs.values() if run["tags"]["trainwright.job_id"] in body["filter"]]
                return httpx.Response(200, json={"runs": [{"info": {"run_id": run["id"]}} for run in found]})
            case "runs/create":
                run: dict[str, Any] = {
                    "id": f"run{len(self.runs)}",
                    "tags": self._pairs(body["tags"]),
                    "params": {},
                    "metrics": [],
                }
                self.runs[str(run["id"])] = run
                return httpx.Response(200, json={"run": {"info": {"run_id": run["id"]}}})
            case "runs/log-batch" if self.refuses:
                return httpx.Response(400, json={"error_code": "INVALID_PARAMETER_VALUE"})
            case "runs/log-batch":
                run = self.runs[body["run_id"]]
                run["tags"] |= self._pairs(body.get("tags", []))
                run["params"] |= self._pairs(body.get("params", []))
                run["metrics"] += [(each["key"], each["step"], each["value"]) for each in body.get("metrics", [])]
            case "runs/update":
                self.runs[body["run_id"]]["status"] = body["status"]
        return httpx.Response(200, json={})

    @staticmethod
    def _pairs(entries: list[dict[str, str]]) -> dict[str, str]:
        return {entry["key"]: entry["value"] for entry in entries}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Double:
    double = Double()
    client = httpx.Client
    transport = httpx.MockTransport(double)
    monkeypatch.setattr("worker.mlflow.httpx.Client", lambda **given: client(**given, transport=transport))
    return double


@pytest.fixture
def sites(database_url: str, tmp_path: Path) -> Iterator[list[Site]]:
    settings = Settings(
        database_url=database_url,
        storage_url=f"file://{tmp_path}/objects",
        cache_dir=tmp_path / "c",
        mlflow_url="http://m",
    )
    sites = [Site(settings, Bell(settings)) for _ in range(2)]
    yield sites
    for site in sites:
        site.close()


def trained(office: Office, epochs: int) -> Job:
    """A job that is told of and has trained some epochs."""
    job = office.running()
    with office.database.write() as session:
        mlflow_runs.want(session, job)
    train(office, job, range(1, epochs + 1))
    return job


def train(office: Office, job: Job, epochs: range) -> None:
    with office.database.write() as session:
        for epoch in epochs:
            data = {"epoch": epoch, "step": epoch * 10, "metrics": {"train/loss": 1 / epoch, "validation/r2": None}}
            jobs.add_event(session, job.id, job.attempt, "epoch.completed", data)


def test_a_job_is_a_run_with_its_spec_its_metrics_and_its_end(
    sites: list[Site], office: Office, server: Double
) -> None:
    job = trained(office, 3)
    teller = Teller(sites[0])
    teller.round()
    (run,) = server.runs.values()
    assert (run["status"], run["params"]) == ("RUNNING", {"checkpoints.keep_last": "1"})
    assert run["metrics"] == [("train/loss", 1, 1.0), ("train/loss", 2, 0.5), ("train/loss", 3, pytest.approx(1 / 3))]
    with office.database.write() as session:
        jobs.fail(session, job.id, job.attempt, Failure(FailureCode.DIVERGED, "no number"))
    teller.round()
    assert run["status"] == "FAILED"
    assert run["tags"]["trainwright.failure"] == "diverged: no number"
    with office.database.read() as session:
        assert mlflow_runs.take(session, "nobody", 1) is None, "everything is told"


def test_an_outage_is_made_up_for_and_tells_nothing_twice(sites: list[Site], office: Office, server: Double) -> None:
    job = trained(office, 2)
    teller = Teller(sites[0])
    teller.round()
    server.away = True
    train(office, job, range(2, 5))  # the second epoch again, as after a crash
    with pytest.raises(httpx.ConnectError):
        teller.round()
    server.away = False
    free(office, job)
    Teller(sites[1]).round()
    (run,) = server.runs.values()
    assert [step for _, step, _ in run["metrics"]] == [1, 2, 3, 4]


def test_of_two_that_would_tell_at_once_one_does(sites: list[Site], office: Office, server: Double) -> None:
    for _ in range(5):
        trained(office, 1)
    threads = [Thread(target=Teller(site).round) for site in sites]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    told = [run["tags"]["trainwright.job_id"] for run in server.runs.values()]
    assert len(told) == len(set(told)) == 5


def test_a_run_that_was_made_and_not_noted_is_found_again(sites: list[Site], office: Office, server: Double) -> None:
    job = trained(office, 1)
    Teller(sites[0]).round()
    with office.database.write() as session:
        run = session.get_one(MlflowRun, job.id)
        run.run_id = run.told_version = None
    Teller(sites[1]).round()
    assert len(server.runs) == 1


def test_what_is_refused_waits_for_a_change_and_holds_up_no_other(
    sites: list[Site], office: Office, server: Double
) -> None:
    first, teller = trained(office, 1), Teller(sites[0])
    server.refuses = True
    teller.round()
    server.refuses = False
    second = trained(office, 1)
    teller.round()
    assert [len(run["metrics"]) for run in server.runs.values()] == [0, 1]
    train(office, first, range(2, 3))
    teller.round()
    assert [len(run["metrics"]) for run in server.runs.values()] == [2, 1]
    assert second.id != first.id


def test_who_took_too_long_notes_nothing(office: Office) -> None:
    job = trained(office, 1)
    with office.database.write() as session:
        assert mlflow_runs.take(session, "slow", -1) is not None
        assert mlflow_runs.take(session, "quick", 60) is not None
        assert mlflow_runs.take(session, "third", 60) is None
    with office.database.write() as session, pytest.raises(mlflow_runs.HoldLost):
        mlflow_runs.note(session, job.id, "slow", 60)


def test_a_spec_becomes_short_texts_with_names() -> None:
    spec = {"a": {"b": [1, 2]}, "c": [{"d": "x" * 9000}, {"d": True}], "e": None, "f": 0.5, "g": {}}
    told = {one["key"]: one["value"] for one in parameters(spec)}
    assert told == {"a.b": "[1, 2]", "c.0.d": "x" * 500, "c.1.d": "true", "f": "0.5", "g": "{}"}


def free(office: Office, job: Job) -> None:
    """As when the time has passed for which its row was held."""
    with office.database.write() as session:
        session.get_one(MlflowRun, job.id).held_until = None


def ask(url: str, path: str, **body: Any) -> dict[str, Any]:
    answer = httpx.post(f"{url}/api/2.0/mlflow/{path}", json=body, timeout=30).raise_for_status()
    found: dict[str, Any] = answer.json()
    return found


@pytest.mark.chaos
def test_a_real_server_that_goes_away_and_a_worker_that_dies_leave_one_whole_run(
    sqlite_url: str, tmp_path: Path
) -> None:
    port = free_port()
    told = {"TRAINWRIGHT_MLFLOW_URL": f"http://127.0.0.1:{port}", "TRAINWRIGHT_MLFLOW_ARTIFACTS": "true"}
    try:
        with service(tmp_path, sqlite_url, "memory://", **told) as here:
            here.start_worker()
            dataset_id = here.upload(DIGITS)
            with mlflow_server(tmp_path, port):
                job_id = here.submit(long_job(dataset_id))
                here.reach_step(job_id, 100)
                kill_all_of(here.owner_of(job_id))
            here.start_worker()
            assert here.finish(job_id)["status"] == "succeeded", "while the server is away"
            weights = here.http.get(f"/v1/jobs/{job_id}/checkpoints/best").json()["sha256"]
            with mlflow_server(tmp_path, port) as url:
                run = whole_run(url, job_id)
                content = httpx.get(f"{url}/api/2.0/mlflow-artifacts/artifacts/{place(run)}/best.safetensors").content
    except ServerMissing as missing:
        pytest.skip(str(missing))
    assert hashlib.sha256(content).hexdigest() == weights
    assert run["data"]["params"]
    tags = {tag["key"]: tag["value"] for tag in run["data"]["tags"]}
    assert (tags["trainwright.job_id"], tags["trainwright.attempts"]) == (job_id, "2")


def long_job(dataset_id: str) -> dict[str, Any]:
    return {
        "name": "told",
        "dataset": {"id": dataset_id, "validation": {"split": "test"}},
        "network": {"type": "mlp", "hidden": [64]},
        "training": {"epochs": 30, "batch_size": 32},
    }


def whole_run(url: str, job_id: str) -> dict[str, Any]:
    """The only run of a job, once it has ended, with one value for each epoch."""
    named = f"{url}/api/2.0/mlflow/experiments/get-by-name?experiment_name=trainwright"
    deadline = time.monotonic() + 150
    while True:
        answer = httpx.get(named)
        if answer.is_success:
            ids = [answer.json()["experiment"]["experiment_id"]]
            runs = ask(url, "runs/search", experiment_ids=ids, max_results=10)["runs"]
            assert len(runs) <= 1
            tags = {tag["key"] for run in runs for tag in run["data"]["tags"]}
            if runs and runs[0]["info"]["status"] == "FINISHED" and "trainwright.artifact" in tags:
                (run,) = runs
                break
        assert time.monotonic() < deadline, answer.text
        time.sleep(0.5)
    query = {"run_id": run["info"]["run_id"], "metric_key": "validation/accuracy"}
    history = httpx.get(f"{url}/api/2.0/mlflow/metrics/get-history", params=query).json()["metrics"]
    assert [point["step"] for point in history] == list(range(1, 31))
    found: dict[str, Any] = run
    return found


def place(run: dict[str, Any]) -> str:
    return str(run["info"]["artifact_uri"]).removeprefix("mlflow-artifacts:/").strip("/")
