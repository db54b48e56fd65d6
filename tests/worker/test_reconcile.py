"""The reconciler outlives its bad rounds."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from models.clock import now_plus
from models.discarded import GRACE_SECONDS
from models.queue import Bell
from models.settings import Settings
from models.tables import Discarded
from worker.reconcile import Reconciler, reconcile
from worker.site import Site


@pytest.fixture
def site(sqlite_url: str, tmp_path: Path) -> Iterator[Site]:
    settings = Settings(
        database_url=sqlite_url,
        storage_url=f"file://{tmp_path}/objects",
        cache_dir=tmp_path / "cache",
        reconcile_seconds=0.02,
    )
    site = Site(settings, Bell(settings))
    yield site
    site.close()


def test_a_round_that_goes_wrong_is_not_the_last_one(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    rounds, again = iter(range(10_000)), threading.Event()

    def go_wrong_first(_: Site) -> None:
        if next(rounds) == 0:
            raise KeyError
        again.set()

    monkeypatch.setattr("worker.reconcile.reconcile", go_wrong_first)
    reconciler = Reconciler(site)
    reconciler.start()
    assert again.wait(5)
    reconciler.stop()


def test_what_deleted_jobs_left_in_the_store_is_cleared_away(site: Site) -> None:
    """The API ended between its commit and the deletion, and a late owner wrote once more."""
    for key in ("jobs/job_a/attempt-1/x", "jobs/job_ab/y"):
        writer = site.storage.writer(key)
        writer.write(b"x")
        writer.commit()
    with site.database.write() as session:
        session.add(Discarded(prefix="jobs/job_a", discarded_at=now_plus(-GRACE_SECONDS - 1)))
        session.add(Discarded(prefix="jobs/job_ab"))
    reconcile(site)
    assert list(site.storage.keys("jobs")) == ["jobs/job_ab/y"]
    with site.database.read() as session:
        assert session.scalars(select(Discarded.prefix)).all() == ["jobs/job_ab"]
