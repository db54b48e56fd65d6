"""The client against the real thing: an API, a worker and a broker, as `python -m local up` runs them."""

import asyncio
import itertools
import os
import signal
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from client import (
    AsyncClient,
    Client,
    ConflictError,
    Dataset,
    Event,
    Job,
    JobFailed,
    Metrics,
    NotFoundError,
    ValidationError,
    WaitTimedOut,
    calls,
)
from tests.local.machine import ROOT, Machine, one_machine
from tests.local.processes import naming

DIGITS = ROOT / "local" / "digits.npz"


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    with one_machine(tmp_path_factory.mktemp("machine")) as machine:
        yield machine


@pytest.fixture(scope="module")
def client(machine: Machine) -> Iterator[Client]:
    with machine.client() as client:
        yield client


@pytest.fixture(scope="module")
def digits(client: Client) -> Dataset:
    return client.datasets.wait(client.datasets.upload(DIGITS), 60)


@pytest.fixture(scope="module")
def finished(client: Client, digits: Dataset) -> Job:
    return client.jobs.wait(client.jobs.create(spec(digits, epochs=2)), 60)


def spec(dataset: Dataset, **training: Any) -> dict[str, Any]:
    held_out = {"id": dataset.id, "validation": {"split": "test"}}
    return {"dataset": held_out, "network": {"type": "mlp", "hidden": [16]}, "training": training}


def test_an_upload_becomes_a_data_set_that_says_what_is_in_it(digits: Dataset) -> None:
    assert digits.manifest is not None
    assert (digits.filename, digits.manifest["splits"]["train"]["examples"]) == ("digits.npz", 1442)


def test_an_upload_whose_reply_was_lost_is_not_a_conflict(client: Client, digits: Dataset) -> None:
    assert client.datasets.upload(DIGITS, dataset=digits).id == digits.id


def test_a_spec_shows_its_mistakes_before_it_is_run(client: Client, digits: Dataset) -> None:
    wrong = spec(digits, epochs=2, batch_sise=8)
    assert client.jobs.validate(wrong).errors[0].suggestion == "batch_size"
    with pytest.raises(ValidationError) as caught:
        client.jobs.create(wrong)
    assert caught.value.errors[0].pointer == "/training/batch_sise"


def test_a_good_spec_shows_what_it_would_take(client: Client, digits: Dataset) -> None:
    validation = client.jobs.validate(spec(digits, epochs=2))
    assert validation.valid
    assert validation.estimate is not None
    assert validation.estimate.parameters == 64 * 16 + 16 + 16 * 10 + 10


def test_a_stream_tells_every_event_and_ends_with_the_job(client: Client, digits: Dataset) -> None:
    job = client.jobs.create(spec(digits, epochs=3))
    events = [event for event in client.jobs.stream(job) if isinstance(event, Event)]
    assert [event.sequence for event in events] == list(range(1, len(events) + 1))
    assert events[-1].type == "job.succeeded"
    assert [event.id for event in client.jobs.events(job)] == [event.id for event in events]


def test_a_stream_outlives_the_api(client: Client, digits: Dataset, machine: Machine) -> None:
    """The API is killed at the first event; its supervisor starts it again."""
    job = client.jobs.create(spec(digits, steps=4000))
    sequences = []
    for event in client.jobs.stream(job):
        if isinstance(event, Event):
            sequences.append(event.sequence)
            if len(sequences) == 1:
                kill_api(machine)
    assert sequences == list(range(1, len(sequences) + 1))
    assert client.jobs.get(job).status == "succeeded"


def kill_api(machine: Machine) -> None:
    (pid,) = naming("api.main:create_app") & naming(f"--port\0{machine.url.rpartition(':')[2]}")
    os.kill(pid, signal.SIGKILL)


def test_metrics_are_columns_and_can_be_asked_for_in_part(client: Client, finished: Job) -> None:
    steps = client.jobs.metrics(finished, keys=["train/loss"], since_step=10)
    assert steps.columns["step"][0] == 11
    assert set(steps.columns) == {"step", "train/loss"}
    assert len(client.jobs.metrics(finished, interval="epoch").columns["validation/accuracy"]) == 2


