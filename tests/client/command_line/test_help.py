"""The command line answers at once, for it loads what it needs and no more."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.client.command_line.conftest import Shell


@pytest.fixture
def alone(tmp_path: Path) -> Shell:
    """A shell where there is no service."""
    return Shell(tmp_path / "data", tmp_path)


OURS = "from client.command_line.__main__ import main; main()"
TYPER = """
import typer
app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False)
@app.callback()
def service(url: str = "") -> None: ...
@app.command()
def run(epochs: int) -> None: ...
app()
"""
"""A small command line of the same form: what it loads, ours may."""


def modules_of(shell: Shell, program: str, words: str) -> set[str]:
    """What a command line has loaded when it ends."""
    watched = f"""
import atexit, sys
atexit.register(lambda: sys.stderr.write(" ".join(sys.modules)))
sys.argv = ["trainwright", *{words.split()!r}]
{program}
"""
    done = subprocess.run(
        [sys.executable, "-c", watched], env=shell.environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return set(done.stderr.split())


def packages(modules: set[str]) -> set[str]:
    """But for Python's own library."""
    return {name.partition(".")[0] for name in modules} - sys.stdlib_module_names


@pytest.mark.parametrize("words", ["--help", "run --help", "datasets --help", "--version"])
def test_help_comes_at_once_for_it_loads_nothing_but_the_parser_of_commands(alone: Shell, words: str) -> None:
    loaded = modules_of(alone, OURS, words)
    assert packages(loaded) <= packages(modules_of(alone, TYPER, "run --help")) | {"client"}
    assert not loaded & {"client.client", "client.resources"}


def test_a_command_never_loads_torch(alone: Shell) -> None:
    program = "import sys; from client.command_line import screens, uploading; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], env=alone.environment, capture_output=True, check=True)
    assert done.stdout == b"False\n"


def test_a_command_that_does_not_exist_is_exit_code_2(alone: Shell) -> None:
    assert alone.run_alone("rum").returncode == 2


@pytest.mark.parametrize("kind", ["bash", "zsh", "fish"])
def test_words_are_completed(alone: Shell, kind: str) -> None:
    asked = {"_TRAINWRIGHT_COMPLETE": f"complete_{kind}", "COMP_WORDS": "trainwright che", "COMP_CWORD": "1"}
    asked |= {"_TYPER_COMPLETE_ARGS": "trainwright che", "_TYPER_COMPLETE_FISH_ACTION": "get-args"}
    assert "checkpoints" in alone.run_alone(**asked).stdout


def test_without_the_extra_it_says_what_to_install() -> None:
    program = "import sys; sys.modules['typer'] = None; from client.command_line.__main__ import main; main()"
    done = subprocess.run([sys.executable, "-c", program], env=os.environ, capture_output=True, text=True, check=False)
    assert (done.returncode, "pip install 'trainwright[cli]'" in done.stderr) == (1, True)
