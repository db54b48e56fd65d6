"""Replicas compute what data-parallel training computes, and remember nothing but what a checkpoint holds."""

from pathlib import Path
from threading import Barrier, current_thread
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.worker.training.little import bars, last_of, load, pack_images, run
from tests.worker.training.test_loop import EVERYTHING, interrupted, same_bits
from worker.training import EpochDone, loop
from worker.training import batches as batches_module
from worker.training import run as run_module
from worker.training.batches import Batch, Batches, Place
from worker.training.layers import BatchNorm
from worker.training.loop import step
from worker.training.run import Run

PLAIN: dict[str, Any] = {
    "network": {"type": "cnn", "widths": [4], "head": [8]},
    "optimizer": {"type": "sgd", "learning_rate": 0.05, "momentum": 0.9},
}
NORMED: dict[str, Any] = {"network": {"type": "cnn", "widths": [4, 6], "head": [8], "norm": "batch", "padding": "same"}}


@pytest.fixture(autouse=True)
def two_threads(one_thread: None) -> None:
    torch.set_num_threads(2)


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pack_images(tmp_path_factory.mktemp("bars"), train=bars(90), test=bars(30, seed=1))


def replicated(packed: Path, words: dict[str, Any], replicas: int, **training: Any) -> Run:
    training = {"epochs": 2, "batch_size": 16, "replicas": replicas, **training}
    spec, data = load(packed, {**words, "training": training})
    return Run(spec, data, "cpu")


