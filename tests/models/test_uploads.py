"""The rows of uploads by parts."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import update

from models import datasets, discarded, uploads, usage
from models.clock import now_plus
from models.tables import UploadPart
from tests.models.conftest import Office


def put(office: Office, number: int, key: str, size: int = 3) -> None:
    with office.database.write() as session:
        assert uploads.put(session, office.dataset_id, number, key=key, size=size, sha256="0" * 64) is not None


def keys(office: Office) -> list[str]:
    with office.database.read() as session:
        return [part.key for part in uploads.parts(session, office.dataset_id)]


def given_up(office: Office) -> list[str]:
    with office.database.read() as session:
        return sorted(discarded.below(session, "datasets"))


def test_parts_are_listed_by_number_and_the_later_of_two_counts(office: Office) -> None:
    for number, key in ((10, "datasets/j"), (2, "datasets/b"), (2, "datasets/c")):
        put(office, number, key)
    assert (keys(office), given_up(office)) == (["datasets/c", "datasets/j"], ["datasets/b"])


def test_parts_count_once_as_stored_before_and_after_they_are_complete(office: Office) -> None:
    put(office, 1, "datasets/a", 5)
    put(office, 2, "datasets/b", 7)
    with office.database.write() as session:
        assert usage.storage_bytes(session, office.project_id) == 12
        upload = datasets.Upload(filename="a", key=None, parts=["datasets/a", "datasets/b"], size=12, sha256="0" * 64)
        row = datasets.uploaded(session, office.dataset_id, **upload)
        assert row is not None
        assert usage.storage_bytes(session, office.project_id) == 12
        assert datasets.upload_keys(session, row) == ["datasets/a", "datasets/b"]
    with office.database.write() as session:
        assert uploads.put(session, office.dataset_id, 3, key="c", size=1, sha256="0" * 64) is None


def test_while_an_upload_is_completed_its_parts_stay_as_they_are(office: Office) -> None:
    put(office, 1, "datasets/a")
    with ThreadPoolExecutor(1) as other:
        with office.database.write() as session:
            assert uploads.hold(session, office.dataset_id)
            late = other.submit(put_late, office)
            with pytest.raises(TimeoutError):
                late.result(timeout=0.3)
            upload = datasets.Upload(filename="a", key=None, parts=["datasets/a"], size=3, sha256="0" * 64)
            assert datasets.uploaded(session, office.dataset_id, **upload) is not None
        assert late.result(timeout=10) is None
    assert keys(office) == ["datasets/a"]


def put_late(office: Office) -> UploadPart | None:
    with office.database.write() as session:
        return uploads.put(session, office.dataset_id, 1, key="datasets/b", size=3, sha256="1" * 64)


def test_an_upload_that_nobody_goes_on_with_is_given_up(office: Office) -> None:
    put(office, 1, "datasets/a")
    put(office, 2, "datasets/b")
    with office.database.write() as session:
        session.execute(update(UploadPart).where(UploadPart.number == 1).values(created_at=now_plus(-3600)))
        assert uploads.give_up_abandoned(session, hours=0.5) == [], "its last part is new"
        session.execute(update(UploadPart).values(created_at=now_plus(-3600)))
        assert uploads.give_up_abandoned(session, hours=0.5) == [office.dataset_id]
    assert (keys(office), given_up(office)) == ([], ["datasets/a", "datasets/b"])


def test_what_is_complete_is_not_given_up(office: Office) -> None:
    put(office, 1, "datasets/a")
    with office.database.write() as session:
        upload = datasets.Upload(filename="a", key=None, parts=["datasets/a"], size=3, sha256="0" * 64)
        datasets.uploaded(session, office.dataset_id, **upload)
        session.execute(update(UploadPart).values(created_at=now_plus(-3600)))
        assert uploads.give_up_abandoned(session, hours=0.5) == []


def test_what_is_being_written_is_not_collected_and_kept_only_in_time(office: Office) -> None:
    with office.database.write() as session:
        discarded.add(session, "datasets/a", after_seconds=60)
        discarded.add(session, "datasets/late", after_seconds=-1)
    with office.database.write() as session:
        assert discarded.overdue(session, limit=10) == []
        assert discarded.keep(session, "datasets/a")
        assert not discarded.keep(session, "datasets/a")
        assert not discarded.keep(session, "datasets/late")


def test_a_part_that_a_row_points_at_is_never_swept(office: Office) -> None:
    put(office, 1, "datasets/a/uploads/x")
    with office.database.read() as session:
        assert discarded._used(session, "datasets/a") == {"datasets/a/uploads/x"}
        assert discarded._used(session, "datasets/a/uploads/x") == {"datasets/a/uploads/x"}
