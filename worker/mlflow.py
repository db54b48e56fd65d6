"""Tells an MLflow server of the jobs, where the settings name one.

A thread of every worker, beside those that train: it reads what to tell from the database and keeps there how much was
told, so a server that is slow, away or wrong costs jobs nothing, and is told everything later. It speaks MLflow's REST
API (version 2.0): seven requests, for which its client would bring some thirty packages.
"""

import json
import random
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

import httpx
import structlog

from models import checkpoints, database, mlflow_runs, storage
from models.mlflow_runs import HoldLost, Untold
from models.states import State
from models.storage import NotThere
from models.tables import Checkpoint, Event, Job
from worker.site import Site

log = structlog.get_logger()
HOLD_SECONDS = 120
"""Longer than any request may take."""
TIMEOUT = httpx.Timeout(15, connect=5)
LONGEST_PAUSE = 60
MOST_PARAMETERS = 500
AT_ONCE = {"params": 100, "metrics": 1000}
"""Of one request, as MLflow allows."""
LONGEST_VALUE = 500
STATUS = {
    State.QUEUED: "SCHEDULED",
    State.PAUSED: "SCHEDULED",
    State.STARTING: "RUNNING",
    State.RUNNING: "RUNNING",
    State.SUCCEEDED: "FINISHED",
    State.FAILED: "FAILED",
    State.CANCELLED: "KILLED",
}
ARTIFACTS = "mlflow-artifacts:/"


class Refused(Exception):
    """The server is there and does not take what it is told."""


class Teller:
    """Tells whatever is untold every so often until it is stopped."""

    def __init__(self, site: Site) -> None:
        assert site.settings.mlflow_url is not None
        self._site = site
        self._server = Server(site.settings.mlflow_url.get_secret_value(), site.settings.mlflow_experiment)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="mlflow", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """At once: a request that is under way is not waited for, and nothing is lost with it."""
        self._stopped.set()
        self._thread.join(timeout=1)

    def _run(self) -> None:
        period = pause = self._site.settings.reconcile_seconds
        while not self._stopped.is_set():
            try:
                self.round()
                pause = period
            except (httpx.HTTPError, *database.OUTAGES) as error:
                pause = min(2 * pause, max(period, LONGEST_PAUSE))
                log.warning("mlflow_put_off", error=type(error).__name__, seconds=round(pause, 1))
            except Exception:  # a round that goes wrong must not be the last one
                pause = max(period, LONGEST_PAUSE)
                log.exception("mlflow_failed")
            self._stopped.wait(pause * random.uniform(0.8, 1.2))  # noqa: S311

    def round(self) -> None:
        """Tell of each job once that has something to be told."""
        done: list[str] = []
        while not self._stopped.is_set():
            with self._site.database.write() as session:
                untold = mlflow_runs.take(session, self._site.id, HOLD_SECONDS, passing_over=done)
            if untold is None:
                return
            job = untold.job
            if not untold.has_more:
                done.append(job.id)
            try:
                self._tell(untold)
            except Refused as error:  # telling it again would not help: until something changes it is left alone
                log.warning("mlflow_refused", job=job.id, reason=str(error)[:500])
                self._note(job, None, told_version=job.version)
            except HoldLost:
                log.warning("mlflow_hold_lost", job=job.id)

    def _tell(self, untold: Untold) -> None:
        job, run_id = untold.job, untold.run.run_id
        if run_id is None:
            run_id = self._server.run_of(job)
            self._server.log(run_id, params=parameters(job.resolved_spec))
            self._note(job, HOLD_SECONDS, run_id=run_id)
        if untold.epochs:
            self._server.log(run_id, metrics=list(figures(untold.epochs)))
            newest = untold.epochs[-1]
            told = {"told_epoch": newest.data["epoch"], "told_sequence": newest.sequence}
            self._note(job, HOLD_SECONDS, **told)
        if untold.has_more:
            self._note(job, None)
            return
        self._server.update(run_id, job)
        if job.state is State.SUCCEEDED and self._site.settings.mlflow_artifacts:
            self._send_weights(run_id, job)
        self._note(job, None, told_version=job.version)

    def _send_weights(self, run_id: str, job: Job) -> None:
        with self._site.database.read() as session:
            best = checkpoints.best(session, job.id)
        if best is None or best.id == self._server.tag(run_id, "trainwright.artifact"):
            return
        try:
            self._server.upload(run_id, "best.safetensors", self._pieces(job, best))
        except (NotThere, *storage.OUTAGES, OSError) as error:
            raise Refused(f"its weights cannot be read: {type(error).__name__}") from error
        self._server.tag_run(run_id, "trainwright.artifact", best.id)

    def _pieces(self, job: Job, checkpoint: Checkpoint) -> Iterator[bytes]:
        held = time.monotonic()
        for piece in self._site.storage.read(checkpoint.weights_key):
            if time.monotonic() - held > HOLD_SECONDS / 4:
                held = time.monotonic()
                self._note(job, HOLD_SECONDS)
            yield piece

    def _note(self, job: Job, seconds: float | None, **values: Any) -> None:
        with self._site.database.write() as session:
            mlflow_runs.note(session, job.id, self._site.id, seconds, **values)


