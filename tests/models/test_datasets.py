"""The life of a data set."""

import time

import pytest

from models import datasets
from models.ownership import OwnershipLost
from models.states import DatasetState
from models.tables import Dataset
from tests.models.conftest import Office


def upload(office: Office) -> str:
    with office.database.write() as session:
        dataset = datasets.create(session, project_id=office.project_id, name="new")
        datasets.uploaded(session, dataset.id, filename="a.npz", key="k", size=3, sha256="0" * 64)
    return dataset.id


def read(office: Office, dataset_id: str) -> Dataset:
    with office.database.read() as session:
        dataset = datasets.get(session, office.project_id, dataset_id)
    assert dataset is not None
    return dataset


def test_an_upload_is_queued_taken_and_ready(office: Office) -> None:
    dataset_id = upload(office)
    with office.database.write() as session:
        claimed = datasets.claim(session, dataset_id, worker_id="wrk", lease_seconds=60)
        assert claimed is not None
        assert datasets.claim(session, dataset_id, worker_id="wrk", lease_seconds=60) is None
        datasets.ready(session, dataset_id, claimed.attempt, manifest={}, content_sha256="1" * 64)
    assert read(office, dataset_id).state is DatasetState.READY


def test_a_second_upload_of_a_ready_data_set_is_refused(office: Office) -> None:
    dataset_id = upload(office)
    with office.database.write() as session:
        assert datasets.uploaded(session, dataset_id, filename="b", key="k", size=1, sha256="0" * 64) is None


def test_an_ingest_whose_worker_fell_silent_is_queued_again_until_it_is_poison(office: Office) -> None:
    dataset_id = upload(office)
    states = []
    for _ in range(3):
        with office.database.write() as session:
            datasets.claim(session, dataset_id, worker_id="wrk", lease_seconds=0.001)
        time.sleep(0.01)
        with office.database.write() as session:
            datasets.recover_lost(session, fruitless_limit=3)
        states.append(read(office, dataset_id).state)
    assert states == [DatasetState.QUEUED, DatasetState.QUEUED, DatasetState.FAILED]


def test_a_late_ingest_can_write_nothing(office: Office) -> None:
    dataset_id = upload(office)
    with office.database.write() as session:
        datasets.claim(session, dataset_id, worker_id="wrk", lease_seconds=60)
        datasets.release(session, dataset_id, 1)
        datasets.claim(session, dataset_id, worker_id="wrk2", lease_seconds=60)
    with pytest.raises(OwnershipLost), office.database.write() as session:
        datasets.ready(session, dataset_id, 1, manifest={}, content_sha256="1" * 64)


def test_a_data_set_that_a_job_names_is_not_removed(office: Office) -> None:
    office.job()
    with office.database.write() as session:
        assert not datasets.remove(session, office.project_id, office.dataset_id)
        unused = datasets.create(session, project_id=office.project_id, name="unused")
        assert not datasets.remove(session, "prj_other", unused.id)
        assert datasets.remove(session, office.project_id, unused.id)
