"""The reconciler outlives its bad rounds."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from models.queue import Bell
from models.settings import Settings
from worker.reconcile import Reconciler
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
