"""A trainer says what became of its checkpoints, and why it failed."""

import errno
import json
import multiprocessing
from pathlib import Path
from typing import Any, NoReturn

import pytest
import torch
from torch._dynamo.exc import FailOnRecompileLimitHit, TorchDynamoException

from worker import trainer
from worker.order import Order
from worker.trainer import _Saver, _Voice
from worker.training import Diverged
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


def said_of(error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A trainer's last word when its training raises this."""

    def train(*_: object) -> NoReturn:
        raise error

    monkeypatch.setattr(trainer, "_train", train)
    ours, theirs = multiprocessing.Pipe()
    nowhere = str(tmp_path)
    order = Order(spec={}, packed=nowhere, scratch=nowhere, threads=1)
    trainer.carry_out(order, theirs, "cpu")
    said: dict[str, Any] = json.loads(ours.recv_bytes())
    return said


def test_a_technique_without_effect_is_a_bug_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = said_of(NoEffect("The augmentation invert has had no effect"), tmp_path, monkeypatch)
    assert (said["type"], said["code"]) == ("failed", "internal")
    assert "invert has had no effect" in said["message"]


@pytest.mark.parametrize("kind", [TorchDynamoException, FailOnRecompileLimitHit])
def test_a_worker_that_cannot_compile_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: type[Exception]
) -> None:
    said = said_of(kind("InvalidCxxCompiler: No working C++ compiler found"), tmp_path, monkeypatch)
    assert said["code"] == "device_error"
    assert "No working C++ compiler" in said["message"]
    assert "`compile`" in said["advice"]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."), "out_of_memory"),
        (torch.AcceleratorError("CUDA error: out of memory"), "out_of_memory"),
        (RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"), "out_of_memory"),
        (MemoryError(), "out_of_memory"),
        (torch.AcceleratorError("CUDA error: uncorrectable ECC error encountered"), "device_error"),
        (OSError(errno.ENOSPC, "No space left on device"), "storage_full"),
        (Diverged(7, "The loss is not finite", 1.0), "diverged"),
        (KeyError("x"), "internal"),
    ],
)
def test_why_a_run_failed_is_told_by_its_kind(
    error: Exception, code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert said_of(error, tmp_path, monkeypatch)["code"] == code