class Server:
    """An MLflow server, by its REST API."""

    def __init__(self, url: str, experiment: str) -> None:
        self._http = httpx.Client(base_url=f"{url.rstrip('/')}/api/2.0/", timeout=TIMEOUT)
        self._experiment = experiment
        self._experiment_id: str | None = None
        self._known: dict[str, tuple[Any, ...]] = {}
        """Run → what was last said of it, while its job goes on: not said again and again."""

    def run_of(self, job: Job) -> str:
        """The run of a job: made now, unless somebody has made it and died before that was noted."""
        experiment_id = self._find_experiment()
        words = f"tags.`trainwright.job_id` = '{job.id}'"
        query = {"experiment_ids": [experiment_id], "filter": words, "max_results": 1, "run_view_type": "ALL"}
        found = self._ask("POST", "mlflow/runs/search", query).get("runs", [])
        if not found:
            run = {"experiment_id": experiment_id, "start_time": milliseconds(job.started_at or job.created_at)}
            run |= {"run_name": job.name or job.id, "tags": pairs(tags(job))}
            found = [self._ask("POST", "mlflow/runs/create", run)["run"]]
        return str(found[0]["info"]["run_id"])

    def _find_experiment(self) -> str:
        if self._experiment_id is None:
            query = {"experiment_name": self._experiment}
            found = self._ask("GET", "mlflow/experiments/get-by-name", query, missing={})
            if not found:
                made = self._ask("POST", "mlflow/experiments/create", {"name": self._experiment}, missing={})
                found = {"experiment": made} if made else self._ask("GET", "mlflow/experiments/get-by-name", query)
            self._experiment_id = str(found["experiment"]["experiment_id"])
        return self._experiment_id

    def log(self, run_id: str, **what: Sequence[Any]) -> None:
        for kind, entries in what.items():
            for first in range(0, len(entries), AT_ONCE[kind]):
                batch = {"run_id": run_id, kind: entries[first : first + AT_ONCE[kind]]}
                self._ask("POST", "mlflow/runs/log-batch", batch)

    def update(self, run_id: str, job: Job) -> None:
        """What state a job is in, and what is said of it."""
        said = tags(job)
        change: dict[str, Any] = {"run_id": run_id, "status": STATUS[job.state], "run_name": job.name or job.id}
        if job.finished_at is not None:
            change["end_time"] = milliseconds(job.finished_at)
        if self._known.get(run_id) == (said, change):
            return
        self._ask("POST", "mlflow/runs/log-batch", {"run_id": run_id, "tags": pairs(said)})
        self._ask("POST", "mlflow/runs/update", change)
        if job.state.is_terminal:
            self._known.pop(run_id, None)
        else:
            self._known[run_id] = (said, change)

    def tag(self, run_id: str, name: str) -> str | None:
        run = self._ask("GET", "mlflow/runs/get", {"run_id": run_id})["run"]
        return next((tag["value"] for tag in run["data"].get("tags", []) if tag["key"] == name), None)

    def tag_run(self, run_id: str, name: str, value: str) -> None:
        self._ask("POST", "mlflow/runs/set-tag", {"run_id": run_id, "key": name, "value": value})

    def upload(self, run_id: str, name: str, content: Iterator[bytes]) -> None:
        """An artifact, through the server: by whatever else its artifacts are kept, we have no key for it."""
        place = str(self._ask("GET", "mlflow/runs/get", {"run_id": run_id})["run"]["info"]["artifact_uri"])
        if not place.startswith(ARTIFACTS):
            raise Refused(f"artifacts are only sent through the server, and this one keeps them at {place}")
        path = place.removeprefix(ARTIFACTS).strip("/")
        _read(self._http.put(f"mlflow-artifacts/artifacts/{path}/{name}", content=content))

    def _ask(
        self,
        method: Literal["GET", "POST"],
        path: str,
        content: Mapping[str, Any],
        *,
        missing: dict[str, Any] | None = None,
    ) -> dict[str, Any]:
        """
        Args:
            missing: what is said where something is not there, or is there already.
        """
        asks = method == "GET"
        answer = self._http.get(path, params=dict(content)) if asks else self._http.post(path, json=content)
        if missing is not None and error_code(answer) in ("RESOURCE_DOES_NOT_EXIST", "RESOURCE_ALREADY_EXISTS"):
            return missing
        return _read(answer)


