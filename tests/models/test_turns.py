"""Projects take turns, and none runs more than it may: with real claims, one after the other and all at once."""

import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from models import datasets, jobs, projects, turns
from models.ids import new_id
from models.projects import Limits
from models.tables import Job
from tests.models.conftest import Office

UNLIMITED = Limits()


def project_with(office: Office, queued: int, limits: Limits = UNLIMITED) -> str:
    with office.database.write() as session:
        name = f"project {len(projects.managed(session, 'prj_none'))} {queued} {limits}"
        project = projects.create_project(session, name, limits=limits)
        dataset = datasets.create(session, project_id=project.id, name="digits")
        session.add_all(
            Job(
                id=new_id("job"),
                project_id=project.id,
                dataset_id=dataset.id,
                spec={},
                resolved_spec={},
                spec_sha256="0" * 64,
            )
            for _ in range(queued)
        )
    return project.id


def claim(office: Office, running_jobs: int = 1000) -> Job | None:
    with office.database.write() as session:
        return turns.claim(session, worker_id="wrk", lease_seconds=60, running_jobs=running_jobs)


def take(office: Office) -> Job:
    job = claim(office)
    assert job is not None
    return job


def finish(office: Office, job: Job) -> None:
    with office.database.write() as session:
        jobs.start(session, job.id, job.attempt, environment={}, start_step=0, data={})
        jobs.succeed(session, job.id, job.attempt, summary={})


def test_a_thousand_jobs_do_not_starve_one_on_a_single_worker(office: Office) -> None:
    crowd = project_with(office, 1000)
    finish(office, take(office))
    lone = project_with(office, 1)
    finish(office, second := take(office))
    assert second.project_id == lone
    assert take(office).project_id == crowd


def test_projects_take_turns_however_many_jobs_they_have(office: Office) -> None:
    made = [project_with(office, queued) for queued in (50, 5, 20)]
    served = []
    for _ in range(15):
        job = take(office)
        served.append(job.project_id)
        finish(office, job)
    assert Counter(served) == dict.fromkeys(made, 5)
    assert all(set(served[start : start + 3]) == set(made) for start in range(0, 15, 3))


def test_who_runs_less_is_served_first(office: Office) -> None:
    crowd = project_with(office, 50)
    for _ in range(4):
        take(office)
    other = project_with(office, 10)
    assert [take(office).project_id for _ in range(4)] == [other] * 4
    assert Counter(take(office).project_id for _ in range(6)) == {crowd: 3, other: 3}


def test_within_a_project_the_oldest_comes_first(office: Office) -> None:
    project_with(office, 5)
    ids = [take(office).id for _ in range(5)]
    assert ids == sorted(ids)
    assert claim(office) is None


@pytest.mark.parametrize("of_its_own", [True, False])
def test_a_project_runs_as_many_as_it_may(office: Office, of_its_own: bool) -> None:
    project_with(office, 5, Limits(running_jobs=2) if of_its_own else Limits())
    first, second = (claim(office, running_jobs=9 if of_its_own else 2) for _ in range(2))
    assert first is not None
    assert second is not None
    assert claim(office, running_jobs=9 if of_its_own else 2) is None
    finish(office, first)
    assert claim(office, running_jobs=9 if of_its_own else 2) is not None


def test_twenty_at_once_never_overrun_a_limit_and_miss_nobody(office: Office) -> None:
    limited, free = project_with(office, 30, Limits(running_jobs=3)), project_with(office, 10)
    with ThreadPoolExecutor(20) as workers:
        claimed = [job for job in workers.map(lambda _: claim(office), range(40)) if job is not None]
    assert len({job.id for job in claimed}) == len(claimed)
    assert Counter(job.project_id for job in claimed) == {limited: 3, free: 10}


def test_a_job_that_was_put_off_is_left_in_peace_and_not_rung_for(office: Office) -> None:
    job = office.claimed()
    with office.database.write() as session:
        jobs.release(session, job.id, job.attempt, reason="the store is away", rest_seconds=0.2)
        assert jobs.unheard(session, older_than=0, limit=1) == []
    assert claim(office) is None
    time.sleep(0.25)
    with office.database.write() as session:
        assert jobs.unheard(session, older_than=0, limit=1) == [job.id]
    assert claim(office) is not None


@pytest.mark.parametrize("how", [jobs.request_resume, jobs.request_retry])
def test_whoever_wants_a_job_now_ends_its_rest(office: Office, how: Callable[..., Job | None]) -> None:
    job = office.claimed()
    with office.database.write() as session:
        jobs.release(session, job.id, job.attempt, reason="the store is away", rest_seconds=60)
        before = jobs.request_pause if how is jobs.request_resume else jobs.request_cancel
        before(session, office.project_id, job.id)
        assert how(session, office.project_id, job.id) is not None
    assert claim(office) is not None


def test_who_waits_knows_how_many_turns_are_ahead(office: Office) -> None:
    crowd, lone = project_with(office, 10), project_with(office, 1)
    with office.database.read() as session:
        ids = {
            project: [job.id for job in jobs.page(session, project, newest_first=False)] for project in (crowd, lone)
        }
        positions, slots = turns.queue(session, [ids[crowd][0], ids[crowd][9], ids[lone][0]], 60)
    assert slots == (0, 0)
    assert positions == {ids[crowd][0]: 0, ids[lone][0]: 1, ids[crowd][9]: 10}


def test_who_waits_far_behind_has_no_place_yet(office: Office) -> None:
    crowd, lone = project_with(office, turns.TURNS_COUNTED + 1), project_with(office, 1)
    with office.database.read() as session:
        last_of_each = [jobs.page(session, project, limit=1)[0].id for project in (crowd, lone)]
        assert turns.queue(session, last_of_each, 60)[0] == {last_of_each[1]: 1}
        assert turns.queue(session, last_of_each[:1], 60)[0] == {}
