"""A database of each kind with one project, one data set and a way to make jobs."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from models import datasets, jobs, projects
from models.database import Database
from models.settings import Settings
from models.tables import Job

ROOT = Path(__file__).parents[2]


@dataclass
class Office:
    """Where rows are made."""

    database: Database
    project_id: str
    dataset_id: str

    def job(self) -> str:
        with self.database.write() as session:
            return jobs.create(
                session,
                project_id=self.project_id,
                dataset_id=self.dataset_id,
                spec={"name": "a job"},
                resolved_spec={"checkpoints": {"keep_last": 1}},
                spec_sha256="0" * 64,
                warnings=[],
            ).id

    def claimed(self, lease_seconds: float = 60) -> Job:
        job_id = self.job()
        with self.database.write() as session:
            job = jobs.claim(session, job_id, worker_id="wrk_test", lease_seconds=lease_seconds)
        assert job is not None
        return job

    def running(self) -> Job:
        job = self.claimed()
        with self.database.write() as session:
            return jobs.start(session, job.id, job.attempt, environment={}, start_step=0, data={})

    def read(self, job_id: str) -> Job:
        with self.database.read() as session:
            job = jobs.get(session, self.project_id, job_id)
        assert job is not None
        return job

    def events(self, job_id: str) -> list[str]:
        with self.database.read() as session:
            return [event.type for event in jobs.events_after(session, job_id)]


@pytest.fixture
def office(database_url: str, tmp_path: Path) -> Iterator[Office]:
    database = Database(Settings(database_url=database_url, storage_url=f"file://{tmp_path}/objects"))
    with database.write() as session:
        project = projects.create_project(session, "a project")
        dataset = datasets.create(session, project_id=project.id, name="digits")
    yield Office(database, project.id, dataset.id)
    database.close()
