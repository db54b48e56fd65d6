"""A pass that is done from a recording is the pass, bit by bit; where it would not be, there is none.

What a GPU does is done here by hand: the same work again, from the same tensors and into the same ones.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from models.spec.training import Training
from tests.worker.training.little import bars, last_of, load, pack_images, run
from tests.worker.training.test_loop import EVERYTHING, interrupted, same_bits
from worker.training import run as run_module
from worker.training import train
from worker.training.loop import step
from worker.training.loss import measure
from worker.training.recording import Left, Make, OnCuda, Recorder, Replay, recorder_of
from worker.training.run import Run

WAYS: list[dict[str, Any]] = [
    {},
    {"regularization": [{"type": "sam"}, {"type": "dropout", "rate": 0.3}]},
    {"regularization": [{"type": "spectral_norm"}, {"type": "activity", "l2": 1e-3}]},
    {"regularization": [{"type": "gaussian_noise", "std": 0.01, "on": "weights"}, {"type": "l1", "weight": 1e-4}]},
    {"augmentation": [{"type": "mixup"}], "loss": {"type": "cross_entropy", "class_weights": "balanced"}},
    {"training": {"precision": "float16", "averaging": {"type": "swa", "start": "25%", "every": "2 steps"}}},
    {"network": {"type": "resnet", "depth": 8, "width": 4}},
    {"optimizer": {"type": "sgd", "learning_rate": 0.05, "multipliers": {"convolutions.0": 0}}},
]


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pack_images(tmp_path_factory.mktemp("bars"), train=bars(90), test=bars(30, seed=1))


class ByHand:
    """Remembers the work, and how often it was done again."""

    def __init__(self, error: float = 0.0) -> None:
        self.error = error
        self.replays = 0

    def __call__(self, work: Callable[[], Left], _generator: torch.Generator) -> tuple[Replay, Left]:
        left = work()

        def replay() -> None:
            self.replays += 1
            for old, new in zip(left.tensors(), work().tensors(), strict=True):
                old.copy_(new + self.error if new.dim() > 1 else new)

        return replay, left


def impossible(_work: Callable[[], Left], _generator: torch.Generator) -> tuple[Replay, Left]:
    raise RuntimeError("operation not permitted when stream is capturing")


def broken_off(work: Callable[[], Left], _generator: torch.Generator) -> tuple[Replay, Left]:
    """In the middle: something in it waited for the device."""
    work()
    raise RuntimeError("operation not permitted when stream is capturing")


def empty(work: Callable[[], Left], _generator: torch.Generator) -> tuple[Replay, Left]:
    """Recorded nothing, on another device."""
    return lambda: None, work()


def record(monkeypatch: pytest.MonkeyPatch, make: Make) -> list[Recorder]:
    """Every run from now on does so; theirs are in the list."""
    made: list[Recorder] = []

    def recorder(*_: object) -> Recorder:
        made.append(Recorder(make))
        return made[-1]

    monkeypatch.setattr(run_module, "recorder_of", recorder)
    return made


def words_of(way: dict[str, Any]) -> dict[str, Any]:
    return {**EVERYTHING, **way, "training": {**EVERYTHING["training"], **way.get("training", {})}}


@pytest.mark.parametrize("way", WAYS)
def test_a_recorded_run_ends_with_the_same_bits(
    packed: Path, monkeypatch: pytest.MonkeyPatch, way: dict[str, Any]
) -> None:
    plain = last_of(run(packed, words_of(way)))
    by_hand = ByHand()
    made = record(monkeypatch, by_hand)
    recorded = last_of(run(packed, words_of(way)))
    assert same_bits(recorded, plain)
    assert None not in made[0].recordings.values()
    assert by_hand.replays > 12, "of 24 steps"


def test_an_interrupted_run_ends_with_the_same_bits(
    packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record(monkeypatch, ByHand())
    monkeypatch.setattr(run_module, "FLUSH_STEPS", 1)
    assert same_bits(last_of(run(packed, EVERYTHING)), interrupted(packed, EVERYTHING, tmp_path, 3, 11))


@pytest.mark.parametrize("make", [ByHand(error=1e-6), impossible, broken_off, empty])
def test_what_differs_or_cannot_be_recorded_goes_on_as_it_is(
    packed: Path, monkeypatch: pytest.MonkeyPatch, make: Make
) -> None:
    plain = last_of(run(packed, EVERYTHING))
    made = record(monkeypatch, make)
    assert same_bits(last_of(run(packed, EVERYTHING)), plain)
    assert set(made[0].recordings.values()) == {None}


def test_a_pass_that_broke_off_leaves_no_penalty_behind(packed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = words_of({"regularization": [{"type": "activity", "l2": 1e-3}]})
    plain = last_of(run(packed, words))
    recording = False

    def breaking(*arguments: Any) -> torch.Tensor:
        if recording:
            raise RuntimeError("operation not permitted when stream is capturing")
        return measure(*arguments)

    def make(work: Callable[[], Left], _generator: torch.Generator) -> tuple[Replay, Left]:
        nonlocal recording
        recording = True
        try:
            return lambda: None, work()
        finally:
            recording = False

    monkeypatch.setattr("worker.training.loop.measure", breaking)
    made = record(monkeypatch, make)
    assert same_bits(last_of(run(packed, words)), plain)
    assert set(made[0].recordings.values()) == {None}


def test_the_first_passes_and_other_forms_are_not_recorded(packed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    by_hand = ByHand()
    record(monkeypatch, by_hand)
    spec, data = load(packed, words_of({"dataset": {"id": "little"}, "training": {"batch_size": 24}}))
    trained = Run(spec, data, "cpu")  # 90 examples: three batches of 24, one of 18
    done = []
    for _ in range(7):
        step(trained)
        trained.position.epoch = trained.position.step // 4
        done.append(by_hand.replays)
    assert done == [0, 0, 0, 0, 1, 2, 3], "recorded, and compared, at the fourth batch of 24"


def test_a_recording_is_of_the_weights_that_learn(packed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    by_hand = ByHand()
    made = record(monkeypatch, by_hand)
    spec, data = load(packed, words_of({"training": {"batch_size": 8}}))
    trained = Run(spec, data, "cpu")
    for _ in range(5):
        step(trained)
    assert by_hand.replays == 2
    trained.parameters[0].requires_grad_(False)
    step(trained)
    assert by_hand.replays == 2
    assert len(made[0].seen) == 2


def test_who_has_no_gpu_or_goes_through_the_network_more_than_once_records_nothing() -> None:
    whole = Training(epochs=1, batch_size=8)
    assert recorder_of(whole, "cpu") is None
    assert recorder_of(whole, "cuda:0") is not None
    assert recorder_of(whole.model_copy(update={"accumulate": 2}), "cuda:0") is None
    assert recorder_of(whole.model_copy(update={"replicas": 2}), "cuda:0") is None


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("way", WAYS)
def test_a_gpu_records(packed: Path, monkeypatch: pytest.MonkeyPatch, way: dict[str, Any]) -> None:
    monkeypatch.setattr(run_module, "recorder_of", lambda *_: None)
    spec, data = load(packed, words_of(way))
    plain = last_of(list(train(spec, data, device="cuda")))
    made = record(monkeypatch, OnCuda("cuda"))
    assert same_bits(last_of(list(train(spec, data, device="cuda"))), plain)
    assert None not in made[0].recordings.values()
