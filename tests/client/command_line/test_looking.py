import hashlib
import json
from pathlib import Path

import pytest

from client import Client, Job
from tests.client.command_line.conftest import Shell


def test_jobs_are_listed(shell: Shell, finished: Job) -> None:
    done = shell.run("ps", "--name", "finished", "--status", "succeeded")
    assert finished.id in done.stdout
    assert "epoch 2/2" in done.stdout
    assert [job["id"] for job in shell.read("ps", "--name", "finished")] == [finished.id]


def test_a_job_has_an_id_a_name_or_is_the_last(shell: Shell, finished: Job, client: Client) -> None:
    assert shell.read("show", finished.id)["id"] == shell.read("show", "finished")["id"] == finished.id
    assert shell.read("show", "last")["id"] == next(client.jobs.list()).id
    unknown = shell.run("show", "finishe")
    assert (unknown.returncode, unknown.stderr) == (1, "error: no job has the id or the name 'finishe'\n")


def test_an_id_that_is_unknown_is_an_error(shell: Shell) -> None:
    done = shell.run("show", "job_" + "0" * 32)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: ")


def test_a_job_is_shown_whole(shell: Shell, finished: Job) -> None:
    shown = shell.run("show", finished.id).stdout
    for words in (finished.id, "succeeded", "validation/accuracy", '"hidden": ['):
        assert words in shown


def test_a_watched_job_is_told_event_by_event(shell: Shell, finished: Job, client: Client) -> None:
    lines = [json.loads(line) for line in shell.run("watch", finished.id, "--json").stdout.splitlines()]
    assert [line["id"] for line in lines if "id" in line] == [event.id for event in client.jobs.events(finished)]


def test_logs_are_told(shell: Shell, finished: Job) -> None:
    assert "job_claimed" in shell.run("logs", finished.id, "--source", "worker").stdout
    assert shell.run("logs", finished.id, "--source", "nobody").returncode == 2
    assert {line["job_id"] for line in shell.read("logs", finished.id)} == {finished.id}


def test_curves_are_lines_of_text(shell: Shell, finished: Job) -> None:
    shown = shell.run("metrics", finished.id, "-k", "train/loss").stdout.splitlines()
    assert [line.split()[0] for line in shown if "/" in line] == ["train/loss"]
    assert "█▁" in shown[-1]
    assert len(shell.read("metrics", finished.id, "--each", "step")["columns"]["step"]) == 92


def test_jobs_are_compared(shell: Shell, finished: Job) -> None:
    forked = shell.read("fork", finished.id, "--set", "seed=7", "--set", "name=other")
    shown = shell.run("compare", "finished", "other").stdout
    assert "/seed" in shown
    assert "/network" not in shown
    assert "ONLY THE SEED DIFFERS: finished, other" in shown
    assert [job["id"] for job in shell.read("compare", "finished", "other")["jobs"]] == [finished.id, forked["id"]]


def test_the_best_checkpoint_comes_home_verified(shell: Shell, finished: Job, client: Client) -> None:
    best = client.checkpoints.best(finished)
    assert best.sha256[:16] in shell.run("checkpoints", finished.id).stdout
    path = Path(shell.home / shell.run("download", finished.id).stdout.strip())
    assert hashlib.sha256(path.read_bytes()).hexdigest() == best.sha256
    assert shell.read("download", best.id, "weights.safetensors")["path"] == "weights.safetensors"


def test_the_catalogue_is_read_from_the_top_down(shell: Shell) -> None:
    assert "adamw" in shell.run("catalog").stdout
    assert "Kingma" in shell.run("catalog", "optimizer", "adam").stdout
    assert set(shell.read("catalog", "clipping")["types"]) >= {"global_norm", "value"}
    assert "it has" in shell.run("catalog", "optimizer", "adm").stderr


def test_a_data_set_is_uploaded_and_looked_into(shell: Shell) -> None:
    (shell.home / "flowers.csv").write_text("length,kind\n" + "1.5,rose\n2.5,daisy\n" * 20)
    done = shell.run("datasets", "upload", "flowers.csv", "--name", "two flowers")
    shown = shell.run("datasets", "show", done.stdout.strip()).stdout
    assert (done.returncode, "daisy" in shown) == (0, True)
    assert "two flowers" in shell.run("datasets", "list").stdout
    assert shell.run("datasets", "delete", done.stdout.strip()).returncode == 0
    assert done.stdout.strip() not in {dataset["id"] for dataset in shell.read("datasets", "list")}


def test_a_large_file_goes_by_parts_and_one_that_was_cut_says_how_to_go_on(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("client.sending.PART_BYTES", 100)
    (shell.home / "many.csv").write_text("length,kind\n" + "1.5,rose\n2.5,daisy\n" * 20)
    cut = shell.run("datasets", "upload", "many.csv", TRAINWRIGHT_URL="http://127.0.0.1:1", TRAINWRIGHT_API_KEY="tw_x")
    assert (cut.returncode, "The same command goes on with it" in cut.stderr) == (1, True)
    dataset = shell.read("datasets", "upload", "many.csv")
    assert (dataset["status"], dataset["upload_bytes"]) == ("ready", (shell.home / "many.csv").stat().st_size)


def test_examples_are_looked_at_and_taken_home(shell: Shell, finished: Job) -> None:
    shown = shell.run("datasets", "samples", finished.dataset_id, "--seed", 1, "--limit", 3, "--save", "digits")
    assert (shown.returncode, shown.stdout.count("8×8 pixels")) == (0, 3)
    indices = [
        sample["index"] for sample in shell.read("datasets", "samples", finished.dataset_id, "--seed", 1)["data"]
    ]
    names = {path.name for path in (shell.home / "digits").iterdir()}
    assert names == {f"train-{index:06d}.png" for index in indices[:3]}


def test_an_upload_that_cannot_be_read_says_why(shell: Shell) -> None:
    (shell.home / "x.npz").write_bytes(b"nothing")
    done = shell.run("datasets", "upload", "x.npz")
    assert done.returncode == 1
    assert "failed" in done.stderr


def test_names_command_no_terminal(shell: Shell, finished: Job) -> None:
    shell.read("fork", finished.id, "--set", 'name="[red]x\\u001b[31m"')
    for shown in (shell.run("show", "last"), shell.run("ps"), shell.run("compare", "last", "finished")):
        assert "\x1b" not in shown.stdout
        assert "[red]x\ufffd[31m" in shown.stdout


def test_the_page_of_a_job_has_an_address(shell: Shell, finished: Job) -> None:
    assert shell.run("open", "finished", "--print").stdout.strip().endswith(f"/jobs/{finished.id}")
