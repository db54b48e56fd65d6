"""Runs from end to end on little images: what they tell, and that nothing between two steps changes the next one."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.worker.training.little import bars, last_of, load, pack_images, run
from worker.training import (
    CheckpointReady,
    Control,
    Diverged,
    EpochDone,
    Finished,
    Resume,
    Started,
    StepsDone,
    read_checkpoint,
    save_checkpoint,
    train,
)
from worker.training import run as run_module
from worker.training.inputs import Feed
from worker.training.network import build_network

EVERYTHING: dict[str, Any] = {
    "network": {"type": "cnn", "widths": [4, 6], "head": [8], "norm": "batch", "padding": "same", "pooling": "each"},
    "regularization": [{"type": "l1_l2", "l1": 1e-4, "l2": 1e-3}, {"type": "dropout", "rate": 0.3}],
    "augmentation": [{"type": "affine", "rotation": 10, "shift": [0.1, 0.1]}, {"type": "horizontal_flip"}],
    "clipping": {"type": "global_norm", "nonfinite": "skip_step"},
    "training": {"epochs": 4, "batch_size": 16},
}
OPTIMIZERS = [
    {"type": "sgd", "learning_rate": 0.05, "momentum": 0.9},
    {"type": "adam", "learning_rate": 0.01},
    {"type": "adamw", "learning_rate": 0.01},
    {"type": "rmsprop", "learning_rate": 0.003, "momentum": 0.5, "centered": True},
    {"type": "nadam"},
    {"type": "radam"},
    {"type": "adamax"},
    {"type": "adagrad"},
    {"type": "adadelta"},
    {"type": "adafactor"},
    {"type": "lion", "multipliers": {"biases": 2, "convolutions.0": 0}},
    {"type": "lamb"},
    {"type": "muon", "other": {"type": "sgd", "momentum": 0.9}},
]


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pack_images(tmp_path_factory.mktemp("bars"), train=bars(90), test=bars(30, seed=1))


def same_bits(one: CheckpointReady, other: CheckpointReady) -> bool:
    tensors = {**one.weights, **one.state.tensors}, {**other.weights, **other.state.tensors}
    return tensors[0].keys() == tensors[1].keys() and all(torch.equal(tensors[0][k], tensors[1][k]) for k in tensors[0])


def interrupted(packed: Path, words: dict[str, Any], folder: Path, *stops: int) -> CheckpointReady:
    """The last checkpoint of a run that was stopped behind each of these steps and taken up from disk."""
    resume: Resume | None = None
    newest: CheckpointReady | None = None
    for stop in (*stops, None):
        spec, data = load(packed, words)
        control = Control()
        events = train(spec, data, resume_from=resume, control=control)
        for event in stopping(events, control, stop):
            newest = event if isinstance(event, CheckpointReady) else newest
        assert newest is not None
        save_checkpoint(newest, folder / "weights", folder / "state")
        resume = read_checkpoint(folder / "weights", folder / "state")
    assert newest is not None
    return newest


def stopping(events: Any, control: Control, stop: int | None) -> Iterator[Any]:
    """Asks for a stop behind this step, which must come."""
    step = 0

    def count() -> None:
        nonlocal step
        step += 1
        if step == stop:
            control.request_stop()

    control.after_step = count
    for event in events:
        if isinstance(event, Started):
            step = event.start_step
        yield event
    assert stop is None or step == stop


@pytest.fixture
def every_step_is_flushed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_module, "FLUSH_STEPS", 1)


@pytest.mark.usefixtures("every_step_is_flushed")
@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=lambda optimizer: optimizer["type"])
@pytest.mark.parametrize("stops", [(1,), (5,), (7, 13)])
def test_an_interrupted_run_ends_with_the_same_bits(
    packed: Path, tmp_path: Path, optimizer: dict[str, Any], stops: tuple[int, ...]
) -> None:
    words = {**EVERYTHING, "optimizer": optimizer}
    assert same_bits(last_of(run(packed, words)), interrupted(packed, words, tmp_path, *stops))


WAYS: list[dict[str, Any]] = [
    {"accumulate": 2},
    {"averaging": {"type": "ema", "half_life": "3 steps"}},
    {"averaging": {"type": "ema", "decay": 0.8, "warmup": False}, "accumulate": 3, "epochs": 9},
    {"averaging": {"type": "swa", "start": "25%", "every": "2 steps", "learning_rate": 0.02}},
    {"precision": "bfloat16"},
    {"precision": "float16", "accumulate": 2},
    {"averaging": {"type": "lookahead", "k": 3}, "early_stopping": {"patience": 1, "min_delta": 0.1}},
]
"""Of training, each with something of its own to remember."""


@pytest.mark.usefixtures("every_step_is_flushed")
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("stops", [(1,), (7, 11)])
def test_every_way_of_training_remembers_over_an_interruption(
    packed: Path, tmp_path: Path, way: dict[str, Any], stops: tuple[int, ...]
) -> None:
    words = {**EVERYTHING, "training": {**EVERYTHING["training"], **way}}
    whole, resumed = last_of(run(packed, words)), interrupted(packed, words, tmp_path, *stops)
    assert same_bits(whole, resumed)
    assert whole.metrics == resumed.metrics


@pytest.mark.parametrize("loss", [{}, {"class_weights": [0.5, 2.0, 1.0, 3.0]}])
def test_many_small_batches_are_one_large_one(packed: Path, loss: dict[str, Any]) -> None:
    words: dict[str, Any] = {"regularization": [{"type": "l2", "weight": 0.01}]}
    words |= {"clipping": {"type": "global_norm", "max_norm": 0.5}}
    words |= {"loss": {"type": "cross_entropy", **loss}, "optimizer": {"type": "sgd", "learning_rate": 0.1}}
    small = last_of(run(packed, {**words, "training": {"epochs": 3, "batch_size": 10, "accumulate": 5}}))
    large = last_of(run(packed, {**words, "training": {"epochs": 3, "batch_size": 50}}))
    assert small.step == large.step == 6
    for name, value in large.weights.items():
        torch.testing.assert_close(small.weights[name], value, rtol=1e-4, atol=1e-6)
    assert small.metrics == pytest.approx(dict(large.metrics), rel=1e-4)


@pytest.mark.parametrize("accumulate", [1, 3])
def test_steps_of_nothing_but_classes_that_do_not_count_end_no_run(packed: Path, accumulate: int) -> None:
    words = {"loss": {"type": "cross_entropy", "class_weights": [1, 0, 0, 0]}}
    last = last_of(run(packed, {**words, "training": {"epochs": 1, "batch_size": 2, "accumulate": accumulate}}))
    assert math.isfinite(last.metrics["train/loss"])
    assert all(value.isfinite().all() for value in last.weights.values())


def test_the_averaged_weights_are_saved_and_training_goes_on_from_the_raw_ones(packed: Path) -> None:
    plain = last_of(run(packed, EVERYTHING))
    words = {**EVERYTHING, "training": {**EVERYTHING["training"], "averaging": {"type": "ema", "decay": 0.9}}}
    averaged = last_of(run(packed, words))
    for name, value in plain.weights.items():
        assert torch.equal(value, averaged.state.tensors[f"raw/{name}"])
    assert not torch.equal(plain.weights["output.weight"], averaged.weights["output.weight"])


def test_an_epoch_tells_what_its_steps_were_like(packed: Path) -> None:
    words = {"clipping": {"type": "global_norm", "max_norm": 1.0}, "training": {"epochs": 1, "batch_size": 16}}
    events = run(packed, words)
    steps, epoch = (next(event for event in events if isinstance(event, kind)) for kind in (StepsDone, EpochDone))
    assert isinstance(steps, StepsDone)
    assert isinstance(epoch, EpochDone)
    assert epoch.metrics["train/clipped_share"] == pytest.approx(sum(steps.columns["clipped"]) / 5)
    assert epoch.metrics["train/gradient_norm"] == pytest.approx(sum(steps.columns["gradient_norm"]) / 5)
    flat = torch.cat([value.flatten() for value in last_of(events).weights.values()])
    assert epoch.metrics["train/weight_norm"] == pytest.approx(flat.norm().item(), rel=1e-5)
    assert epoch.metrics["train/skipped_share"] == 0.0


@pytest.mark.usefixtures("every_step_is_flushed")
def test_the_history_of_norms_is_taken_up_after_an_interruption(packed: Path, tmp_path: Path) -> None:
    words = {**EVERYTHING, "clipping": {"type": "percentile", "percentile": 40, "window": 5}}
    assert same_bits(last_of(run(packed, words)), interrupted(packed, words, tmp_path, 4, 11))


CLIPPINGS = [
    {"type": "norm", "max_norm": 0.05},
    {"type": "value", "clip_value": 0.01},
    {"type": "adaptive"},
    {"type": "percentile"},
]


@pytest.mark.parametrize("clipping", CLIPPINGS, ids=lambda clipping: clipping["type"])
def test_clipping_changes_the_run_and_says_how_often(packed: Path, clipping: dict[str, Any]) -> None:
    events = run(packed, {"clipping": clipping})
    shares = [event.metrics["train/clipped_share"] for event in events if isinstance(event, EpochDone)]
    assert max(shares) > 0.5
    assert not same_bits(last_of(events), last_of(run(packed, {})))


@pytest.mark.usefixtures("every_step_is_flushed")
@pytest.mark.parametrize("stops", [(3,), (10,), (6, 11)])
def test_plateau_and_early_stopping_remember_over_an_interruption(
    packed: Path, tmp_path: Path, stops: tuple[int, ...]
) -> None:
    watchers = {
        "schedule": {"type": "plateau", "patience": 0, "threshold": 0.9},
        "training": {
            "epochs": 8,
            "batch_size": 16,
            "early_stopping": {"patience": 2, "min_delta": 0.3, "metric": "validation/loss"},
        },
    }
    words = {**EVERYTHING, **watchers}
    whole, resumed = last_of(run(packed, words)), interrupted(packed, words, tmp_path, *stops)
    assert whole.state.progress["ended"] == resumed.state.progress["ended"] == "early_stopping"
    assert whole.state.progress["plateau"] == resumed.state.progress["plateau"]
    assert same_bits(whole, resumed)


def test_the_weights_file_of_equal_runs_is_equal_byte_for_byte(packed: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        save_checkpoint(last_of(run(packed, EVERYTHING)), tmp_path / name, tmp_path / f"{name}.state")
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


@pytest.mark.parametrize("every", ["1 steps", "3 steps", "7 epochs"])
@pytest.mark.parametrize("flush_steps", [1, 1000])
def test_how_often_anything_is_saved_or_told_changes_nothing(
    packed: Path, monkeypatch: pytest.MonkeyPatch, every: str, flush_steps: int
) -> None:
    plain = last_of(run(packed, EVERYTHING))
    monkeypatch.setattr(run_module, "FLUSH_STEPS", flush_steps)
    assert same_bits(plain, last_of(run(packed, {**EVERYTHING, "checkpoints": {"every": every}})))


def test_holding_nothing_back_for_validation_trains_the_same_weights_as_validating_on_another_split(
    packed: Path,
) -> None:
    with_test = {**EVERYTHING, "dataset": {"id": "little", "validation": {"split": "test"}}}
    without = {**EVERYTHING, "dataset": {"id": "little"}}
    one, other = last_of(run(packed, with_test)).weights, last_of(run(packed, without)).weights
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_another_seed_trains_other_weights(packed: Path) -> None:
    assert not same_bits(last_of(run(packed, EVERYTHING)), last_of(run(packed, {**EVERYTHING, "seed": 1})))


def test_events_come_in_order_and_every_step_is_told_once(packed: Path) -> None:
    events = run(packed, {"training": {"epochs": 2, "batch_size": 16}})
    assert isinstance(events[0], Started)
    assert isinstance(events[-1], Finished)
    steps = [step for event in events if isinstance(event, StepsDone) for step in event.columns["step"]]
    assert steps == list(range(1, 1 + events[0].steps)) == list(range(1, 11))
    assert [event.epoch for event in events if isinstance(event, EpochDone)] == [1, 2]
    assert [event.kind for event in events if isinstance(event, CheckpointReady)] == ["epoch", "last"]


def test_it_learns_to_tell_bars_apart(packed: Path) -> None:
    words = {"training": {"epochs": 12, "batch_size": 16}, "optimizer": {"type": "adam", "learning_rate": 0.01}}
    finished = run(packed, words)[-1]
    assert isinstance(finished, Finished)
    assert finished.last["validation/accuracy"] > 0.9


def test_a_run_of_steps_may_end_within_an_epoch_and_is_evaluated_there(packed: Path) -> None:
    events = run(packed, {"training": {"steps": 7, "batch_size": 16}})
    assert [event.step for event in events if isinstance(event, EpochDone)] == [5, 7]
    assert isinstance(events[-1], Finished)
    assert events[-1].reason == "completed"


def test_early_stopping_ends_with_the_weights_of_the_best_epoch(packed: Path) -> None:
    rule = {"metric": "validation/loss", "patience": 2}
    words = {
        "optimizer": {"type": "sgd", "learning_rate": 2.0},
        "checkpoints": {"keep_best": {"metric": "validation/loss"}},
        "training": {"epochs": 40, "batch_size": 16, "early_stopping": rule},
    }
    events = run(packed, words)
    finished, best = events[-1], [event for event in events if isinstance(event, CheckpointReady) and event.is_best][-1]
    assert isinstance(finished, Finished)
    assert finished.reason == "early_stopping"
    assert finished.last == finished.best
    assert finished.epoch == best.epoch + 2
    assert all(torch.equal(best.weights[name], value) for name, value in last_of(events).weights.items())


def test_a_time_limit_ends_the_run_at_a_step_with_an_evaluation(packed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_module.Run, "out_of_time", property(lambda self: self.position.step >= 3))
    events = run(packed, {"training": {"epochs": 50, "batch_size": 16, "time_limit": 1}})
    assert isinstance(events[-1], Finished)
    assert (events[-1].reason, events[-1].step) == ("time_limit", 3)
    assert "validation/accuracy" in events[-1].last


@pytest.mark.usefixtures("every_step_is_flushed")
def test_a_checkpoint_can_be_asked_for_at_any_step(packed: Path) -> None:
    spec, data = load(packed, {})
    control, taken = Control(), []
    for event in train(spec, data, control=control):
        if isinstance(event, StepsDone) and event.progress.step == 3:
            control.request_checkpoint()
        if isinstance(event, CheckpointReady):
            taken.append((event.kind, event.step))
    assert taken == [("step", 3), ("epoch", 5), ("last", 10)]


def test_a_finished_run_that_is_taken_up_again_only_finishes(packed: Path, tmp_path: Path) -> None:
    last = last_of(run(packed, EVERYTHING))
    save_checkpoint(last, tmp_path / "weights", tmp_path / "state")
    events = run(packed, EVERYTHING, read_checkpoint(tmp_path / "weights", tmp_path / "state"))
    assert not [event for event in events if isinstance(event, StepsDone)]
    assert isinstance(events[-1], Finished)
    assert same_bits(last, last_of(events))


def test_a_rate_far_too_high_diverges_and_says_at_which_step(packed: Path) -> None:
    spec, data = load(packed, {"optimizer": {"type": "sgd", "learning_rate": 1e6}})
    told: list[StepsDone] = []
    with pytest.raises(Diverged) as error:
        told += [event for event in train(spec, data) if isinstance(event, StepsDone)]
    assert 1 < error.value.step < 10
    assert "lower learning rate" in error.value.advice


def test_skipping_forgives_as_many_steps_as_it_is_told(packed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    poison(monkeypatch, {2, 3})
    words = {**EVERYTHING, "training": {"epochs": 2, "batch_size": 16, "max_grad_failures": 2}}
    events = run(packed, words)
    skipped = [value for event in events if isinstance(event, StepsDone) for value in event.columns["skipped"]]
    assert [step for step, value in enumerate(skipped) if value] == [2, 3]
    assert all(value.isfinite().all() for value in last_of(events).weights.values())
    assert all(
        math.isfinite(value) for event in events if isinstance(event, EpochDone) for value in event.metrics.values()
    )


def test_one_failure_more_than_allowed_is_the_end(packed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    poison(monkeypatch, {2, 3, 4})
    with pytest.raises(Diverged) as error:
        run(packed, {**EVERYTHING, "training": {"epochs": 2, "batch_size": 16, "max_grad_failures": 2}})
    assert error.value.step == 5


def poison(monkeypatch: pytest.MonkeyPatch, steps: set[int]) -> None:
    """Inputs of these steps, counted from 0, are infinite."""
    original = Feed.training_batch

    def training_batch(self: Any, part: Any, positions: Any, epoch: int, step: int, *others: Any) -> Any:
        inputs, targets = original(self, part, positions, epoch, step, *others)
        return (inputs * math.inf if step in steps else inputs), targets

    monkeypatch.setattr(Feed, "training_batch", training_batch)


@pytest.mark.usefixtures("asked")
@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=lambda optimizer: optimizer["type"])
def test_a_skipped_first_step_leaves_the_run_as_it_was(
    packed: Path, monkeypatch: pytest.MonkeyPatch, optimizer: dict[str, Any]
) -> None:
    words = {**EVERYTHING, "optimizer": optimizer, "training": {"steps": 1, "batch_size": 16}}
    start = load(packed, words)[0]
    poison(monkeypatch, {0})
    last = last_of(run(packed, words))
    network = build_network(start, load(packed, words)[1].task)
    assert all(torch.equal(last.weights[name], value) for name, value in network.state_dict().items())
