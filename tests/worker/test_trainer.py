"""A trainer says what became of its checkpoints."""

import multiprocessing
from pathlib import Path
from typing import Any, NoReturn

import pytest

from worker.trainer import _Saver, _Voice


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
