"""A supervisor whose ground gives way says so on the job's row, and gives the job back at once."""

import errno
import multiprocessing
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest
from obstore.exceptions import GenericError

from models import jobs
from models.queue import Bell
from models.settings import Settings
from models.states import FailureCode, State
from tests.models.conftest import Office, office
from worker.run import run_job
from worker.site import Site

__all__ = ["office"]


@pytest.fixture
def site(database_url: str, tmp_path: Path) -> Iterator[Site]:
    settings = Settings(
        database_url=database_url,
        storage_url=f"file://{tmp_path}/objects",
        cache_dir=tmp_path / "c",
        rest_seconds=0.01,
    )
    site = Site(settings, Bell(settings))
    yield site
    site.close()


def run(site: Site, office: Office, monkeypatch: pytest.MonkeyPatch, error: Exception, times: int) -> str:
    def give_way(*_: object) -> NoReturn:
        raise error

    monkeypatch.setattr("worker.run.provide", give_way)
    job_id = office.job()
    for _ in range(times):
        run_job(site)
        time.sleep(0.05)
    return job_id


class Quick:
    """A trainer that is done at once."""

    was_killed = False
    says = "diverged"

    def __init__(self, _: object) -> None:
        self.words: list[dict[str, Any]] = [{"type": "failed", "code": self.says, "message": "", "advice": None}]
        self.output, theirs = multiprocessing.Pipe(duplex=False)
        theirs.close()

    def hear(self, _seconds: float) -> dict[str, Any]:
        if self.was_killed:
            raise EOFError
        return self.words.pop()

    def tell(self, word: str) -> None: ...

    def kill(self) -> None:
        self.was_killed = True

    def close(self) -> int:
        return -9


def test_getting_ready_is_no_stalling(site: Site, office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(site, "settings", site.settings.model_copy(update={"stall_seconds": 0.05}))

    def take_a_while(*_: object) -> tuple[None, None]:
        time.sleep(0.2)
        return None, None

    monkeypatch.setattr("worker.run.provide", take_a_while)
    monkeypatch.setattr(site.trainers, "begin", Quick)
    job_id = office.job()
    run_job(site)
    with office.database.read() as session:
        assert [attempt.outcome for attempt in jobs.attempts(session, job_id)] == ["failed: diverged"]


@pytest.mark.parametrize("code", FailureCode)
def test_what_may_pass_is_tried_again_and_nothing_else_is(
    site: Site, office: Office, monkeypatch: pytest.MonkeyPatch, code: FailureCode
) -> None:
    monkeypatch.setattr("worker.run.provide", lambda *_: (None, None))
    monkeypatch.setattr(site.trainers, "begin", type("Failing", (Quick,), {"says": code.value}))
    job_id = office.job()
    run_job(site)
    job = office.read(job_id)
    assert job.state is (State.QUEUED if code in {"device_error", "storage_full"} else State.FAILED)
    assert (job.not_before is not None) == (job.state is State.QUEUED), "and not at once"


def test_a_store_that_is_away_costs_a_job_nothing_but_time(
    site: Site, office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = run(site, office, monkeypatch, GenericError("HTTP error"), times=5)
    job = office.read(job_id)
    assert (job.state, job.attempt, job.fruitless_attempts) == (State.QUEUED, 5, 0)


@pytest.mark.parametrize(
    ("error", "code"), [(OSError(errno.ENOSPC, "no room"), "storage_full"), (KeyError("x"), "internal")]
)
def test_what_stands_in_the_way_is_tried_again_and_then_said(
    site: Site, office: Office, monkeypatch: pytest.MonkeyPatch, error: Exception, code: str
) -> None:
    job_id = run(site, office, monkeypatch, error, times=2)
    assert office.read(job_id).state is State.QUEUED
    time.sleep(0.05)
    run_job(site)
    job = office.read(job_id)
    assert job.state is State.FAILED
    assert job.failure is not None
    assert job.failure["code"] == code


@pytest.mark.parametrize("why", ["cancel", "pause", "leave"])
def test_a_job_that_still_fetches_its_data_hears_what_is_wanted(
    site: Site, office: Office, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    settings = site.settings.model_copy(update={"heartbeat_seconds": 0.05})
    monkeypatch.setattr(site, "settings", settings)

    def fetch_for_ever(*given: Any) -> NoReturn:
        look = given[-1]
        ask = {"cancel": jobs.request_cancel, "pause": jobs.request_pause}.get(why)
        if ask is None:
            site.leave()
        else:
            with office.database.write() as session:
                ask(session, office.project_id, job_id)
        while True:
            look()
            time.sleep(0.01)

    monkeypatch.setattr("worker.run.provide", fetch_for_ever)
    job_id = office.job()
    run_job(site)
    ends = {"cancel": State.CANCELLED, "pause": State.PAUSED, "leave": State.QUEUED}
    assert office.read(job_id).state is ends[why]
