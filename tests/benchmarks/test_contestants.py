"""Contestants train the same network as the engine, and start as they say."""

import json
from pathlib import Path

import pytest
from torch import nn

from benchmarks import images, training
from benchmarks.contest import Contestant, environment_of, tuned
from benchmarks.contestants.best import replicas_of
from benchmarks.contestants.networks import network_of
from benchmarks.contestants.race import Race
from models.spec import parse_spec
from models.spec.task import task_of
from worker.alone import resolved
from worker.training.data import read_manifest
from worker.training.network import build_network

WORKLOADS = [*training.TITLES, *images.SIDES]
SPECS = Path(images.__file__).parent / "workloads"


def pack(workload: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two hundred examples: enough for every class to have some."""
    if workload in images.SIDES:
        images.prepare(folder, images.SIDES[workload], 200)
    else:
        monkeypatch.setitem(training.SHAPES, workload, (200, *training.SHAPES[workload][1:]))
        training.prepare(folder, workload, None)
    return folder / "packed"


def sizes(network: nn.Module) -> list[tuple[int, ...]]:
    return sorted(tuple(parameter.shape) for parameter in network.parameters())


@pytest.mark.parametrize("workload", WORKLOADS)
def test_all_train_the_network_of_our_spec(workload: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packed = pack(workload, tmp_path, monkeypatch)
    spec = resolved(parse_spec(json.loads((SPECS / f"{workload}.json").read_bytes())), packed, None)
    ours = build_network(spec, task_of(spec, read_manifest(packed)))
    race = Race(workload, tmp_path, warm_up=0, steps=0, threads=1, precision="float32", replicas=2)
    theirs = [network_of(race), *([one.network for one in replicas_of(race)] if race.is_image else [])]
    assert [sizes(network) for network in theirs] == [sizes(ours)] * len(theirs)


def test_only_who_says_so_is_tuned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MALLOC_ARENA_MAX", "1")
    plain = Contestant("plain loop", "plain")
    [other] = tuned([plain])
    assert other.name == "plain loop, tuned"
    as_it_comes, told = environment_of(plain), environment_of(other)
    tuning = ("MALLOC_", "GLIBC_", "GOMP_")
    assert as_it_comes == {name: value for name, value in told.items() if not name.startswith(tuning)}
    assert {"MALLOC_TRIM_THRESHOLD_", "GLIBC_TUNABLES", "GOMP_SPINCOUNT"} <= set(told)


@pytest.mark.parametrize("everyone", [training.contestants(workload, True) for workload in training.TITLES])
def test_no_two_contestants_have_the_same_name(everyone: list[Contestant]) -> None:
    assert len({one.name for one in everyone}) == len(everyone)
    assert all(one.is_tuned for one in everyone if one.module in {"engine", "best"})
