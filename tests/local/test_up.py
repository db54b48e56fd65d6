import re
import signal
import stat
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from client import AuthenticationError, Client, Event, Job
from tests.local.machine import ROOT, Machine, one_machine, start_up

DIGITS = ROOT / "local" / "digits.npz"
LITTER = ("*.part", ".part-*", "socket")


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    with one_machine(tmp_path_factory.mktemp("machine")) as machine:
        yield machine


def test_a_second_start_on_one_folder_is_refused(machine: Machine) -> None:
    with start_up(machine.folder) as second:
        assert second.stderr is not None
        assert f"in use by process {machine.process.pid}" in second.stderr.read()
    assert second.returncode == 1
    with machine.client() as client:
        assert client.version().api == "v1"


def test_a_port_that_is_taken_is_refused(machine: Machine, tmp_path: Path) -> None:
    with start_up(tmp_path, "--port", machine.url.rpartition(":")[2]) as second:
        assert second.stderr is not None
        assert "is taken; choose another with --port" in second.stderr.read()


def test_the_key_is_shown_once_kept_privately_and_in_no_log(machine: Machine) -> None:
    assert machine.said.count(machine.api_key) == 1
    assert stat.S_IMODE((machine.folder / "api-key").stat().st_mode) == 0o600
    with Client(machine.url, "tw_" + "0" * 32 + "_" + "a" * 43) as stranger, pytest.raises(AuthenticationError):
        next(stranger.jobs.list())
    logs = "".join(path.read_text() for path in (machine.folder / "logs").iterdir())
    assert machine.api_key.split("_", 2)[2] not in logs


def test_the_link_that_is_printed_signs_in_one_browser(machine: Machine) -> None:
    [link] = re.findall(r"http://\S+/sign-in\?ticket=\S+", machine.said)
    assert machine.api_key.split("_", 2)[2] not in link
    with httpx.Client(follow_redirects=True) as first, httpx.Client() as second:
        assert "<h1" not in first.get(link).text, "a shell: its script makes the rest"
        assert first.get(f"{machine.url}/v1/jobs").status_code == 200
        assert second.get(link).status_code == 403


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGKILL, marks=pytest.mark.chaos)])
def test_nothing_is_left_and_a_job_goes_on_at_the_next_start(number: signal.Signals, tmp_path: Path) -> None:
    """In a folder whose name has all that names can have."""
    folder = tmp_path / "a b?c#d%41é"
    with one_machine(folder) as machine, machine.client() as client:
        job = begin_a_job(client)
        assert len(machine.pids) >= 4, "the supervisor, the broker, the API, a worker"
        assert machine.end(number) == (0 if number == signal.SIGINT else -number)
        assert machine.leaves_nothing(seconds=2)
        if number == signal.SIGINT:
            assert [path for pattern in LITTER for path in folder.rglob(pattern)] == []
        key = machine.api_key
    with one_machine(folder) as again, again.client() as client:
        assert again.api_key == key
        assert key not in again.said, "it is shown once"
        assert client.jobs.wait(job, 60).attempt == 2


def begin_a_job(client: Client) -> Job:
    """A job that has come some way and has some way to go."""
    dataset = client.datasets.wait(client.datasets.upload(DIGITS), 60)
    spec = {"dataset": {"id": dataset.id}, "network": {"type": "mlp"}, "training": {"epochs": 60}}
    job = client.jobs.create(spec)
    next(event for event in client.jobs.stream(job) if isinstance(event, Event) and event.type == "checkpoint.created")
    return job
