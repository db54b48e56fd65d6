"""The command line answers at once, for it loads what it needs and no more."""

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from tests.client.command_line.conftest import Shell

WEIGHTY = {"torch", "numpy", "httpx", "rich.table", "client.client", "client.resources"}


@pytest.fixture
def alone(tmp_path: Path) -> Shell:
    """A shell where there is no service."""
    return Shell(tmp_path / "data", tmp_path)


PARSER = (sys.executable, "-c", "import typer, pydantic")
"""What no command can do without: where that alone is slow, so may help be."""


def seconds_of(shell: Shell, *command: str) -> float:
    """What a command takes of a processor, the least of three times: other work on the machine does not count."""
    return min(_seconds_of(shell, *command) for _ in range(3))


def _seconds_of(shell: Shell, *command: str) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, env=shell.environment, capture_output=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


@pytest.mark.parametrize("words", [("--help",), ("run", "--help"), ("datasets", "--help")], ids=" ".join)
def test_help_comes_within_300_ms(alone: Shell, words: tuple[str, ...]) -> None:
    command = (sys.executable, "-m", "client.command_line", *words)
    assert seconds_of(alone, *command) < max(0.3, 2.5 * seconds_of(alone, *PARSER))


@pytest.mark.parametrize("words", ["--help", "run --help", "--version"])
def test_help_loads_nothing_weighty(alone: Shell, words: str) -> None:
    program = f"""
import atexit, sys
atexit.register(lambda: sys.stderr.write(repr({WEIGHTY!r} & set(sys.modules))))
sys.argv = ["trainwright", *{words.split()!r}]
from client.command_line.__main__ import main
main()
"""
    done = subprocess.run(
        [sys.executable, "-c", program], env=alone.environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "set()")


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
