"""The life of a job, on both databases."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from models import jobs, turns
from models.failures import Failure
from models.ownership import OwnershipLost
from models.states import OWNED, TRANSITIONS, FailureCode, State, Wish
from tests.models.conftest import Office


def lose(office: Office, job_id: str, fruitless_limit: int = 3) -> None:
    with office.database.write() as session:
        jobs.claim(session, job_id, worker_id="wrk_dies", lease_seconds=0.001)
    time.sleep(0.01)
    with office.database.write() as session:
        jobs.recover_lost(session, fruitless_limit=fruitless_limit)


def test_a_new_job_is_queued_and_has_one_event(office: Office) -> None:
    job_id = office.job()
    assert office.read(job_id).state is State.QUEUED
    assert office.events(job_id) == ["job.created"]


def test_a_second_claim_finds_nobody_home(office: Office) -> None:
    job = office.claimed()
    with office.database.write() as session:
        assert jobs.claim(session, job.id, worker_id="wrk_other", lease_seconds=60) is None


def test_twenty_workers_that_race_for_a_hundred_jobs_make_a_hundred_claims(office: Office) -> None:
    ids = [office.job() for _ in range(100)]

    def work(worker: int) -> int:
        won = 0
        for job_id in ids:
            with office.database.write() as session:
                won += jobs.claim(session, job_id, worker_id=f"wrk_{worker}", lease_seconds=60) is not None
        return won

    with ThreadPoolExecutor(20) as pool:
        assert sum(pool.map(work, range(20))) == 100
    assert {office.read(job_id).attempt for job_id in ids} == {1}


def test_a_beat_keeps_a_job_from_being_lost(office: Office) -> None:
    job = office.claimed(lease_seconds=0.001)
    with office.database.write() as session:
        jobs.beat(session, job.id, job.attempt, 60)
    with office.database.write() as session:
        assert jobs.recover_lost(session, fruitless_limit=3) == []


def test_a_job_whose_owner_fell_silent_is_queued_again(office: Office) -> None:
    job_id = office.job()
    lose(office, job_id)
    job = office.read(job_id)
    assert (job.state, job.worker_id, job.fruitless_attempts) == (State.QUEUED, None, 1)
    assert office.events(job_id) == ["job.created", "job.claimed", "job.lost"]


def test_ten_reconcilers_at_once_recover_a_job_once(office: Office) -> None:
    ids = [office.claimed(lease_seconds=-1).id for _ in range(5)]

    def recover(_: int) -> None:
        with office.database.write() as session:
            jobs.recover_lost(session, fruitless_limit=3)

    with ThreadPoolExecutor(10) as pool:
        list(pool.map(recover, range(10)))
    assert {office.read(job_id).fruitless_attempts for job_id in ids} == {1}
    assert {tuple(office.events(job_id)) for job_id in ids} == {("job.created", "job.claimed", "job.lost")}


def test_three_silent_owners_in_a_row_make_poison(office: Office) -> None:
    job_id = office.job()
    for _ in range(3):
        lose(office, job_id)
    job = office.read(job_id)
    assert job.state is State.FAILED
    assert job.failure is not None
    assert job.failure["code"] == "poison"


def test_a_late_owner_can_write_nothing(office: Office) -> None:
    job_id = office.job()
    lose(office, job_id)
    with office.database.write() as session:
        second = jobs.claim(session, job_id, worker_id="wrk_second", lease_seconds=60)
    assert second is not None
    for late in (
        lambda session: jobs.beat(session, job_id, 1, 60),
        lambda session: jobs.succeed(session, job_id, 1, summary={}),
        lambda session: jobs.fence(session, job_id, 1, progress={}),
        lambda session: jobs.release(session, job_id, 1, reason="late"),
    ):
        with pytest.raises(OwnershipLost), office.database.write() as session:
            late(session)
    assert office.read(job_id).attempt == 2


def test_a_queued_job_is_cancelled_at_once_and_only_once(office: Office) -> None:
    job_id = office.job()
    with office.database.write() as session:
        cancelled = jobs.request_cancel(session, office.project_id, job_id)
    assert cancelled is not None
    assert cancelled.state is State.CANCELLED
    with office.database.write() as session:
        assert jobs.request_cancel(session, office.project_id, job_id) is None
    assert office.events(job_id) == ["job.created", "job.cancelled"]


def test_a_cancel_of_a_running_job_is_a_wish_that_asking_twice_does_not_change(office: Office) -> None:
    job = office.running()
    for _ in range(2):
        with office.database.write() as session:
            wanted = jobs.request_cancel(session, office.project_id, job.id)
        assert wanted is not None
        assert (wanted.state, wanted.desired_state) == (State.RUNNING, Wish.CANCEL)
    assert office.events(job.id).count("job.cancel_requested") == 1
    with office.database.write() as session:
        assert jobs.beat(session, job.id, job.attempt, 60) is Wish.CANCEL


def test_success_never_overtakes_an_acknowledged_cancel(office: Office) -> None:
    job = office.running()
    with office.database.write() as session:
        jobs.request_cancel(session, office.project_id, job.id)
    with office.database.write() as session:
        assert jobs.succeed(session, job.id, job.attempt, summary={}).state is State.CANCELLED


RACES = pytest.mark.parametrize("races", [50, pytest.param(200, marks=pytest.mark.chaos)])


@RACES
def test_of_a_cancel_and_a_success_at_the_same_time_one_wins(office: Office, races: int) -> None:
    def race(job_id: str) -> tuple[bool, State]:
        def cancel() -> bool:
            with office.database.write() as session:
                return jobs.request_cancel(session, office.project_id, job_id) is not None

        def succeed() -> None:
            with office.database.write() as session:
                jobs.succeed(session, job_id, 1, summary={})

        asked, ended = pool.submit(cancel), pool.submit(succeed)
        ended.result()
        return asked.result(), office.read(job_id).state

    with ThreadPoolExecutor(2) as pool:
        results = [race(office.running().id) for _ in range(races)]
    assert set(results) <= {(True, State.CANCELLED), (False, State.SUCCEEDED)}


@RACES
def test_a_job_that_is_given_back_while_it_is_cancelled_ends_cancelled(office: Office, races: int) -> None:
    def race(job_id: str) -> tuple[bool, State]:
        def cancel() -> bool:
            with office.database.write() as session:
                return jobs.request_cancel(session, office.project_id, job_id) is not None

        def give_back() -> None:
            with office.database.write() as session:
                jobs.release(session, job_id, 1, reason="its worker is leaving")

        asked, given_back = pool.submit(cancel), pool.submit(give_back)
        given_back.result()
        return asked.result(), office.read(job_id).state

    with ThreadPoolExecutor(2) as pool:
        results = {race(office.running().id) for _ in range(races)}
    assert results == {(True, State.CANCELLED)}


def test_a_cancel_that_meets_a_silent_owner_is_done_by_the_reconciler(office: Office) -> None:
    job = office.claimed(lease_seconds=0.001)
    with office.database.write() as session:
        jobs.request_cancel(session, office.project_id, job.id)
    time.sleep(0.01)
    with office.database.write() as session:
        jobs.recover_lost(session, fruitless_limit=3)
    assert office.read(job.id).state is State.CANCELLED


def test_a_job_given_back_is_free_to_be_claimed(office: Office) -> None:
    job = office.running()
    with office.database.write() as session:
        jobs.release(session, job.id, job.attempt, reason="its worker is leaving")
    with office.database.write() as session:
        again = jobs.claim(session, job.id, worker_id="wrk_next", lease_seconds=60)
    assert again is not None
    assert again.attempt == 2


def test_a_trainer_that_dies_in_every_attempt_fails_with_what_was_seen(office: Office) -> None:
    job_id = office.job()
    killed = Failure(FailureCode.OUT_OF_MEMORY, "the trainer was killed")
    for attempt in (1, 2, 3):
        with office.database.write() as session:
            jobs.claim(session, job_id, worker_id="wrk_test", lease_seconds=60)
            jobs.retry(session, job_id, attempt, failure=killed, fruitless_limit=3, rest_seconds=10)
    failure = office.read(job_id).failure
    assert failure is not None
    assert (failure["code"], failure["owner"]) == ("out_of_memory", "user")


def test_a_job_that_fails_again_and_again_rests_longer_each_time_but_not_for_ever(office: Office) -> None:
    job_id, full = office.job(), Failure(FailureCode.STORAGE_FULL, "no room")
    for attempt in range(1, 10):
        with office.database.write() as session:
            jobs.claim(session, job_id, worker_id="wrk_test", lease_seconds=60)
            jobs.retry(session, job_id, attempt, failure=full, fruitless_limit=100, rest_seconds=10)
    with office.database.read() as session:
        events = jobs.events_after(session, job_id, limit=1000)
    rests = [event.data["rest_seconds"] for event in events if event.type == "job.released"]
    assert rests == [10, 20, 40, 80, 160, 320, 600, 600, 600]


def test_a_silent_owner_costs_no_rest(office: Office) -> None:
    job_id = office.job()
    for _ in range(2):
        lose(office, job_id)
    with office.database.write() as session:
        assert turns.claim(session, worker_id="wrk_next", lease_seconds=60, running_jobs=9) is not None


def test_waiting_jobs_are_rung_for_once_in_a_while(office: Office) -> None:
    ids = [office.job() for _ in range(3)]
    with office.database.write() as session:
        assert jobs.unheard(session, older_than=60, limit=2) == ids[:2]
        assert jobs.unheard(session, older_than=60, limit=2) == ids[2:]
        assert jobs.unheard(session, older_than=60, limit=2) == []


def test_pages_follow_each_other_without_gap_or_repeat(office: Office) -> None:
    ids = sorted((office.job() for _ in range(7)), reverse=True)
    with office.database.read() as session:
        first = jobs.page(session, office.project_id, limit=3)[:3]
        second = jobs.page(session, office.project_id, limit=3, after=first[-1].id)
    assert [job.id for job in first + second] == ids


def test_events_are_numbered_without_a_gap(office: Office) -> None:
    job = office.running()
    with office.database.write() as session:
        jobs.fail(session, job.id, job.attempt, Failure(FailureCode.DIVERGED, "loss is NaN"))
    with office.database.read() as session:
        events = jobs.events_after(session, job.id)
        assert [event.sequence for event in events] == [1, 2, 3, 4]
        assert [event.sequence for event in jobs.events_after(session, job.id, 2)] == [3, 4]


def test_another_project_finds_no_job(office: Office) -> None:
    job_id = office.job()
    with office.database.write() as session:
        assert jobs.get(session, "prj_other", job_id) is None
        assert jobs.request_cancel(session, "prj_other", job_id) is None
    assert office.read(job_id).state is State.QUEUED


@pytest.mark.parametrize("name", TRANSITIONS)
def test_only_the_user_takes_an_end_back(name: str) -> None:
    transition = TRANSITIONS[name]
    if any(source.is_terminal for source in transition.sources):
        assert (transition.target, transition.actors) == (State.QUEUED, frozenset({"user"}))
    assert transition.target.is_terminal or transition.target in OWNED | {State.QUEUED, State.PAUSED}
