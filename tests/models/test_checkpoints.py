"""Rows of saved networks: what stays, what a new attempt starts from."""

from models import checkpoints, jobs, usage
from models.checkpoints import Saved
from tests.models.conftest import Office


def save(office: Office, job_id: str, step: int, *, is_best: bool = False, keep_last: int = 2) -> list[str]:
    saved = Saved("epoch", step, step, is_best, {}, f"w{step}", "0" * 64, 1, f"s{step}", "0" * 64)
    with office.database.write() as session:
        checkpoints.record(session, job_id, 1, saved)
        return checkpoints.prune(session, job_id, 1, keep_last=keep_last)


def test_the_newest_two_can_be_resumed_from(office: Office) -> None:
    job = office.running()
    for step in (1, 2, 3):
        save(office, job.id, step, keep_last=9)
    with office.database.read() as session:
        assert [saved.step for saved in checkpoints.to_resume_from(session, job.id)] == [3, 2]
        assert [saved.step for saved in checkpoints.of_job(session, job.id)] == [1, 2, 3]


def test_pruning_keeps_the_last_and_the_best(office: Office) -> None:
    job = office.running()
    dropped = [key for step in (1, 2, 3, 4, 5) for key in save(office, job.id, step, is_best=step == 2)]
    with office.database.read() as session:
        assert [saved.step for saved in checkpoints.of_job(session, job.id)] == [2, 4, 5]
        best, last = checkpoints.best(session, job.id), checkpoints.last(session, job.id)
    assert best is not None
    assert last is not None
    assert (best.step, last.step) == (2, 5)
    assert sorted(dropped) == ["s1", "s2", "s3", "w1", "w3"]


def test_a_damaged_checkpoint_is_gone_for_everybody(office: Office) -> None:
    job = office.running()
    save(office, job.id, 1)
    save(office, job.id, 2)
    with office.database.write() as session:
        newest = checkpoints.to_resume_from(session, job.id)[0]
        checkpoints.quarantine(session, job.id, 1, newest.id)
    with office.database.read() as session:
        assert [saved.step for saved in checkpoints.to_resume_from(session, job.id)] == [1]
        assert checkpoints.get(session, office.project_id, newest.id) is None


def test_recording_twice_makes_one_row(office: Office) -> None:
    job = office.running()
    save(office, job.id, 1)
    save(office, job.id, 1)
    with office.database.read() as session:
        assert len(checkpoints.of_job(session, job.id)) == 1
    assert office.events(job.id).count("checkpoint.created") == 1


def test_a_checkpoint_makes_the_attempts_before_it_count_no_more(office: Office) -> None:
    job = office.running()
    save(office, job.id, 1)
    assert office.read(job.id).fruitless_attempts == 0


def test_the_weights_of_a_project_are_what_is_left_of_them(office: Office) -> None:
    def stored() -> int:
        with office.database.read() as session:
            return usage.storage_bytes(session, office.project_id)

    job = office.running()
    for step in (1, 2, 3, 4):
        save(office, job.id, step)  # of one byte each
    assert stored() == 2
    with office.database.write() as session:
        jobs.succeed(session, job.id, 1, summary={})
        assert jobs.remove(session, office.project_id, job.id)
    assert stored() == 0
