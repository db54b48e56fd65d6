"""Curves over HTTP."""

import math

import pytest

from tests.api.conftest import Tenant


@pytest.fixture
def job_id(ours: Tenant) -> str:
    job_id = ours.running_job()
    ours.report(job_id, {"step": [1, 2], "train/loss": [0.5, math.nan]})
    ours.report(job_id, {"step": [3, 4], "train/loss": [0.3, math.inf], "learning_rate": [0.1, 0.05]})
    return job_id


def test_columns_have_one_length(ours: Tenant, job_id: str) -> None:
    body = ours.reader.get(f"/v1/jobs/{job_id}/metrics").json()
    assert body["columns"] == {
        "step": [1, 2, 3, 4],
        "train/loss": [0.5, None, 0.3, None],
        "learning_rate": [None, None, 0.1, 0.05],
    }


def test_what_is_not_finite_is_named(ours: Tenant, job_id: str) -> None:
    assert ours.reader.get(f"/v1/jobs/{job_id}/metrics").json()["nonfinite"] == {"train/loss": [2, 4]}


@pytest.mark.parametrize("query", ["keys=learning_rate", "keys=learning_rate,absent", "keys=absent&keys=learning_rate"])
def test_keys_choose_columns(ours: Tenant, job_id: str, query: str) -> None:
    body = ours.reader.get(f"/v1/jobs/{job_id}/metrics?{query}").json()
    assert set(body["columns"]) == {"step", "learning_rate"}


def test_the_last_step_is_where_to_go_on(ours: Tenant, job_id: str) -> None:
    body = ours.reader.get(f"/v1/jobs/{job_id}/metrics?since_step=3").json()
    assert (body["columns"]["step"], body["last_step"]) == ([4], 4)
    body = ours.reader.get(f"/v1/jobs/{job_id}/metrics?since_step=4").json()
    assert (body["columns"]["step"], body["last_step"], body["total_points"]) == ([], 4, 0)


def test_unchanged_curves_are_not_sent_again(ours: Tenant, job_id: str) -> None:
    path = f"/v1/jobs/{job_id}/metrics"
    known = {"If-None-Match": ours.reader.get(path).headers["etag"]}
    assert ours.reader.get(path, headers=known).status_code == 304
    assert ours.reader.get(f"{path}?since_step=1", headers=known).status_code == 200
    ours.report(job_id, {"step": [5]})
    assert ours.reader.get(path, headers=known).status_code == 200


def test_a_long_curve_says_that_it_was_thinned(ours: Tenant, job_id: str) -> None:
    ours.report(job_id, {"step": [*range(5, 1005)], "train/loss": [1.0] * 500 + [9.0] + [1.0] * 499})
    body = ours.reader.get(f"/v1/jobs/{job_id}/metrics?max_points=20&keys=train/loss").json()
    assert (body["downsampled"], body["total_points"], body["last_step"]) == (True, 1004, 1004)
    assert len(body["columns"]["step"]) <= 20
    assert 9.0 in body["columns"]["train/loss"]


def test_epochs_have_curves_of_their_own(ours: Tenant, job_id: str) -> None:
    body = ours.reader.get(f"/v1/jobs/{job_id}/metrics?interval=epoch").json()
    assert (body["columns"], body["last_step"]) == ({"step": []}, None)
