"""What a user may do to a job on its way: pause it, take that back, cancel it, try it again."""

from collections.abc import Callable
from typing import Any

import pytest

from models import jobs
from models.database import Session
from models.failures import Failure
from models.ownership import OwnershipLost
from models.states import FailureCode, State, Wish
from models.tables import Job
from tests.models.conftest import Office

Asked = Callable[[Session, str, str], Job | None]


def ask(office: Office, what: Asked, job_id: str) -> Job | None:
    with office.database.write() as session:
        return what(session, office.project_id, job_id)


def standing(office: Office, job_id: str) -> tuple[State, Wish]:
    job = office.read(job_id)
    return job.state, job.desired_state


def test_a_queued_job_is_paused_and_resumed_at_once(office: Office) -> None:
    job_id = office.job()
    for _ in range(2):
        ask(office, jobs.request_pause, job_id)
        assert standing(office, job_id) == (State.PAUSED, Wish.PAUSE)
    for _ in range(2):
        ask(office, jobs.request_resume, job_id)
        assert standing(office, job_id) == (State.QUEUED, Wish.RUN)
    assert office.events(job_id) == ["job.created", "job.paused", "job.resumed"]


def test_a_paused_job_is_nobodys_to_claim_or_to_ring_for(office: Office) -> None:
    job_id = office.job()
    ask(office, jobs.request_pause, job_id)
    with office.database.write() as session:
        assert jobs.claim(session, job_id, worker_id="wrk_test", lease_seconds=60) is None
        assert jobs.unheard(session, older_than=0, limit=10) == []


def test_a_running_job_is_paused_when_its_owner_gives_it_back(office: Office) -> None:
    job = office.running()
    ask(office, jobs.request_pause, job.id)
    assert standing(office, job.id) == (State.RUNNING, Wish.PAUSE)
    with office.database.write() as session:
        jobs.release(session, job.id, job.attempt, reason="a pause was asked for")
    assert standing(office, job.id) == (State.PAUSED, Wish.PAUSE)
    assert office.read(job.id).worker_id is None
    assert office.events(job.id)[-2:] == ["job.pause_requested", "job.paused"]


def test_a_pause_taken_back_in_time_queues_the_job_again(office: Office) -> None:
    job = office.running()
    ask(office, jobs.request_pause, job.id)
    ask(office, jobs.request_resume, job.id)
    with office.database.write() as session:
        jobs.release(session, job.id, job.attempt, reason="a pause was asked for")
    assert standing(office, job.id) == (State.QUEUED, Wish.RUN)


def test_a_job_whose_owner_dies_while_it_is_to_rest_rests(office: Office) -> None:
    job = office.claimed(lease_seconds=-1)
    ask(office, jobs.request_pause, job.id)
    with office.database.write() as session:
        jobs.recover_lost(session, fruitless_limit=3)
    assert standing(office, job.id) == (State.PAUSED, Wish.PAUSE)
    with office.database.write() as session, pytest.raises(OwnershipLost):
        jobs.release(session, job.id, job.attempt, reason="too late")


def test_a_job_that_ends_before_it_could_be_paused_has_ended(office: Office) -> None:
    job = office.running()
    ask(office, jobs.request_pause, job.id)
    with office.database.write() as session:
        jobs.succeed(session, job.id, job.attempt, summary={})
    assert office.read(job.id).state is State.SUCCEEDED
    assert ask(office, jobs.request_pause, job.id) is None
    assert ask(office, jobs.request_resume, job.id) is None


def test_a_cancel_is_stronger_than_a_pause(office: Office) -> None:
    paused, running = office.job(), office.running()
    for job_id in (paused, running.id):
        ask(office, jobs.request_pause, job_id)
        ask(office, jobs.request_cancel, job_id)
        assert ask(office, jobs.request_pause, job_id) is None
        assert ask(office, jobs.request_resume, job_id) is None
    with office.database.write() as session:
        jobs.release(session, running.id, running.attempt, reason="a pause was asked for")
    assert [office.read(job_id).state for job_id in (paused, running.id)] == [State.CANCELLED] * 2


def test_a_failed_job_is_tried_again_with_a_clean_slate(office: Office) -> None:
    job = office.running()
    with office.database.write() as session:
        jobs.fail(session, job.id, job.attempt, Failure(FailureCode.STORAGE_FULL, "the disk is full"))
    ask(office, jobs.request_retry, job.id)
    again = office.read(job.id)
    assert (again.state, again.failure, again.finished_at, again.fruitless_attempts) == (State.QUEUED, None, None, 0)
    with office.database.write() as session:
        claimed = jobs.claim(session, job.id, worker_id="wrk_test", lease_seconds=60)
    assert claimed is not None
    assert claimed.attempt == job.attempt + 1


@pytest.mark.parametrize("what", [jobs.request_pause, jobs.request_resume, jobs.request_retry])
def test_another_project_steers_nothing(office: Office, what: Any) -> None:
    job_id = office.job()
    with office.database.write() as session:
        assert what(session, "prj_other", job_id) is None
    assert office.events(job_id) == ["job.created"]