def test_long_metrics_are_asked_for_page_by_page(
    client: Client, finished: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = client.jobs.metrics(finished)
    ask = calls.get_metrics

    def in_small_pages(*arguments: Any, **options: Any) -> calls.Call[Metrics]:
        call = ask(*arguments, **options)
        return replace(call, query={**call.query, "limit": 5})

    monkeypatch.setattr(calls, "get_metrics", in_small_pages)
    assert client.jobs.metrics(finished) == whole
    assert len(whole.columns["step"]) > 10


def test_a_half_downloaded_checkpoint_is_gone_on_with(client: Client, finished: Job, tmp_path: Path) -> None:
    checkpoint = client.checkpoints.best(finished)
    whole = client.checkpoints.download(checkpoint, tmp_path / "whole").read_bytes()
    (tmp_path / f"half.{checkpoint.sha256[:16]}.part").write_bytes(whole[:1000])
    seen: list[int] = []
    half = client.checkpoints.download(checkpoint, tmp_path / "half", lambda done, total: seen.append(done))
    assert half.read_bytes() == whole
    assert seen[0] > 1000
    assert sorted(path.name for path in tmp_path.iterdir()) == ["half", "whole"]


def test_an_upload_tells_how_far_it_is(client: Client, machine: Machine) -> None:
    size = DIGITS.stat().st_size
    told: list[tuple[int, int]] = []
    dataset = client.datasets.upload(DIGITS, "told", progress=lambda done, total: told.append((done, total)))

    async def upload_again() -> None:
        async with AsyncClient(machine.url, machine.api_key) as other:
            await other.datasets.upload(DIGITS, "told", progress=lambda done, total: told.append((done, total)))

    asyncio.run(upload_again())
    assert told[0][1] == dataset.upload_bytes == size
    assert told.count((size, size)) == 2


def test_a_job_is_saved_for_other_tools(client: Client, machine: Machine, finished: Job, tmp_path: Path) -> None:
    async def save() -> None:
        async with AsyncClient(machine.url, machine.api_key) as other:
            await other.jobs.save_metrics(finished, tmp_path / "b.csv", keys=["train/loss"])
            await other.jobs.save_bundle(finished, tmp_path / "b.zip")

    asyncio.run(save())
    csv = client.jobs.save_metrics(finished, tmp_path / "a.csv", keys=["train/loss"])
    assert csv.read_text() == (tmp_path / "b.csv").read_text()
    assert csv.read_text().splitlines()[0] == "step,train/loss"
    assert zipfile.is_zipfile(tmp_path / "b.zip")
    with pytest.raises(NotFoundError):
        client.jobs.save_metrics("job_" + "0" * 32, tmp_path / "c.csv")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.csv", "b.csv", "b.zip"]


def test_a_network_comes_as_a_program_of_its_own(
    client: Client, machine: Machine, finished: Job, tmp_path: Path
) -> None:
    best = client.checkpoints.best(finished)
    with pytest.raises(WaitTimedOut):
        client.checkpoints.export(best, tmp_path / "a.pt2", format="torch_export", timeout=0)
    path = client.checkpoints.export(best, tmp_path / "a.pt2", format="torch_export", timeout=120)
    assert zipfile.is_zipfile(path)

    async def export() -> bytes:
        async with AsyncClient(machine.url, machine.api_key) as other:
            return (await other.checkpoints.export(best.id, tmp_path / "b.pt2", format="torch_export")).read_bytes()

    assert asyncio.run(export()) == path.read_bytes()


def test_checkpoints_are_listed_and_known_by_name(client: Client, finished: Job) -> None:
    steps = [checkpoint.step for checkpoint in client.jobs.checkpoints(finished)]
    assert steps == sorted(steps)
    assert client.checkpoints.last(finished).step == steps[-1]


def test_a_cancelled_job_is_not_one_that_succeeded(client: Client, digits: Dataset) -> None:
    job = client.jobs.create(spec(digits, epochs=10_000))
    assert client.jobs.cancel(job).desired_state == client.jobs.cancel(job).desired_state == "cancel"
    with pytest.raises(JobFailed, match="cancelled"):
        client.jobs.wait(job, 30)


def test_waiting_ends_when_it_has_lasted_long_enough(client: Client, digits: Dataset) -> None:
    job = client.jobs.create(spec(digits, epochs=10_000))
    with pytest.raises(WaitTimedOut):
        client.jobs.wait(job, 0.3)
    client.jobs.cancel(job)


def test_lists_are_asked_for_page_by_page(
    client: Client, finished: Job, digits: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("client.calls.PAGE_SIZE", 1)
    ids = [job.id for job in itertools.islice(client.jobs.list(dataset=digits), 3)]
    assert ids == sorted(ids, reverse=True)
    assert finished.id in [job.id for job in client.jobs.list(status="succeeded")]


def test_a_job_is_labelled_found_by_its_labels_and_deleted(client: Client, digits: Dataset) -> None:
    job = client.jobs.create(spec(digits, epochs=1), tags=["throwaway"], metadata={"team": "a&b=c"})
    assert client.jobs.edit(job, name="renamed", notes="x").metadata == {"team": "a&b=c"}
    with pytest.raises(ConflictError):
        client.datasets.delete(digits)
    client.jobs.wait(job, 60)
    found = client.jobs.list(tags=["throwaway"], metadata={"team": "a&b=c"}, created_after=digits.created_at)
    assert [one.name for one in found] == ["renamed"]
    client.jobs.delete(job)
    assert list(client.jobs.list(tags=["throwaway"], oldest_first=True)) == []


def test_a_job_is_forked_compared_and_tells_what_was_written(client: Client, finished: Job) -> None:
    changes = {"optimizer": {"type": "adam", "learning_rate": 0.02}}
    fork = client.jobs.wait(client.jobs.fork(finished, changes, checkpoint="best"), 60)
    comparison = client.jobs.compare(finished, fork)
    (rate,) = [found for found in comparison.differences if found.pointer == "/optimizer/learning_rate"]
    assert rate.values[fork.id] == 0.02
    assert all(job.best and job.last for job in comparison.jobs)
    assert fork.forked_from == finished.id
    assert next(client.jobs.logs(fork, source="worker")).message.startswith("job_claimed")


def test_a_project_is_founded_limited_and_given_keys(client: Client, machine: Machine) -> None:
    project = client.projects.create("vision", running_jobs=2)
    assert client.projects.edit(project.id, active_jobs=0).limits["running_jobs"] == 2
    assert client.projects.get(project.id).limits["active_jobs"] == 0
    assert project.id in [one.id for one in client.projects.list()]
    key = client.keys.create("ci", "read", project=project.id)
    new = client.keys.rotate(key)
    assert [one.id for one in client.keys.list(project.id)][1:] == [key.id, new.id]
    with Client(machine.url, new.key) as other:
        assert list(other.jobs.list()) == []
    assert client.keys.revoke(new).revoked_at is not None
    assert client.projects.usage(project=project.id)[0].storage_bytes == 0
    assert next(client.projects.audit()).action == "revokeApiKey"


def test_what_is_not_there_is_an_exception_of_its_own(client: Client) -> None:
    with pytest.raises(NotFoundError):
        client.jobs.get("job_" + "0" * 32)


def test_the_catalog_tells_what_can_be_said(client: Client) -> None:
    assert "kaiming_normal" in client.catalog().families["initialization"]
    assert "cosine" in client.catalog_family("schedule").types


def test_async_code_can_do_all_of_it(machine: Machine, digits: Dataset, tmp_path: Path) -> None:
    async def use() -> Path:
        async with AsyncClient(machine.url, machine.api_key) as client:
            dataset = await client.datasets.wait(await client.datasets.upload(DIGITS), 60)
            assert dataset.content_sha256 == digits.content_sha256
            job = await client.jobs.create(spec(dataset, epochs=1))
            types = [event.type async for event in client.jobs.stream(job) if isinstance(event, Event)]
            assert types[-1] == "job.succeeded"
            assert job.id in [listed.id async for listed in client.jobs.list()]
            return await client.checkpoints.download(await client.checkpoints.last(job), tmp_path)

    assert asyncio.run(use()).stat().st_size > 0
