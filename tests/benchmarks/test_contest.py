"""Contestants take turns, and stand still between them."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import contest, training
from benchmarks.contest import Contestant, GaveUp, Measurement, entered, heats_of

OURS = Contestant("ours", "engine", is_tuned=True)
BEST = Contestant("best", "best", is_tuned=True)
NOBODY = Contestant("nobody", "nobody")
ORDER = ["--warm-up=1", "--steps=1", "--threads=1"]
LEFT_ALONE = """
import sys, time
from benchmarks.contest import Contestant, entered
with entered(Contestant("best", "best"), sys.argv[1:]) as running:
    print(running.process.pid, flush=True)
    time.sleep(600)
"""


@pytest.fixture(scope="module")
def order(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("data")
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setitem(training.SHAPES, "fashion", (200, 28, 28, 1))
        training.prepare(folder, "fashion", None)
    return ["fashion", str(folder), *ORDER]


def state_of(pid: int) -> str:
    """T: it is stopped; Z: it has ended, and so if there is nothing."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return "Z"


def wait_for(state: str, pid: int) -> None:
    end = time.monotonic() + 10.0
    while state_of(pid) != state:
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_ratio_is_ours_by_theirs_in_the_same_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    rates = {"ours": [10, 20, 30], "best": [5, 10, 10]}
    turns = {name: [Measurement(1.0, rate, 0.5, 0.0, {}) for rate in found] for name, found in rates.items()}
    monkeypatch.setattr(contest, "run", lambda heat, *_: {one.name: turns[one.name] for one in heat})
    ours, best = contest.contest([OURS, BEST], [], rounds=3)["contestants"]
    assert (ours["rate"], ours["against"]) == (20.0, 1.0)
    assert (best["rate"], best["rates"]) == (10.0, (7.5, 10.0))
    assert (best["against"], best["againsts"]) == (2.0, (2.0, 2.5))
    assert best["cpu_microseconds"] == 50_000.0


def test_each_is_held_against_the_first_of_its_precision() -> None:
    low = [Contestant(f"low {number}", "best", precision="bfloat16") for number in range(2)]
    high = [Contestant(f"high {number}", "best") for number in range(4)]
    heats = [[one.name for one in heat] for heat in heats_of([high[0], low[0], *high[1:], low[1]])]
    assert heats == [["high 0", "high 1", "high 2"], ["high 0", "high 3"], ["low 0", "low 1"]]


def test_who_cannot_run_is_left_out_and_all_others_have_their_turns(order: list[str]) -> None:
    result = contest.contest([OURS, BEST, NOBODY], order, rounds=2)
    assert result["rounds"] == 2
    assert [row["name"] for row in result["contestants"]] == ["ours", "best"]
    assert "No module named benchmarks.contestants.nobody" in result["left_out"]["nobody"]
    ours, best = result["contestants"]
    assert ours["against"] == 1.0
    assert best["rates"][0] <= best["rate"] <= best["rates"][1]
    assert best["againsts"][0] <= best["against"] <= best["againsts"][1]
    assert 0.0 < best["cpu_microseconds"] < 1e6


def test_nothing_is_held_against_one_that_cannot_run(order: list[str]) -> None:
    with pytest.raises(GaveUp, match="No module named"):
        contest.contest([NOBODY, BEST], order, rounds=1)


def test_what_was_measured_outlives_a_late_heat_without_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(
        heat: Sequence[Contestant], arguments: object, rounds: int, seconds: float, left_out: dict[str, str]
    ) -> dict[str, list[Measurement]]:
        if heat[1].name != "best":
            left_out["absent"] = "no module"
            raise GaveUp("no memory")
        return {one.name: [Measurement(1.0, 10, 0.5, 0.0, {})] for one in heat}

    others = [Contestant("late", "best"), Contestant("absent", "nobody")]
    low = [replace(OURS, name="low", precision="bfloat16"), Contestant("lower", "best", precision="bfloat16")]
    monkeypatch.setattr(contest, "BESIDE", 1)
    monkeypatch.setattr(contest, "run", run)
    result = contest.contest([OURS, BEST, *others, *low], [], rounds=1)
    assert [row["name"] for row in result["contestants"]] == ["ours", "best"]
    why = {"late": "ours: no memory", "absent": "no module", "low": "low: no memory", "lower": "low: no memory"}
    assert result["left_out"] == why


def test_it_stands_still_between_its_turns(order: list[str]) -> None:
    with entered(BEST, order) as running:
        wait_for("T", running.process.pid)
        assert running.turn().examples == 128
        wait_for("T", running.process.pid)


def test_one_that_ends_or_says_nothing_gives_up(order: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    with entered(BEST, order) as running:
        os.killpg(running.process.pid, signal.SIGKILL)
        with pytest.raises(GaveUp, match="it said nothing"):
            running.turn()
    monkeypatch.setattr(contest, "PATIENCE", 0.2)
    with pytest.raises(GaveUp, match="no word for 0 s"), entered(BEST, order):
        pass


def test_nobody_stays_behind_an_end_without_a_goodbye(order: list[str]) -> None:
    command = [sys.executable, "-c", LEFT_ALONE, *order]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as whole:
        assert whole.stdout is not None
        pid = int(whole.stdout.readline())
        whole.kill()
    try:
        wait_for("Z", pid)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)
