"""The N-th operation fails, N = 1, 2, 3 … until a run passes untouched: wherever it happens, a job ends once, with the
bits of a run that nothing happened to."""

import itertools
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from api.specs import make_runnable
from models import checkpoints, datasets, failpoints, jobs, projects, uploads
from models.database import OUTAGES, Database
from models.queue import Bell
from models.settings import Settings
from models.states import TERMINAL, DatasetState, State
from models.storage import open_storage, put_file
from models.tables import Dataset, Job
from tests.faults.checker import leftovers, violations
from tests.faults.conftest import quick
from tests.service import DIGITS
from worker import warm
from worker.intake import run_ingest
from worker.reconcile import reconcile
from worker.run import run_job
from worker.site import Site

PATIENCE = 120.0
"""Seconds that anything may take."""


@pytest.fixture(scope="module")
def _trainers(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What trainers are forked from."""
    warm.start_server(1, tmp_path_factory.mktemp("warm"))


@dataclass
class Bench:
    """A worker's parts in this process, without its timer: whoever turns the crank decides what happens next."""

    settings: Settings
    database: Database
    project_id: str

    def site(self) -> Site:
        return Site(self.settings, Bell(self.settings))

    def upload(self) -> str:
        with self.database.write() as session:
            dataset = datasets.create(session, project_id=self.project_id, name="digits")
        key = uploads.new_key(dataset.id)
        stored = put_file(open_storage(self.settings), key, DIGITS)
        with self.database.write() as session:
            datasets.uploaded(
                session, dataset.id, filename=DIGITS.name, key=key, size=stored.bytes, sha256=stored.sha256
            )
        return dataset.id

    def submit(self, body: dict[str, Any]) -> str:
        with self.database.write() as session:
            runnable = make_runnable(session, self.project_id, body)
            return jobs.create(
                session, project_id=self.project_id, dataset_id=runnable.dataset_id, spec=runnable.sent,
                resolved_spec=runnable.resolved, spec_sha256=runnable.sha256, warnings=runnable.warnings,
            ).id  # fmt: skip

    def see_through(self, job_id: str) -> Job:
        """Do what workers do until the job has ended. An error is the end of a task, never of a worker."""
        self._work(run_job, lambda: self.read(job_id).state in TERMINAL)
        return self.read(job_id)

    def take_in(self, dataset_id: str) -> Dataset:
        ended = {DatasetState.READY, DatasetState.FAILED}
        self._work(lambda site: run_ingest(site, dataset_id), lambda: self.dataset(dataset_id).state in ended)
        return self.dataset(dataset_id)

    def _work(self, task: Callable[[Site], None], is_done: Callable[[], bool]) -> None:
        site, deadline = self.site(), time.monotonic() + PATIENCE
        try:
            while not is_done():
                assert time.monotonic() < deadline, "it does not end"
                for work in (task, reconcile):
                    try:
                        work(site)
                    except OUTAGES:
                        time.sleep(0.05)
        finally:
            site.close()

    def dataset(self, dataset_id: str) -> Dataset:
        with self.database.read() as session:
            return session.get_one(Dataset, dataset_id)

    def read(self, job_id: str) -> Job:
        with self.database.read() as session:
            return session.get_one(Job, job_id)

    def last_weights(self, job_id: str) -> str:
        with self.database.read() as session:
            checkpoint = checkpoints.last(session, job_id)
        assert checkpoint is not None
        return checkpoint.weights_sha256

    def said(self, job_id: str) -> Counter[tuple[int, str, object]]:
        """How often each attempt said each thing."""
        with self.database.read() as session:
            events = jobs.events_after(session, job_id, limit=1000)
        return Counter((event.attempt, event.type, event.data.get("step")) for event in events)


@pytest.fixture
def bench(database_url: str, tmp_path: Path, _trainers: None) -> Iterator[Bench]:
    settings = Settings.model_validate({
        "database_url": database_url, "storage_url": f"file://{tmp_path}/objects", "cache_dir": tmp_path / "cache",
        "heartbeat_seconds": 0.5, "lease_seconds": 3, "trainer_threads": 1, "checkpoint_seconds": 3600,
        "rest_seconds": 0.05,
    })  # fmt: skip
    database = Database(settings)
    with database.write() as session:
        project = projects.create_project(session, "a project")
    yield Bench(settings, database, project.id)
    failpoints.ask("")
    database.close()


def small(dataset_id: str) -> dict[str, Any]:
    return quick(dataset_id, training={"epochs": 2, "batch_size": 256})


PLACES = ["database.call", "database.after_commit", "store.call"]


def numbers(sampled: bool) -> Iterator[int]:
    """The first few, where most differ, and then further and further apart: or one after the other."""
    return itertools.count(1) if not sampled else (round(1.6**power) for power in itertools.count(1))


@pytest.mark.parametrize("sampled", [True, pytest.param(False, marks=[pytest.mark.chaos, pytest.mark.timeout(3600)])])
@pytest.mark.parametrize("place", PLACES)
def test_a_job_survives_a_failure_of_its_nth_operation(bench: Bench, place: str, sampled: bool) -> None:
    dataset_id = bench.upload()
    bench.take_in(dataset_id)
    undisturbed = bench.submit(small(dataset_id))
    assert bench.see_through(undisturbed).state is State.SUCCEEDED
    for number in numbers(sampled):
        job_id = bench.submit(small(dataset_id))
        failpoints.ask(f"{place}=raise@{number}")
        try:
            job = bench.see_through(job_id)
            reached = failpoints.times(place)
        finally:
            failpoints.ask("")
        assert job.state is State.SUCCEEDED, (number, job.failure)
        assert job.attempt <= 2, (number, bench.said(job_id))
        assert bench.last_weights(job_id) == bench.last_weights(undisturbed), number
        assert max(bench.said(job_id).values()) == 1, (number, bench.said(job_id))
        assert violations(bench.database, open_storage(bench.settings), [job_id]) == [], number
        if reached < number:
            break
    assert leftovers(bench.settings.cache_dir) == []
    print(f"{place}: {number - 1} operations, each of which failed once")  # noqa: T201


@pytest.mark.chaos
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("place", PLACES)
def test_an_upload_is_taken_in_though_its_nth_operation_fails(bench: Bench, place: str) -> None:
    for number in itertools.count(1):
        dataset_id = bench.upload()
        failpoints.ask(f"{place}=raise@{number}")
        try:
            dataset = bench.take_in(dataset_id)
            reached = failpoints.times(place)
        finally:
            failpoints.ask("")
        assert (dataset.state, dataset.failure) == (DatasetState.READY, None), number
        if reached < number:
            break
    assert leftovers(bench.settings.cache_dir) == []
    print(f"ingest, {place}: {number - 1} operations, each of which failed once")  # noqa: T201
