"""Curves in other tools' files, read back by those tools."""

import csv
import struct
import zipfile
from pathlib import Path

import pyarrow.parquet
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import PyRecordReader_New

from client import Client, Job
from client.tensorboard import export_job
from tests.client.command_line.conftest import Shell


def read_back(path: Path) -> EventAccumulator:
    accumulator = EventAccumulator(str(path), size_guidance={"scalars": 0})
    accumulator.Reload()
    return accumulator


def single(value: float) -> float:
    """As it is kept in four bytes."""
    kept: float = struct.unpack("f", struct.pack("f", value))[0]
    return kept


@pytest.mark.parametrize(("interval", "prefix"), [("step", "each_step/"), ("epoch", "")])
def test_tensorboard_reads_every_value_of_every_curve(
    interval: str, prefix: str, shell: Shell, finished: Job, client: Client
) -> None:
    known = client.jobs.metrics(finished, interval="step" if interval == "step" else "epoch").columns
    written = read_back(shell.home / shell.read("export", finished.id, "runs", "--to", "tensorboard")["path"])
    steps = known.pop("step")
    for name, values in known.items():
        expected = [(step, single(value)) for step, value in zip(steps, values, strict=True) if value is not None]
        assert [(scalar.step, scalar.value) for scalar in written.Scalars(prefix + name)] == expected


def test_events_lie_within_the_time_of_the_run(finished: Job, client: Client, tmp_path: Path) -> None:
    assert finished.started_at is not None
    assert finished.finished_at is not None
    scalars = read_back(export_job(client, finished.id, tmp_path)).Scalars("each_step/train/loss")
    assert [scalar.wall_time for scalar in scalars] == sorted(scalar.wall_time for scalar in scalars)
    assert finished.started_at.timestamp() <= scalars[0].wall_time
    assert scalars[-1].wall_time == pytest.approx(finished.finished_at.timestamp())


def test_an_export_that_is_made_again_replaces_the_first(finished: Job, client: Client, tmp_path: Path) -> None:
    first = export_job(client, finished.id, tmp_path)
    assert export_job(client, finished.id, tmp_path).read_bytes() == first.read_bytes()
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [first]
    assert first.parent.name == f"finished-{finished.id[-6:]}"


def test_records_are_whole_and_begin_with_the_version(finished: Job, client: Client, tmp_path: Path) -> None:
    """TensorBoard's reader checks both checksums of each."""
    reader = PyRecordReader_New(str(export_job(client, finished.id, tmp_path)))
    reader.GetNext()
    assert Event.FromString(reader.record()).file_version == "brain.Event:2"


def test_a_bundle_holds_what_does_the_run_again(shell: Shell, finished: Job) -> None:
    with zipfile.ZipFile(shell.home / shell.read("export", finished.id, "run.zip", "--to", "bundle")["path"]) as bundle:
        assert bundle.testzip() is None
        assert {"train.py", "spec.json"} <= {Path(name).name for name in bundle.namelist()}


def test_curves_go_to_a_table(shell: Shell, finished: Job, client: Client) -> None:
    known = client.jobs.metrics(finished, interval="epoch").columns["validation/loss"]
    shell.run("export", finished.id, "curves.csv", "--to", "csv")
    with (shell.home / "curves.csv").open(newline="") as file:
        assert [float(row["validation/loss"]) for row in csv.DictReader(file)] == known
    shell.run("export", finished.id, "curves.parquet", "--to", "parquet")
    table = pyarrow.parquet.read_table(shell.home / "curves.parquet")
    assert table["validation/loss"].to_pylist() == known
