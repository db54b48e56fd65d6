"""A checkpoint that a job starts from stays as long as that job may need it."""

import threading
import time

import pytest
from sqlalchemy import delete
from sqlalchemy.exc import IntegrityError

from models import checkpoints, jobs
from models.database import Session
from models.failures import Failure
from models.states import FailureCode
from models.tables import Checkpoint, Job
from tests.models.conftest import Office
from tests.models.test_checkpoints import save


def starting_from(session: Session, office: Office, checkpoint_id: str) -> Job:
    return jobs.create(
        session,
        project_id=office.project_id,
        dataset_id=office.dataset_id,
        spec={},
        resolved_spec={"checkpoints": {"keep_last": 1}, "warm_start": {"checkpoint": checkpoint_id}},
        spec_sha256="0" * 64,
        warnings=[],
    )


def first_of(office: Office, job_id: str) -> str:
    with office.database.read() as session:
        return checkpoints.of_job(session, job_id)[0].id


def steps_of(office: Office, job_id: str) -> list[int]:
    with office.database.read() as session:
        return [checkpoint.step for checkpoint in checkpoints.of_job(session, job_id)]


def test_pruning_leaves_what_a_job_starts_from(office: Office) -> None:
    source = office.running()
    save(office, source.id, 1)
    with office.database.write() as session:
        successor = starting_from(session, office, first_of(office, source.id)).id
    dropped = [key for step in (2, 3, 4) for key in save(office, source.id, step)]
    assert steps_of(office, source.id) == [1, 3, 4]
    assert "w1" not in dropped
    with office.database.write() as session:
        jobs.request_cancel(session, office.project_id, successor)
        jobs.remove(session, office.project_id, successor)
    assert "w1" in save(office, source.id, 5)
    assert steps_of(office, source.id) == [4, 5]


@pytest.mark.parametrize("end", ["succeeded", "deleted"])
def test_a_job_that_needs_it_no_more_lets_go(office: Office, end: str) -> None:
    source, job_id = held(office)
    with office.database.write() as session:
        assert jobs.is_held(session, source)
        assert not jobs.remove(session, office.project_id, source)
        if end == "succeeded":
            jobs.succeed(session, job_id, 1, summary={})
        else:
            jobs.end_cancelled(session, job_id, 1)
            assert jobs.remove(session, office.project_id, job_id)
    with office.database.write() as session:
        assert not jobs.is_held(session, source)
        assert jobs.remove(session, office.project_id, source)


@pytest.mark.parametrize("end", ["failed", "cancelled"])
def test_a_job_that_may_be_tried_again_holds_on(office: Office, end: str) -> None:
    source, job_id = held(office)
    with office.database.write() as session:
        if end == "failed":
            jobs.fail(session, job_id, 1, Failure(FailureCode.DIVERGED, "NaN"))
        else:
            jobs.end_cancelled(session, job_id, 1)
        assert not jobs.remove(session, office.project_id, source)


def held(office: Office) -> tuple[str, str]:
    """A job that has ended, and a running one that starts from its checkpoint."""
    source = office.running()
    save(office, source.id, 1)
    with office.database.write() as session:
        job_id = starting_from(session, office, first_of(office, source.id)).id
        jobs.claim(session, job_id, worker_id="wrk", lease_seconds=60)
        jobs.succeed(session, source.id, 1, summary={})
    return source.id, job_id


def test_a_job_that_goes_back_to_the_queue_holds_on(office: Office) -> None:
    source = office.running()
    save(office, source.id, 1)
    with office.database.write() as session:
        job_id = starting_from(session, office, first_of(office, source.id)).id
        jobs.claim(session, job_id, worker_id="wrk", lease_seconds=60)
        jobs.release(session, job_id, 1, reason="its worker is leaving")
        assert jobs.is_held(session, source.id)


def test_the_database_itself_keeps_what_is_held(office: Office) -> None:
    source = office.running()
    save(office, source.id, 1)
    with office.database.write() as session:
        starting_from(session, office, first_of(office, source.id))
    with pytest.raises(IntegrityError), office.database.write() as session:
        session.execute(delete(Checkpoint).where(Checkpoint.job_id == source.id))
    with pytest.raises(IntegrityError), office.database.write() as session:
        session.execute(delete(Job).where(Job.id == source.id))


def test_nothing_starts_from_what_is_gone(office: Office) -> None:
    with pytest.raises(IntegrityError), office.database.write() as session:
        starting_from(session, office, "ckpt_gone")


def test_pruning_waits_for_a_job_that_is_being_made(office: Office) -> None:
    """Its transaction is open when the pruning begins, and commits while that waits."""
    source = office.running()
    for step in (1, 2):
        save(office, source.id, step)
    oldest = first_of(office, source.id)
    pruning = threading.Thread(target=save, args=(office, source.id, 3))
    with office.database.write() as session:
        starting_from(session, office, oldest)
        pruning.start()
        time.sleep(0.3)
        assert pruning.is_alive()
    pruning.join(10)
    assert steps_of(office, source.id) == [1, 2, 3]
