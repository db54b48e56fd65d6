"""Workers of two releases share an installation while it is brought up to date."""

import pytest
from sqlalchemy import update

from models import datasets, jobs, turns
from models.formats import FORMAT
from models.states import DatasetState, State
from models.tables import Dataset, Job
from tests.models.conftest import Office


def test_an_older_worker_leaves_a_newer_job_queued(office: Office) -> None:
    job_id = office.job()
    with office.database.write() as session:
        session.execute(update(Job).values(format_version=FORMAT + 1))
        assert jobs.claim(session, job_id, worker_id="wrk_old", lease_seconds=60) is None
        fairly = turns.claim(session, worker_id="wrk_old", lease_seconds=60, running_jobs=9)
        assert fairly is None
        assert jobs.unheard(session, older_than=0, limit=9) == [], "it does not ring for it either"
    assert office.read(job_id).state is State.QUEUED


def test_what_a_newer_worker_has_taken_up_is_no_more_for_older_ones(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = office.job()
    with monkeypatch.context() as patch:
        patch.setattr("models.ownership.FORMAT", FORMAT + 1)
        with office.database.write() as session:
            assert jobs.claim(session, job_id, worker_id="wrk_new", lease_seconds=60) is not None
            jobs.release(session, job_id, 1, reason="its worker is leaving")
    with office.database.write() as session:
        assert jobs.claim(session, job_id, worker_id="wrk_old", lease_seconds=60) is None


def test_an_older_worker_leaves_a_newer_upload_queued(office: Office) -> None:
    with office.database.write() as session:
        session.execute(update(Dataset).values(state=DatasetState.QUEUED, format_version=FORMAT + 1))
        assert datasets.claim(session, office.dataset_id, worker_id="wrk_old", lease_seconds=60) is None
        assert datasets.unheard(session, older_than=0, limit=9) == []


def test_going_on_elsewhere_is_told(office: Office) -> None:
    job = office.claimed()
    here, there = {"torch": "2", "threads": 4}, {"torch": "2", "threads": 8}
    with office.database.write() as session:
        jobs.start(session, job.id, 1, environment=here, start_step=0, data={})
        jobs.release(session, job.id, 1, reason="its worker is leaving")
        jobs.claim(session, job.id, worker_id="wrk_b", lease_seconds=60)
        jobs.start(session, job.id, 2, environment=here, start_step=7, data={})
        assert jobs.get(session, office.project_id, job.id).determinism == "exact"  # type: ignore[union-attr]
        jobs.release(session, job.id, 2, reason="its worker is leaving")
        jobs.claim(session, job.id, worker_id="wrk_c", lease_seconds=60)
        for _ in range(2):  # the answer to the first commit was lost
            jobs.start(session, job.id, 3, environment=there, start_step=9, data={})
    assert office.read(job.id).determinism == "best_effort"
    with office.database.read() as session:
        event = jobs.events_after(session, job.id)[-1]
    assert (event.type, event.data) == ("job.environment_changed", {"threads": [4, 8]})


def test_what_is_said_twice_because_an_answer_was_lost_is_one_event(office: Office) -> None:
    job = office.running()
    for epoch in (1, 1, 2, 2):
        with office.database.write() as session:
            jobs.add_event(session, job.id, 1, "epoch.completed", {"epoch": epoch})
    assert office.events(job.id)[-3:] == ["job.started", "epoch.completed", "epoch.completed"]
