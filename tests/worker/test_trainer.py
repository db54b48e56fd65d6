"""A trainer says what became of its checkpoints, and why it failed."""

import json
import multiprocessing
from pathlib import Path
from typing import Any, NoReturn

import pytest

from worker import trainer
from worker.order import Order
from worker.trainer import _Saver, _Voice
from worker.training.applied import NoEffect


@pytest.mark.parametrize("error", [OSError("no room"), MemoryError(), RuntimeError("the device is gone")])
def test_a_checkpoint_that_cannot_be_written_is_never_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*_: object) -> NoReturn:
        raise error

    monkeypatch.setattr(_Saver, "_write", fail)
    ours, theirs = multiprocessing.Pipe()
    saver = _Saver(tmp_path, _Voice(theirs))
    event: Any = object()
    saver.save(event)
    with pytest.raises(type(error)):
        saver.finish()
    ours.close()
    theirs.close()


def test_a_technique_without_effect_is_a_bug_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def train(*_: object) -> NoReturn:
        raise NoEffect("The augmentation invert has had no effect")

    monkeypatch.setattr(trainer, "_begin_a_life_of_its_own", lambda: None)
    monkeypatch.setattr(trainer, "_obey", lambda *_: None)
    monkeypatch.setattr(trainer, "_write_to", lambda _: None)
    monkeypatch.setattr(trainer, "_train", train)
    ours, theirs = multiprocessing.Pipe()
    nowhere = str(tmp_path)
    order = Order(spec={}, packed=nowhere, cache=nowhere, scratch=nowhere, device="cpu", threads=1)
    trainer.main(theirs, theirs, order)
    said = json.loads(ours.recv_bytes())
    assert (said["type"], said["code"]) == ("failed", "internal")
    assert "invert has had no effect" in said["message"]
