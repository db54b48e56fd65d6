"""Curves over HTTP."""

import csv
import io
import math

import pytest
from pyarrow import parquet

from models.metrics import append
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


def test_a_long_curve_comes_in_pages(ours: Tenant, job_id: str) -> None:
    seen: list[int] = []
    since, has_more = 0, True
    while has_more:
        body = ours.reader.get(f"/v1/jobs/{job_id}/metrics?limit=3&since_step={since}").json()
        seen += body["columns"]["step"]
        since, has_more = body["last_step"], body["has_more"]
    assert (seen, since) == ([1, 2, 3, 4], 4)


@pytest.mark.parametrize("query", ["", "&keys=learning_rate", "&since_step=3", "&interval=epoch"])
def test_files_hold_the_same_as_json(ours: Tenant, job_id: str, query: str) -> None:
    path = f"/v1/jobs/{job_id}/metrics?"
    body = ours.reader.get(f"{path}{query}").json()
    expected = {
        name: [math.nan if step in body["nonfinite"].get(name, []) else value
               for step, value in zip(body["columns"]["step"], values, strict=True)]
        for name, values in body["columns"].items()
    }  # fmt: skip
    text = ours.reader.get(f"{path}format=csv{query}")
    assert text.headers["content-type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(text.text)))
    read = {name: [float(row[name]) if row[name] else None for row in rows] for name in expected}
    assert repr(read) == repr({name: [None if v is None else float(v) for v in expected[name]] for name in expected})
    table = parquet.read_table(io.BytesIO(ours.reader.get(f"{path}format=parquet{query}").content))
    assert repr(table.to_pydict()) == repr({name: expected[name] for name in table.column_names})
    assert set(table.column_names) == set(expected)


def test_a_file_is_written_in_pieces_and_whole(ours: Tenant, job_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.routes.metrics.PIECE", 3)
    ours.report(job_id, {"step": [*range(5, 30)], "train/loss": [1.0] * 25})
    content = ours.reader.get(f"/v1/jobs/{job_id}/metrics?format=parquet").content
    file = parquet.ParquetFile(io.BytesIO(content))
    assert file.num_row_groups == 10
    assert file.read()["step"].to_pylist() == list(range(1, 30))
    rows = ours.reader.get(f"/v1/jobs/{job_id}/metrics?format=csv").text.splitlines()
    assert [int(row.split(",")[0]) for row in rows[1:]] == list(range(1, 30))


def test_a_file_can_be_thinned_out_and_is_not_sent_twice(ours: Tenant, job_id: str) -> None:
    ours.report(job_id, {"step": [*range(5, 505)], "train/loss": [1.0] * 500})
    path = f"/v1/jobs/{job_id}/metrics?format=csv&max_points=8"
    answer = ours.reader.get(path)
    assert len(answer.text.splitlines()) <= 9
    assert ours.reader.get(path, headers={"If-None-Match": answer.headers["etag"]}).status_code == 304


@pytest.mark.parametrize("query", ["keys=a%22b", "keys=" + ",".join(map(str, range(101))), "format=xml", "limit=0"])
def test_what_cannot_be_shown_is_refused_by_name(ours: Tenant, job_id: str, query: str) -> None:
    answer = ours.reader.get(f"/v1/jobs/{job_id}/metrics?{query}")
    assert (answer.status_code, answer.json()["errors"][0]["parameter"]) == (422, query.split("=")[0])


def test_epochs_have_curves_of_their_own(ours: Tenant, job_id: str) -> None:
    body = ours.reader.get(f"/v1/jobs/{job_id}/metrics?interval=epoch").json()
    assert (body["columns"], body["last_step"]) == ({"step": []}, None)


def test_layers_have_curves_of_their_own(ours: Tenant) -> None:
    job_id = ours.running_job()
    columns: dict[str, list[float]] = {"step": [5], "epoch": [1], "update_ratio/hidden.0.weight": [1e-3]}
    with ours.world.services.database.write() as session:
        append(session, job_id, 1, "layer", columns, {})
    path = f"/v1/jobs/{job_id}/metrics"
    assert ours.reader.get(path, params={"interval": "layer"}).json()["columns"] == columns
    assert ours.reader.get(path, params={"interval": "epoch"}).json()["columns"] == {"step": []}
