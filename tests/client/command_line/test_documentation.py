"""What the pages tell a reader to type is typed, on the service of these tests."""

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.client.command_line.conftest import DIGITS, Shell
from tests.local.machine import ROOT, Machine

BLOCK = re.compile(r"^```(json|sh|python|console)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Clone:
    """A folder in which a reader types: there are the digits, and `trainwright` is installed."""

    folder: Path
    environment: dict[str, str]

    def type(self, kind: str, text: str) -> None:
        """Do what a block says: a spec is written down, the others are run."""
        if kind == "json":
            (self.folder / "job.json").write_text(text)
        else:
            program = ["sh", "-eu", "-c"] if kind == "sh" else [sys.executable, "-c"]
            done = self.run(*program, text)
            assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"

    def run(self, *command: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            command, cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False, timeout=200
        )


@pytest.fixture
def clone(shell: Shell, machine: Machine, tmp_path: Path) -> Clone:
    places = {name: tmp_path / name for name in ("local", "bin", "packages")}
    for place in places.values():
        place.mkdir()
    shutil.copy(DIGITS, places["local"])
    (places["packages"] / "trainwright").symlink_to(ROOT / "client")
    command = places["bin"] / "trainwright"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m trainwright.command_line "$@"\n')
    command.chmod(0o755)
    variables = {
        "PATH": f"{places['bin']}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(places["packages"]),
        "TRAINWRIGHT_URL": machine.url,
        "TRAINWRIGHT_API_KEY": machine.api_key,
    }
    return Clone(tmp_path, shell.environment | variables)


def blocks(page: str, section: str = "") -> list[tuple[str, str]]:
    """What a page, or a section of it, has for typing; jobs are made short."""
    text = (ROOT / page).read_text()
    text = text[text.index(section) :].partition("\n## ")[0] if section else text
    return [(kind, re.sub(r'"epochs": \d+', '"epochs": 2', block)) for kind, block in BLOCK.findall(text)]


def test_the_page_about_the_command_line_can_be_followed(clone: Clone) -> None:
    for kind, text in blocks("docs/how-to/command-line.md"):
        clone.type(kind, text)
    left = {path.name for path in clone.folder.iterdir()}
    assert {"best.safetensors", "network.pt2", "curves.csv", "curves.parquet", "runs", "first.zip"} <= left


def test_no_block_of_the_readme_is_left_untried() -> None:
    """What a reader types first is what `tests/local/test_demo.py` and whoever runs these tests have typed."""
    elsewhere = {"git clone … trainwright && cd trainwright\nmake demo\n", "make test\n"}
    tried = {text for _, text in blocks("README.md", "## Your own job")}
    assert {text for _, text in blocks("README.md")} == tried | elsewhere
    assert (ROOT / "README.md").read_text().count("```") == 2 * len(blocks("README.md"))


def test_the_page_about_previews_can_be_followed(clone: Clone) -> None:
    for kind, text in blocks("docs/how-to/look-before-you-run.md"):
        (clone.folder / "examples.png").unlink(missing_ok=True)
        clone.type(kind, text)
    assert (clone.folder / "examples.png").stat().st_size > 1000


@pytest.mark.skipif(shutil.which("curl") is None, reason="the README's example with curl needs curl")
def test_the_readme_runs_one_job_in_three_ways(clone: Clone) -> None:
    spec, *ways = [block for block in blocks("README.md", "## Your own job") if block[0] != "console"]
    clone.type(*spec)
    assert [kind for kind, _ in ways] == ["sh", "python", "sh"]
    for kind, text in ways:
        clone.type(kind, text)
        weights = clone.folder / "best.safetensors"
        assert weights.stat().st_size > 10_000
        weights.unlink()


def test_the_readme_shows_what_a_mistake_looks_like(clone: Clone) -> None:
    found = dict(blocks("README.md", "## Your own job"))
    clone.type("json", found["json"].replace("learning_rate", "learning_rte"))
    command, *shown = found["console"].splitlines()
    done = clone.run("sh", "-c", command.removeprefix("$ "))
    assert (done.returncode, done.stderr.splitlines()[-len(shown) :]) == (1, shown)


def test_the_readme_of_the_wheel_can_be_followed(clone: Clone) -> None:
    python, shell = (text for kind, text in blocks("client/README.md") if "pip install" not in text)
    clone.type("python", python)
    spec = {"dataset": {}, "network": {"type": "mlp"}, "training": {"epochs": 1}, "optimizer": {"type": "sgd"}}
    clone.type("json", json.dumps(spec))
    (clone.folder / "digits.npz").symlink_to("local/digits.npz")
    clone.type("sh", shell)
