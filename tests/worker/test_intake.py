"""An upload becomes a packed data set: through the real sandbox, database and store."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest

from models import datasets, jobs, projects
from models.queue import Bell
from models.settings import Settings
from models.states import DatasetState
from models.storage import Storage, open_storage, put_file
from models.tables import Dataset, UploadPart
from tests.worker.ingest.uploads import folder, zipped
from worker import cache
from worker.intake import limits_of, run_ingest
from worker.reconcile import reconcile
from worker.site import Site


@pytest.fixture
def site(sqlite_url: str, tmp_path: Path) -> Iterator[Site]:
    settings = Settings(database_url=sqlite_url, storage_url=f"file://{tmp_path}/objects", cache_dir=tmp_path / "cache")
    site = Site(settings, Bell(settings))
    yield site
    site.close()


def nowhere() -> Storage:
    """A store that does not answer."""
    settings = Settings(database_url="sqlite://", storage_url="s3://bucket", s3_endpoint="http://127.0.0.1:1",
                        s3_access_key_id="id", s3_secret_access_key="secret")  # fmt: skip
    return open_storage(settings)


def upload(site: Site, file: Path) -> str:
    stored = put_file(site.storage, f"uploads/{file.name}", file)
    with site.database.write() as session:
        project = projects.create_project(session, file.name)
        dataset = datasets.create(session, project_id=project.id, name=file.stem)
        datasets.uploaded(
            session,
            dataset.id,
            filename=file.name,
            key=f"uploads/{file.name}",
            size=stored.bytes,
            sha256=stored.sha256,
        )
    return dataset.id


def read(site: Site, dataset_id: str) -> Dataset:
    with site.database.read() as session:
        dataset = datasets.find(session, dataset_id)
    assert dataset is not None
    return dataset


def vectors(folder: Path) -> Path:
    file = folder / "vectors.npz"
    inputs = np.arange(40, dtype=np.float32).reshape(10, 4)
    np.savez(file, train_inputs=inputs, train_targets=np.arange(10) % 2)
    return file


def test_an_upload_is_packed_stored_and_cached(site: Site, tmp_path: Path) -> None:
    dataset_id = upload(site, vectors(tmp_path))
    run_ingest(site, dataset_id)
    dataset = read(site, dataset_id)
    assert dataset.state is DatasetState.READY, dataset.failure
    assert dataset.content_sha256 is not None
    assert cache.cached(site, dataset.content_sha256).is_dir()
    prefix = datasets.packed_prefix(dataset_id, dataset.content_sha256)
    assert f"{prefix}/manifest.json" in list(site.storage.keys(prefix))


def reviews(folder: Path) -> Path:
    file = folder / "reviews.parquet"
    texts = [f"film {number} " * 50 for number in range(10)]
    pyarrow.parquet.write_table(pyarrow.table({"review": texts, "liked": [0, 1] * 5}), file)
    return file


@pytest.mark.parametrize("make", [vectors, reviews])
def test_a_worker_without_the_data_fetches_and_verifies_them(
    site: Site, tmp_path: Path, make: Callable[[Path], Path]
) -> None:
    dataset_id = upload(site, make(tmp_path))
    run_ingest(site, dataset_id)
    dataset = read(site, dataset_id)
    assert dataset.content_sha256 is not None, dataset.failure
    place = cache.cached(site, dataset.content_sha256)
    before = {file.name: file.read_bytes() for file in place.iterdir()}
    place.rename(tmp_path / "elsewhere")
    folder = cache.packed(site, dataset, tmp_path, lambda: None).folder
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before


def test_an_operator_sets_limits(site: Site) -> None:
    sizes = {"upload_max_bytes": 2**20, "ingest_memory_bytes": 2**28, "ingest_packed_bytes": 2**21, "ingest_ratio": 3}
    counts = {"ingest_vocabulary": 1000, "ingest_entries": 7, "ingest_image_pixels": 8, "ingest_columns": 9}
    more = {"ingest_entry_bytes": 2**11, "ingest_cell_bytes": 10}
    limits = limits_of(site.settings.model_copy(update=sizes | counts | more))
    assert (limits.entries, limits.image_pixels, limits.columns) == (7, 8, 9)
    assert (limits.entry_bytes, limits.cell_bytes) == (2**11, 10)
    assert (limits.upload_bytes, limits.memory_bytes, limits.packed_bytes) == (2**20, 2**28, 2**21)
    assert (limits.ratio, limits.vocabulary) == (3, 1000)


@pytest.mark.parametrize(
    ("setting", "allowed", "code"),
    [
        ("ingest_entries", 2, "too_many_entries"),
        ("ingest_entry_bytes", 1024, "entry_too_large"),
        ("ingest_image_pixels", 1024, "image_too_large"),
    ],
)
def test_an_archive_beyond_what_the_operator_allows_is_refused(
    site: Site, tmp_path: Path, setting: str, allowed: int, code: str
) -> None:
    site.settings = site.settings.model_copy(update={setting: allowed})
    dataset_id = upload(site, zipped(tmp_path / "a.zip", folder(width=64, height=64)))
    run_ingest(site, dataset_id)
    assert (read(site, dataset_id).failure or {})["code"] == code


def test_an_upload_of_parts_is_taken_in_as_one_file(site: Site, tmp_path: Path) -> None:
    content = vectors(tmp_path).read_bytes()
    dataset_id = upload(site, vectors(tmp_path))
    keys = [f"datasets/{dataset_id}/uploads/{number}" for number in (1, 2)]
    for key, part in zip(keys, (content[:500], content[500:]), strict=True):
        (tmp_path / "part").write_bytes(part)
        put_file(site.storage, key, tmp_path / "part")
    with site.database.write() as session:
        dataset = session.get_one(Dataset, dataset_id)
        dataset.upload_key = None
        for number, key in enumerate(keys, 1):
            session.add(UploadPart(dataset_id=dataset_id, number=number, key=key, bytes=1, sha256="0" * 64))
    run_ingest(site, dataset_id)
    assert read(site, dataset_id).state is DatasetState.READY


def test_a_refused_upload_says_why_and_leaves_no_file(site: Site, tmp_path: Path) -> None:
    ragged = tmp_path / "ragged.csv"
    ragged.write_text("a,b\n1,2\n1,2,3\n")
    dataset_id = upload(site, ragged)
    run_ingest(site, dataset_id)
    dataset = read(site, dataset_id)
    assert dataset.state is DatasetState.FAILED
    assert dataset.failure is not None
    assert (dataset.failure["code"], dataset.failure["row"]) == ("ragged_row", 3)
    left = {path.suffix for path in (tmp_path / "cache" / "scratch").rglob("*") if path.is_file()}
    assert left == {".lock"}


def test_an_upload_whose_bytes_changed_in_the_store_is_refused(site: Site, tmp_path: Path) -> None:
    dataset_id = upload(site, vectors(tmp_path))
    put_file(site.storage, "uploads/vectors.npz", tmp_path / "trainwright.db")
    run_ingest(site, dataset_id)
    failure = read(site, dataset_id).failure
    assert failure is not None
    assert failure["code"] == "upload_damaged"


def test_a_store_that_is_away_puts_an_ingest_off(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset_id = upload(site, vectors(tmp_path))
    monkeypatch.setattr(site, "storage", nowhere())
    run_ingest(site, dataset_id)
    dataset = read(site, dataset_id)
    assert (dataset.state, dataset.fruitless_attempts) == (DatasetState.QUEUED, 0)
    with site.database.write() as session:
        assert datasets.unheard(session, older_than=60, limit=1) == [], "workers are left in peace for a while"


def test_a_second_doorbell_does_nothing(site: Site, tmp_path: Path) -> None:
    dataset_id = upload(site, vectors(tmp_path))
    run_ingest(site, dataset_id)
    run_ingest(site, dataset_id)
    assert read(site, dataset_id).attempt == 1


def test_the_scratch_of_a_dead_worker_is_cleared_away(tmp_path: Path, sqlite_url: str) -> None:
    scratch = tmp_path / "cache" / "scratch"
    (scratch / "dead" / "job_1-1").mkdir(parents=True)
    (scratch / "dead.lock").touch()
    settings = Settings(database_url=sqlite_url, storage_url=f"file://{tmp_path}/objects", cache_dir=tmp_path / "cache")
    first, second = Site(settings, Bell(settings)), Site(settings, Bell(settings))
    assert not (scratch / "dead").exists()
    assert len(list(scratch.glob("*.lock"))) == 2, "the living one's is left alone"
    first.close()
    second.close()


def test_a_round_of_the_reconciler_reports_the_worker(site: Site) -> None:
    reconcile(site)
    with site.database.read() as session:
        assert [worker.id for worker in jobs.workers(session, 60)] == [site.id]
