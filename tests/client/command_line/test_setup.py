import stat
from pathlib import Path

from tests.client.command_line.conftest import Shell
from tests.local.machine import Machine


def elsewhere(shell: Shell) -> Shell:
    """A machine on which no service runs."""
    return Shell(shell.home / "nothing", shell.home)


def test_a_service_is_kept_with_its_key_where_only_its_user_reads(shell: Shell, machine: Machine) -> None:
    away = elsewhere(shell)
    assert away.run("login", machine.url, "--as", "lab", sends=machine.api_key + "\n").returncode == 0
    (kept,) = (shell.home / "configuration" / "trainwright").iterdir()
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert away.run("ps").returncode == 0
    assert away.run("--profile", "lab", "ps").returncode == 0
    assert away.run("profiles", "list").stdout == f"* lab  {machine.url}\n"
    assert away.run("profiles", "forget", "lab").returncode == 0
    assert away.run("--profile", "lab", "ps").returncode == 1


def test_a_wrong_key_is_not_kept_and_is_exit_code_4(shell: Shell, machine: Machine) -> None:
    wrong = "tw_" + "0" * 32 + "_" + "a" * 43
    assert elsewhere(shell).run("login", machine.url, sends=wrong).returncode == 4
    assert not (shell.home / "configuration").exists()
    assert shell.run("ps", TRAINWRIGHT_URL=machine.url, TRAINWRIGHT_API_KEY=wrong).returncode == 4


def test_a_doctor_finds_nothing_where_all_is_well(shell: Shell) -> None:
    done = shell.run("doctor")
    assert (done.returncode, done.stdout.count("ok  "), "FAIL" in done.stdout) == (0, 5, False)


def test_a_doctor_tells_what_is_in_the_way(shell: Shell, machine: Machine) -> None:
    away = elsewhere(shell)
    done = away.run("doctor", TRAINWRIGHT_URL="http://127.0.0.1:9")
    assert (done.returncode, "does not answer" in done.stdout) == (1, True)
    done = away.run("doctor", TRAINWRIGHT_URL=machine.url)
    assert (done.returncode, "no API key" in done.stdout) == (1, True)


def test_a_service_that_is_not_there_is_exit_code_1(shell: Shell, tmp_path: Path) -> None:
    done = shell.run("ps", TRAINWRIGHT_URL="http://127.0.0.1:9")
    assert (done.returncode, done.stdout) == (1, "")
    assert "Traceback" not in done.stderr