def _read(answer: httpx.Response) -> dict[str, Any]:
    """
    Raises:
        Refused: what was sent is wrong, or what it is about is gone.
        httpx.HTTPError: it may be right later, or with another key.
    """
    if answer.status_code in (400, 404, 413, 422):
        raise Refused(f"{answer.status_code} {answer.text}")
    body: dict[str, Any] = answer.raise_for_status().json() if answer.content else {}
    return body


def error_code(answer: httpx.Response) -> str | None:
    if answer.is_success:
        return None
    try:
        return str(answer.json()["error_code"])
    except (ValueError, KeyError, TypeError):
        return None


def parameters(spec: Mapping[str, Any]) -> list[dict[str, str]]:
    """A spec as MLflow has parameters: a name with dots and a short text for each value that is not null."""
    found = [(name, value) for name, value in flattened(spec) if value is not None]
    texts = ((name, value if isinstance(value, str) else json.dumps(value)) for name, value in found[:MOST_PARAMETERS])
    return pairs({name[:250]: text[:LONGEST_VALUE] for name, text in texts})


def flattened(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """`{"a": [{"b": 1}]}` → `a.0.b`: 1; a list of plain values is one value."""
    inner: Iterable[tuple[Any, Any]]
    if isinstance(value, Mapping) and value:
        inner = value.items()
    elif isinstance(value, list) and any(isinstance(item, dict | list) for item in value):
        inner = enumerate(value)
    else:
        yield name, value
        return
    for key, item in inner:
        yield from flattened(item, f"{name}.{key}" if name else str(key))


def figures(epochs: Sequence[Event]) -> Iterator[dict[str, Any]]:
    """Metrics of ends of epochs; what is not finite MLflow is not told."""
    for event in epochs:
        at = {"timestamp": milliseconds(event.created_at), "step": event.data["epoch"]}
        for name, value in event.data["metrics"].items():
            if value is not None:
                yield {"key": name, "value": value, **at}


def tags(job: Job) -> dict[str, str]:
    told = {
        "mlflow.source.name": "trainwright",
        "mlflow.source.type": "JOB",
        "mlflow.note.content": job.notes or "",
        "trainwright.job_id": job.id,
        "trainwright.project_id": job.project_id,
        "trainwright.dataset_id": job.dataset_id,
        "trainwright.spec_sha256": job.spec_sha256,
        "trainwright.status": job.state,
        "trainwright.attempts": str(job.attempt),
        "trainwright.tags": ", ".join(job.tags),
        **{f"trainwright.metadata.{name}": value for name, value in job.labels.items()},
    }
    if job.failure is not None:
        told["trainwright.failure"] = f"{job.failure['code']}: {job.failure['message']}"
    return {name: value[:5000] for name, value in told.items()}


def pairs(values: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"key": name, "value": value} for name, value in values.items()]


def milliseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)
