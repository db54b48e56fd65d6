"""A preview that cannot be made says why; one that was interrupted is made by another."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import pytest
from sqlalchemy import update

from models import datasets, previews
from models.queue import Bell
from models.settings import Settings
from models.states import ExportState
from models.tables import Dataset, Preview
from tests.api.conftest import MANIFEST
from tests.models.conftest import Office, office
from tests.models.spec.specs import raw
from worker import previewing, warm
from worker.cache import Packed
from worker.order import PreviewOrder
from worker.previewing import run_preview
from worker.site import Site

__all__ = ["office"]


@pytest.fixture(scope="module")
def _processes(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What they are forked from."""
    warm.start_server(1, tmp_path_factory.mktemp("warm"))


@pytest.fixture
def site(sqlite_url: str, tmp_path: Path) -> Iterator[Site]:
    settings = Settings(database_url=sqlite_url, storage_url=f"file://{tmp_path}/objects", cache_dir=tmp_path / "c")
    site = Site(settings, Bell(settings))
    yield site
    site.close()


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    return sqlite_url


def asked(office: Office, kind: previews.Kind = "schedule") -> str:
    ready = {"manifest": MANIFEST.model_dump(mode="json"), "content_sha256": "1" * 64}
    with office.database.write() as session:
        session.execute(update(Dataset).values(**ready))
        dataset = datasets.find(session, office.dataset_id)
        assert dataset is not None
        session.refresh(dataset)
        return previews.ask(session, office.project_id, kind, dataset=dataset, resolved=raw())[0].id


def row_of(office: Office, preview_id: str) -> Preview:
    with office.database.read() as session:
        row = previews.get(session, office.project_id, preview_id)
    assert row is not None
    return row


@pytest.mark.usefixtures("_processes")
def test_a_process_of_its_own_makes_it(site: Site, office: Office) -> None:
    preview_id = asked(office)
    assert run_preview(site)
    assert not run_preview(site), "there is no other"
    row = row_of(office, preview_id)
    assert row.state == ExportState.READY
    assert (row.result or {})["total_steps"] == 8


@pytest.mark.usefixtures("_processes")
def test_what_takes_too_long_is_ended(site: Site, office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(previewing, "SECONDS", 0)
    monkeypatch.setattr("worker.cache.packed", lambda *_: Packed(Path("/nowhere"), Path("/nowhere")))
    preview_id = asked(office, "initialization")
    monkeypatch.setattr(warm, "_preview", _sleep)
    run_preview(site)
    row = row_of(office, preview_id)
    assert (row.state, row.failure) == (ExportState.FAILED, {"reason": "it took longer than 0 seconds"})


def _sleep(*_: object) -> None:
    import time

    time.sleep(60)


@pytest.mark.usefixtures("_processes")
def test_what_goes_wrong_is_told(site: Site, office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.cache.packed", lambda *_: Packed(Path("/nowhere"), Path("/nowhere")))
    preview_id = asked(office, "augmentation")
    run_preview(site)
    assert "FileNotFoundError" in (row_of(office, preview_id).failure or {})["reason"]


def test_data_that_are_missing_are_told(site: Site, office: Office) -> None:
    preview_id = asked(office, "augmentation")
    run_preview(site)
    assert "missing or damaged" in (row_of(office, preview_id).failure or {})["reason"]


def test_one_that_is_interrupted_is_left_to_another(
    site: Site, office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    def leave(order: PreviewOrder, look: Callable[[], None]) -> NoReturn:
        site.leave()
        look()
        raise AssertionError("it goes on")

    monkeypatch.setattr("worker.warm.preview", leave)
    preview_id = asked(office)
    assert not run_preview(site)
    row = row_of(office, preview_id)
    assert (row.state, row.worker_id, row.attempt) == (ExportState.QUEUED, None, 1)
