"""What Prometheus is told is what happened."""

import threading
from pathlib import Path
from urllib.request import urlopen

import pytest
from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from models import storage
from models.database import OUTAGES, Database
from models.failpoints import ask
from models.ownership import OwnershipLost
from models.queue import Bell
from models.settings import Settings
from models.storage import open_storage, put_file
from tests.models.conftest import Office, office
from tests.worker.test_run import Quick
from worker.figures import tell
from worker.lease import Lease
from worker.run import run_job
from worker.site import Site

__all__ = ["office"]


def settings_for(tmp_path: Path, database_url: str) -> Settings:
    return Settings(
        database_url=database_url, storage_url=f"file://{tmp_path}/objects", cache_dir=tmp_path / "c", metrics_port=0
    )


def test_the_queue_and_the_workers_are_told(office: Office, database_url: str, tmp_path: Path) -> None:
    office.job()
    office.job()
    office.running()
    port = tell(office.database, settings_for(tmp_path, database_url), CollectorRegistry())
    with urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        families = text_string_to_metric_families(answer.read().decode())
    told = {(sample.name, *sample.labels.values()): sample.value for family in families for sample in family.samples}
    assert {name[1]: value for name, value in told.items() if name[0] == "trainwright_jobs"} == {
        "queued": 2, "starting": 0, "running": 1, "paused": 0,
    }  # fmt: skip
    assert 0 <= told[("trainwright_queue_age_seconds",)] < 60
    assert told[("trainwright_workers",)] == 0


def test_an_attempt_is_counted_by_how_it_ended(
    office: Office, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def count() -> float:
        return REGISTRY.get_sample_value("trainwright_attempts_total", {"outcome": "failed"}) or 0

    monkeypatch.setattr("worker.run.provide", lambda *_: (None, None))
    settings = settings_for(tmp_path, database_url)
    site, before = Site(settings, Bell(settings)), count()
    monkeypatch.setattr(site.trainers, "begin", Quick)
    office.job()
    run_job(site)
    site.close()
    assert count() == before + 1


def test_a_database_that_cannot_be_used_is_counted(tmp_path: Path) -> None:
    before = REGISTRY.get_sample_value("trainwright_database_errors_total") or 0
    database = Database(settings_for(tmp_path, f"sqlite:///{tmp_path}/empty"))
    with pytest.raises(OUTAGES):
        database.check()
    database.close()
    assert REGISTRY.get_sample_value("trainwright_database_errors_total") == before + 1


def test_a_lease_that_is_lost_is_counted() -> None:
    def taken() -> None:
        raise OwnershipLost

    before, lost = REGISTRY.get_sample_value("trainwright_leases_lost_total") or 0, threading.Event()
    with Lease(taken, heartbeat=0.01, lease_seconds=60, on_lost=lost.set):
        assert lost.wait(5)
    assert REGISTRY.get_sample_value("trainwright_leases_lost_total") == before + 1


def test_a_store_that_refuses_is_counted(tmp_path: Path) -> None:
    def count() -> float:
        return REGISTRY.get_sample_value("trainwright_store_errors_total") or 0

    before = count()
    (tmp_path / "file").write_bytes(b"x")
    ask("store.call=raise")
    try:
        with pytest.raises(storage.OUTAGES):
            put_file(open_storage(settings_for(tmp_path, "sqlite://")), "a", tmp_path / "file")
    finally:
        ask("")
    assert count() == before + 1