@pytest.mark.parametrize("replicas", [2, 3])
@pytest.mark.parametrize("accumulate", [1, 2])
def test_without_chance_and_norms_replicas_learn_what_one_network_learns(
    packed: Path, replicas: int, accumulate: int
) -> None:
    alone, several = (replicated(packed, PLAIN, count, accumulate=accumulate) for count in (1, replicas))
    for _ in range(2):
        step(alone)
        step(several)
    for mine, theirs in zip(alone.parameters, several.parameters, strict=True):
        torch.testing.assert_close(theirs, mine, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(torch.stack(several.rows), torch.stack(alone.rows), rtol=1e-4, atol=1e-6)


def test_all_replicas_have_the_same_weights_and_gradients_of_their_own(packed: Path) -> None:
    several = replicated(packed, PLAIN, 2)
    step(several)
    first, other = several.replicas.first, several.replicas.others[0]
    for mine, its in zip(first.parameters, other.parameters, strict=True):
        assert its.data_ptr() == mine.data_ptr()
        assert its.grad is not None
        assert mine.grad is not None
        assert its.grad.data_ptr() != mine.grad.data_ptr()


def test_no_more_threads_work_than_a_trainer_has_and_what_they_compute_does_not_depend_on_it(
    packed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    learned, workers, ended = loop.learned, set(), []
    all_of_them = Barrier(3, timeout=10)

    def noted(*arguments: Any) -> Any:
        workers.add(current_thread().name)
        if threads == 3:
            all_of_them.wait()
        return learned(*arguments)

    monkeypatch.setattr(loop, "learned", noted)
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        several = replicated(packed, PLAIN, 3)
        workers.clear()
        for _ in range(4):
            step(several)
        several.replicas.close()
        assert len(workers) <= threads
        ended.append([parameter.detach().clone() for parameter in several.parameters])
    assert workers == {"replica_0", "replica_1", "replica_2"}
    for weights in zip(*ended, strict=True):
        assert torch.equal(weights[0], weights[1])
        assert torch.equal(weights[0], weights[2])


def test_running_statistics_are_the_mean_of_those_of_the_parts(packed: Path) -> None:
    several = replicated(packed, NORMED, 2)
    twin = replicated(packed, NORMED, 1)
    positions = twin.order(0)[:16]
    found = [statistics_after(twin, part) for part in positions.tensor_split(2)]
    step(several)
    for one, other, mean in zip(*found, several.buffers, strict=True):
        torch.testing.assert_close(mean, (one + other) / 2)


def statistics_after(run: Run, positions: Tensor) -> list[Tensor]:
    """Of a forward pass from the first statistics on."""
    for module in run.network.modules():
        if isinstance(module, BatchNorm):
            nn.init.zeros_(module.running_mean)
            nn.init.ones_(module.running_var)
    run.network(run.feed.training_batch(run.data.training, positions, 0, 0)[0])
    return [buffer.clone() for buffer in run.buffers]


def test_each_replica_drops_other_numbers(packed: Path) -> None:
    several = replicated(packed, {**PLAIN, "regularization": [{"type": "dropout", "rate": 0.5}]}, 2)
    several.replicas.begin(0, 0)
    ones = torch.ones(8, 8)
    first, other = (one.dropout(ones, "head.0") for one in (several.replicas.first, several.replicas.others[0]))
    assert not torch.equal(first, other)
    assert several.replicas.first.feed.tally is not several.replicas.others[0].feed.tally


WAYS: list[dict[str, Any]] = [
    {},
    {"regularization": [{"type": "sam"}, {"type": "dropout", "rate": 0.3}]},
    {"regularization": [{"type": "spectral_norm"}, {"type": "activity", "l2": 1e-3}]},
    {"regularization": [{"type": "gaussian_noise", "std": 0.01, "on": "weights"}, {"type": "l1", "weight": 1e-4}]},
    {"augmentation": [{"type": "mixup"}], "loss": {"type": "cross_entropy", "class_weights": "balanced"}},
    {"training": {"precision": "float16", "accumulate": 2, "averaging": {"type": "ema", "half_life": "3 steps"}}},
]


@pytest.mark.parametrize("way", WAYS)
def test_an_interrupted_run_of_replicas_ends_with_the_same_bits(
    packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: dict[str, Any]
) -> None:
    monkeypatch.setattr(run_module, "FLUSH_STEPS", 1)
    training = {**EVERYTHING["training"], "replicas": 3, **way.get("training", {})}
    words = {**EVERYTHING, **way, "training": training}
    assert same_bits(last_of(run(packed, words)), interrupted(packed, words, tmp_path, 3, 7))


@pytest.mark.parametrize("large", [1, batches_module.LARGE_BATCH])
@pytest.mark.parametrize("way", [*WAYS, {"training": {"accumulate": 3}}])
def test_when_a_batch_is_made_changes_nothing(
    packed: Path, monkeypatch: pytest.MonkeyPatch, way: dict[str, Any], large: int
) -> None:
    monkeypatch.setattr(batches_module, "LARGE_BATCH", large)
    training = {**EVERYTHING["training"], "replicas": 2, **way.get("training", {})}
    words = {**EVERYTHING, **way, "training": training}
    ahead = last_of(run(packed, words))
    monkeypatch.setattr(Batches, "prepare", lambda *_: None)
    assert same_bits(last_of(run(packed, words)), ahead)


def test_a_small_batch_is_augmented_as_that_of_one_network(packed: Path) -> None:
    several = replicated(packed, {**PLAIN, "augmentation": [{"type": "affine", "rotation": 20}, {"type": "mixup"}]}, 3)
    positions = several.order(0)[:16]
    place = Place(epoch=0, step=5, number=2)
    parts = [make() for make in several.batches.parts(positions, place)]
    assert [len(part.targets) for part in parts] == [6, 5, 5]
    inputs, targets = several.feed.training_batch(several.data.training, positions, 0, 5, 2)
    assert torch.equal(torch.cat([part.inputs for part in parts]), inputs)
    assert torch.equal(torch.cat([part.targets for part in parts]), targets)
    assert [bool(part.counts.known or part.counts.counted) for part in parts] == [True, False, False]


def test_the_parts_of_a_large_batch_are_made_by_all_threads(packed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = last_of(run(packed, {**PLAIN, "training": {"epochs": 2, "batch_size": 16, "replicas": 2}}))
    monkeypatch.setattr(batches_module, "LARGE_BATCH", 1)
    several, makers, all_of_them = replicated(packed, PLAIN, 2), [], Barrier(2, timeout=10)
    made = several.batches.made

    def noted(*which: Any) -> Batch:
        all_of_them.wait()
        makers.append((current_thread().name, which[1].tolist(), which[2].step))
        return made(*which)

    monkeypatch.setattr(several.batches, "made", noted)
    parts = [several.examples_of_step(ahead).tensor_split(2) for ahead in (0, 1)]
    step(several)
    assert several.replicas.pool is not None
    several.replicas.pool.shutdown()
    assert sorted(name for name, *_ in makers) == ["replica_0", "replica_0", "replica_1", "replica_1"]
    of_steps = [(part.tolist(), place) for place, both in enumerate(parts) for part in both]
    assert sorted((part, place) for _, part, place in makers) == sorted(of_steps), "those of the next step among them"
    large = last_of(run(packed, {**PLAIN, "training": {"epochs": 2, "batch_size": 16, "replicas": 2}}))
    assert same_bits(small, large), "nothing was drawn for their examples"


def test_a_batch_is_made_beside_the_update_with_as_many_threads_as_any(
    packed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    several = replicated(packed, PLAIN, 2)
    makers = []
    make = several.feed.training_batch

    def noted(*arguments: Any) -> tuple[Tensor, Tensor]:
        makers.append((current_thread().name.rpartition("_")[0], torch.get_num_threads()))
        return make(*arguments)

    monkeypatch.setattr(several.feed, "training_batch", noted)
    mine, another = ("", 1), ("replica", 1)
    step(several)
    several.replicas.together()  # as an evaluation does
    while not several.at_epoch_end:
        step(several)
    several.replicas.close()
    assert makers == [mine, *[another] * (several.position.step - 1)], "of the next epoch nothing is known yet"


def test_the_disk_is_asked_for_the_next_examples_before_the_passes_of_a_step(
    packed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    several = replicated(packed, {**PLAIN, "regularization": [{"type": "sam"}]}, 2)
    wanted = several.examples_of_step(1)
    seen: list[Any] = []
    monkeypatch.setattr(several.batches.ahead, "ask", seen.append)
    parts = several.batches.parts

    def noted(*which: Any) -> Any:
        seen.append("a pass")
        return parts(*which)

    monkeypatch.setattr(several.batches, "parts", noted)
    step(several)
    several.replicas.close()
    asked, *passes = seen
    rows = several.data.training.rows
    assert torch.equal(asked, wanted if rows is None else rows[wanted])
    assert passes == ["a pass", "a pass"]


def test_a_batch_that_could_not_be_made_ends_the_run_at_its_step(packed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    several = replicated(packed, PLAIN, 2)
    make = several.feed.training_batch

    def failing(part: Any, positions: Tensor, epoch: int, step: int, *others: Any) -> tuple[Tensor, Tensor]:
        if step == 2:
            raise OSError("the disk is gone")
        return make(part, positions, epoch, step, *others)

    monkeypatch.setattr(several.feed, "training_batch", failing)
    step(several)
    step(several)
    with pytest.raises(OSError, match="the disk is gone"):
        step(several)
    several.replicas.close()
    assert several.position.step == 2


def test_counts_of_all_replicas_are_counted(packed: Path) -> None:
    several = replicated(packed, {**PLAIN, "regularization": [{"type": "dropout", "rate": 0.5}]}, 2)
    step(several)
    assert several.tally.read()["dropout/head.0/numbers"] == 16 * 8


def test_frozen_layers_stay_as_they_are(packed: Path) -> None:
    multipliers = {"convolutions.0": 0.0}
    words = {**PLAIN, "optimizer": {"type": "sgd", "learning_rate": 0.05, "multipliers": multipliers}}
    several = replicated(packed, words, 2)
    before = several.network.get_parameter("convolutions.0.weight").clone()
    step(several)
    assert torch.equal(several.network.get_parameter("convolutions.0.weight"), before)


def test_a_run_leaves_the_threads_as_it_found_them(packed: Path) -> None:
    threads = torch.get_num_threads()
    words = {**PLAIN, "training": {"epochs": 1, "batch_size": 16, "replicas": 2}}
    assert any(isinstance(event, EpochDone) for event in run(packed, words))
    assert torch.get_num_threads() == threads
