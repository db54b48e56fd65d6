"""What has no row goes, what has one stays: also while a job is being worked on."""

import threading
from contextlib import suppress
from pathlib import Path

import pytest
from sqlalchemy import select, update

from models import checkpoints, discarded, jobs
from models.checkpoints import Saved
from models.clock import now_plus
from models.discarded import GRACE_SECONDS
from models.ownership import OwnershipLost
from models.settings import Settings
from models.storage import Storage, open_storage
from models.tables import Checkpoint, Discarded
from tests.models.conftest import Office


@pytest.fixture
def store(tmp_path: Path) -> Storage:
    return open_storage(Settings(database_url="sqlite://", storage_url=f"file://{tmp_path}/store"))


def put(store: Storage, key: str) -> None:
    writer = store.writer(key)
    writer.write(key.encode())
    writer.commit()


def saved(job_id: str, attempt: int, step: int) -> Saved:
    keys = checkpoints.weights_key(job_id, attempt, step, "step"), checkpoints.state_key(job_id, attempt, step, "step")
    return Saved("step", step, 0, False, {}, keys[0], "0" * 64, 1, keys[1], "0" * 64)


def later(office: Office) -> None:
    """Nobody who does not know that an attempt is over can be writing any more."""
    with office.database.write() as session:
        session.execute(update(Discarded).values(discarded_at=now_plus(-GRACE_SECONDS - 1)))


def collect(office: Office, store: Storage) -> None:
    with office.database.read() as session:
        prefixes = discarded.overdue(session, limit=100)
    for prefix in prefixes:
        discarded.sweep(office.database, store, prefix)
        with office.database.write() as session:
            discarded.forget(session, prefix)


def test_what_an_attempt_left_without_a_row_goes_and_the_rest_stays(office: Office, store: Storage) -> None:
    job = office.running()
    visible, orphan = saved(job.id, 1, 1), saved(job.id, 1, 2)
    for key in (visible.weights_key, visible.state_key, orphan.weights_key):
        assert key is not None
        put(store, key)
    with office.database.write() as session:
        checkpoints.record(session, job.id, 1, visible)
    later(office)
    collect(office, store)
    assert len(list(store.keys("jobs"))) == 3, "its owner may be about to make it visible"
    with office.database.write() as session:
        jobs.release(session, job.id, 1, reason="its worker is leaving")
    later(office)
    collect(office, store)
    assert sorted(store.keys("jobs")) == sorted(filter(None, (visible.weights_key, visible.state_key)))
    with office.database.read() as session:
        assert session.scalars(select(Discarded)).all() == []


def test_pruning_what_an_earlier_attempt_saved_forgets_nothing(office: Office, store: Storage) -> None:
    """The worker is killed between the commit and the deletion."""
    job = office.running()
    earlier = saved(job.id, 1, 1)
    with office.database.write() as session:
        checkpoints.record(session, job.id, 1, earlier)
        put(store, earlier.weights_key)
        jobs.release(session, job.id, 1, reason="its worker is leaving")
    later(office)
    collect(office, store)
    with office.database.write() as session:
        assert jobs.claim(session, job.id, worker_id="wrk_b", lease_seconds=60) is not None
        for step in (2, 3):
            checkpoints.record(session, job.id, 2, saved(job.id, 2, step))
        assert earlier.weights_key in checkpoints.prune(session, job.id, 2, keep_last=1)
    later(office)
    collect(office, store)
    assert list(store.keys("jobs")) == []


def test_a_collector_that_races_with_owners_takes_nothing_that_is_visible(office: Office, store: Storage) -> None:
    """Attempt after attempt saves, and is taken from its owner, while a collector has no patience at all."""
    job_id, over = office.job(), threading.Event()

    def collect_all_the_while() -> None:
        while not over.is_set():
            later(office)
            collect(office, store)

    collector = threading.Thread(target=collect_all_the_while)
    collector.start()
    try:
        for attempt in range(1, 21):
            with office.database.write() as session:
                assert jobs.claim(session, job_id, worker_id="wrk_a", lease_seconds=60) is not None
            save(office, store, job_id, attempt, 1)
            late = threading.Thread(target=save, args=(office, store, job_id, attempt, 2))
            late.start()
            with office.database.write() as session:
                jobs.release(session, job_id, attempt, reason="its worker is leaving")
            late.join()
    finally:
        over.set()
        collector.join()
    with office.database.read() as session:
        rows = session.scalars(select(Checkpoint)).all()
    assert len(rows) >= 20
    visible = {key for row in rows for key in (row.weights_key, row.state_key)}
    assert visible <= set(store.keys("jobs"))


def save(office: Office, store: Storage, job_id: str, attempt: int, step: int) -> None:
    one = saved(job_id, attempt, 10 * attempt + step)
    assert one.state_key is not None
    put(store, one.weights_key)
    put(store, one.state_key)
    with suppress(OwnershipLost), office.database.write() as session:
        checkpoints.record(session, job_id, attempt, one)
