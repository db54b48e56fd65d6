import json
import time
from pathlib import Path

from client import Client, Job
from tests.client.command_line.conftest import DIGITS, Shell


def test_a_run_tells_its_progress_apart_from_its_result(shell: Shell, finished: Job) -> None:
    done = shell.run("run", shell.write_spec(), "--data", DIGITS)
    assert done.returncode == 0
    assert "epoch 2  train/loss" in done.stderr
    assert "validation/accuracy" in done.stdout
    assert "epoch 2  train/loss" not in done.stdout


def test_a_file_that_was_uploaded_is_not_uploaded_again(shell: Shell, finished: Job, client: Client) -> None:
    known = [dataset.id for dataset in client.datasets.list()]
    done = shell.run("run", shell.write_spec(), "--data", DIGITS, "-d")
    assert client.jobs.get(done.stdout.strip()).dataset_id == finished.dataset_id
    assert [dataset.id for dataset in client.datasets.list()] == known


def test_settings_change_the_spec(shell: Shell, finished: Job) -> None:
    change = ("--set", "optimizer.learning_rate=0.25", "--set", "name=0.25 of it", "--set", "network.hidden.0=8")
    job = shell.read("run", shell.write_spec(optimizer={"type": "sgd"}), "--data", DIGITS, *change)
    assert job["status"] == "succeeded"
    assert (job["spec"]["optimizer"], job["spec"]["network"]["hidden"]) == ({"type": "sgd", "learning_rate": 0.25}, [8])
    assert job["name"] == "0.25 of it"


def test_mistakes_are_shown_under_the_lines_that_have_them(shell: Shell, finished: Job) -> None:
    spec = shell.write_spec(optimizer={"type": "sgd", "learning_rte": 0.1})
    for command in ("run", "validate"):
        done = shell.run(command, spec, "--data", DIGITS)
        assert done.returncode == 1
        assert f"{spec}:5:32" in done.stderr
        assert '\n    5 |   "optimizer": {"type": "sgd", "learning_rte": 0.1}\n' in done.stderr
        assert f"\n      | {' ' * 31}{'^' * 14}\n" in done.stderr
        assert "did you mean `learning_rate`?" in done.stderr


def test_a_good_spec_shows_what_it_would_take(shell: Shell, finished: Job) -> None:
    done = shell.run("validate", shell.write_spec(), "--data", DIGITS)
    assert (done.returncode, "92 (46 an epoch)" in done.stdout) == (0, True)
    answer = shell.read("validate", shell.write_spec(), "--data", DIGITS)
    assert answer["estimate"]["parameters"] == 64 * 16 + 16 + 16 * 10 + 10


def test_a_spec_comes_from_standard_input(shell: Shell, finished: Job) -> None:
    text = shell.write_spec().read_text()
    done = shell.run("run", "-", "--set", f"dataset.id={finished.dataset_id}", "--json", sends=text)
    assert json.loads(done.stdout)["status"] == "succeeded"


def test_what_is_not_json_is_shown_where_it_is_not(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "job.json").write_text('{\n  "network": {"type": mlp}\n}')
    done = shell.run("run", "job.json")
    assert (done.returncode, "job.json:2:23 is not JSON" in done.stderr) == (1, True)


def test_a_job_that_fails_is_exit_code_5(shell: Shell, finished: Job) -> None:
    wild = {"type": "sgd", "learning_rate": 1e8}
    done = shell.run("run", shell.write_spec(optimizer=wild), "--data", DIGITS)
    assert done.returncode == 5
    assert "failed: diverged" in done.stderr


def test_a_job_that_is_cancelled_is_exit_code_3(shell: Shell, endless: Job) -> None:
    assert shell.run("cancel", endless.id).returncode == 0
    assert shell.run("wait", endless.id).returncode == 3


def test_waiting_long_enough_is_exit_code_6(shell: Shell, endless: Job) -> None:
    assert shell.run("wait", endless.id, "--timeout", "0.1").returncode == 6


def test_a_job_rests_and_goes_on(shell: Shell, endless: Job, client: Client) -> None:
    shell.run("pause", endless.id)
    while client.jobs.get(endless).status != "paused":
        time.sleep(0.1)
    assert shell.run("resume", endless.id).returncode == 0
    assert client.jobs.get(endless).desired_state == "run"
    shell.run("cancel", endless.id)
    shell.run("wait", endless.id)
    assert shell.run("resume", endless.id).returncode == 1


def test_a_job_is_tried_again(shell: Shell, endless: Job, client: Client) -> None:
    shell.run("cancel", endless.id)
    shell.run("wait", endless.id)
    assert shell.run("retry", endless.id).returncode == 0
    assert client.jobs.get(endless).status != "cancelled"


def test_a_fork_changes_what_it_is_told_to(shell: Shell, finished: Job) -> None:
    forked = shell.read("fork", "finished", "--set", "network.hidden.0=4", "--set", "name=null")
    assert forked["forked_from"] == finished.id
    assert forked["spec"]["network"] == {"type": "mlp", "hidden": [4]}
    assert forked["name"] is None


def test_a_fork_begins_where_it_is_told_to(shell: Shell, finished: Job, client: Client) -> None:
    forked = shell.read("fork", "finished", "--set", "name=again", "--set", "training.epochs=1", "--from", "best")
    assert forked["resolved_spec"]["warm_start"]["checkpoint"] == client.checkpoints.best(finished).id
    refused = shell.run("fork", "finished", "--set", "network.hidden.0=4", "--from", "best")
    assert (refused.returncode, "4 × 64 here and 16 × 64 in the checkpoint" in refused.stderr) == (1, True)
