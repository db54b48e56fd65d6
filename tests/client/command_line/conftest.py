"""The command line, on a service as `make up` runs it."""

import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from client import Client, Job
from client.command_line.__main__ import main
from tests.local.machine import ROOT, Machine, one_machine

DIGITS = ROOT / "local" / "digits.npz"


@dataclass(frozen=True)
class Shell:
    """A user's shell on the machine of a service: it has no variable set but where things are kept."""

    data: Path
    home: Path

    def run(self, *words: object, sends: str = "", **variables: str) -> "subprocess.CompletedProcess[str]":
        """Run a command in this process, which has loaded what it needs already."""
        out, err = io.StringIO(), io.StringIO()
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
            for name in [name for name in os.environ if name not in self.environment]:
                patch.delenv(name)
            for name, value in (self.environment | variables).items():
                patch.setenv(name, value)
            patch.chdir(self.home)
            patch.setattr(sys, "argv", ["trainwright", *map(str, words)])
            patch.setattr(sys, "stdin", io.StringIO(sends))
            with pytest.raises(SystemExit) as ended:
                main()
        return subprocess.CompletedProcess(
            [*map(str, words)], int(ended.value.code or 0), out.getvalue(), err.getvalue()
        )

    @property
    def environment(self) -> dict[str, str]:
        ours = {name: value for name, value in os.environ.items() if not name.startswith("TRAINWRIGHT_")}
        places = {"TRAINWRIGHT_HOME": str(self.data), "XDG_CONFIG_HOME": str(self.home / "configuration")}
        return ours | places | {"PYTHONPATH": str(ROOT), "TERM": "xterm-256color", "COLUMNS": "100"}

    def command(self, *words: object) -> list[str]:
        return [sys.executable, "-m", "client.command_line", *map(str, words)]

    def run_alone(self, *words: object, **variables: str) -> "subprocess.CompletedProcess[str]":
        """Run a command in a process of its own."""
        return subprocess.run(
            self.command(*words), cwd=self.home, env=self.environment | variables, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip

    def read(self, *words: object) -> Any:
        """What a command prints as JSON, once it has succeeded."""
        done = self.run(*words, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def write_spec(self, **spec: Any) -> Path:
        """A spec as its author would write it: three lines, on no data set yet."""
        parts = {
            "dataset": {"validation": {"split": "test"}},
            "network": {"type": "mlp", "hidden": [16]},
            "training": {"epochs": 2},
            **spec,
        }
        lines = ",\n".join(f"  {json.dumps(name)}: {json.dumps(part)}" for name, part in parts.items())
        path = self.home / "job.json"
        path.write_text(f"{{\n{lines}\n}}\n")
        return path


@pytest.fixture(scope="session")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    with one_machine(tmp_path_factory.mktemp("machine")) as machine:
        yield machine


@pytest.fixture
def shell(machine: Machine, tmp_path: Path) -> Shell:
    return Shell(machine.folder, tmp_path)


@pytest.fixture(scope="session")
def client(machine: Machine) -> Iterator[Client]:
    with machine.client() as client:
        yield client


@pytest.fixture(scope="session")
def finished(client: Client, machine: Machine, tmp_path_factory: pytest.TempPathFactory) -> Job:
    """A job called `finished` on the digits, run by the command line."""
    shell = Shell(machine.folder, tmp_path_factory.mktemp("shell"))
    done = shell.run("run", shell.write_spec(name="finished"), "--data", DIGITS)
    assert done.returncode == 0, done.stderr
    return next(client.jobs.list(name="finished"))


@pytest.fixture
def endless(client: Client, finished: Job) -> Iterator[Job]:
    """A job that runs until it is cancelled, as it is at the end."""
    job = client.jobs.fork(finished, {"name": "endless", "training": {"epochs": 100_000}})
    yield job
    client.jobs.cancel(job)
