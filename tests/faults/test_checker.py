"""The checker finds what should not be: each invariant, broken on purpose."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import delete, update

from models import checkpoints, jobs, metrics, projects
from models.checkpoints import Saved
from models.database import Session
from models.settings import Settings
from models.states import State
from models.storage import Storage, open_storage, put_file
from models.tables import Attempt, Checkpoint, Event, IdempotentReply, Job, MetricChunk
from tests.faults.checker import leftovers, strays, violations
from tests.models.conftest import Office, office

__all__ = ["office"]


@pytest.fixture
def store(tmp_path: Path) -> Storage:
    return open_storage(Settings(database_url="sqlite://", storage_url=f"file://{tmp_path}/store"))


@pytest.fixture
def job_id(office: Office, store: Storage, tmp_path: Path) -> str:
    """A job that has succeeded, with two steps and a checkpoint."""
    job = office.running()
    (tmp_path / "weights").write_bytes(b"weights")
    stored = put_file(store, checkpoints.weights_key(job.id, 1, 2, "last"), tmp_path / "weights")
    key = checkpoints.weights_key(job.id, 1, 2, "last")
    saved = Saved("last", 2, 1, True, {}, key, stored.sha256, stored.bytes, None, None)
    with office.database.write() as session:
        metrics.append(session, job.id, 1, "step", {"step": [1, 2], "train/loss": [1.0, 0.5]}, {"step": 2, "epoch": 1})
        told: dict[str, list[float]] = {"step": [2], "epoch": [1], "train/loss": [0.5]}
        metrics.append(session, job.id, 1, "epoch", told, {"step": 2, "epoch": 1})
        checkpoints.record(session, job.id, 1, saved)
        jobs.succeed(session, job.id, 1, summary={})
    return job.id


def lose_it(session: Session) -> None:
    session.execute(delete(Job))


def leave_it_running(session: Session) -> None:
    session.execute(update(Job).values(state=State.RUNNING))


def end_it_twice(session: Session) -> None:
    session.execute(update(Event).where(Event.type == "job.started").values(type="job.failed"))


def skip_an_event(session: Session) -> None:
    session.execute(delete(Event).where(Event.type == "job.started"))


def go_back(session: Session) -> None:
    session.execute(update(Event).where(Event.type == "job.claimed").values(attempt=2))


def forget_an_attempt(session: Session) -> None:
    session.execute(delete(Attempt))


def leave_an_attempt_open(session: Session) -> None:
    session.execute(update(Attempt).values(ended_at=None))


def point_nowhere(session: Session) -> None:
    session.execute(update(Checkpoint).values(weights_key="jobs/nowhere"))


def promise_other_bytes(session: Session) -> None:
    session.execute(update(Checkpoint).values(weights_sha256="0" * 64))


def forget_the_steps(session: Session) -> None:
    session.execute(delete(MetricChunk).where(MetricChunk.interval == "step"))


def forget_the_epochs(session: Session) -> None:
    session.execute(delete(MetricChunk).where(MetricChunk.interval == "epoch"))


@pytest.mark.parametrize(
    ("spoil", "invariant"),
    [
        (lose_it, "I1"),
        (leave_it_running, "I1"),
        (end_it_twice, "I2"),
        (skip_an_event, "I2"),
        (go_back, "I3"),
        (forget_an_attempt, "I3"),
        (leave_an_attempt_open, "I3"),
        (point_nowhere, "I4"),
        (promise_other_bytes, "I4"),
        (forget_the_steps, "I8"),
        (forget_the_epochs, "I8"),
    ],
)
def test_what_is_broken_is_found(
    office: Office, store: Storage, job_id: str, spoil: Callable[[Session], None], invariant: str
) -> None:
    assert violations(office.database, store, [job_id]) == []
    with office.database.write() as session:
        spoil(session)
    found = violations(office.database, store, [job_id])
    assert invariant in {line.partition(":")[0] for line in found}, found


def test_two_keys_of_one_job_are_found(office: Office, store: Storage, job_id: str) -> None:
    with office.database.write() as session:
        key = projects.create_key(session, office.project_id, name="a key", scope="submit")[0]
        for name in ("a", "b"):
            session.add(IdempotentReply(api_key_id=key.id, key=name, fingerprint="", body={"id": job_id}))
    (found,) = violations(office.database, store, [job_id])
    assert found.startswith("I6")


def test_what_is_left_lying_about_is_found(tmp_path: Path) -> None:
    for name in (".part-1", ".step-1.safetensors.7.tmp", "step-1.safetensors"):
        (tmp_path / name).touch()
    assert sorted(leftovers(tmp_path)) == [str(tmp_path / ".part-1"), str(tmp_path / ".step-1.safetensors.7.tmp")]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the environment of other processes")
def test_a_process_that_was_left_is_found(tmp_path: Path) -> None:
    with subprocess.Popen(["sleep", "60"], env=os.environ | {"TRAINWRIGHT_CACHE_DIR": str(tmp_path)}) as process:
        assert strays(tmp_path) == [process.pid]
        process.kill()
    assert strays(tmp_path) == []
