"""Rows that come next are asked for before they are needed."""

import ctypes
import mmap
import os
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from worker.training import read_ahead
from worker.training.read_ahead import ReadAhead

ROWS, BYTES = 64, 16 * mmap.PAGESIZE


@pytest.fixture
def stored(tmp_path: Path) -> Tensor:
    """Mapped from a file of which no page is in memory."""
    path = tmp_path / "rows.npy"
    np.save(path, np.zeros((ROWS, BYTES), np.uint8))
    descriptor = os.open(path, os.O_RDONLY)
    os.fsync(descriptor)
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(descriptor)
    rows = torch.from_numpy(np.load(path, mmap_mode="c"))
    if share_in_memory(rows[ROWS // 2]) == 1.0:
        pytest.skip("this file system keeps its files in memory")
    return rows


def test_rows_that_are_asked_for_come_into_memory(stored: Tensor) -> None:
    ReadAhead(stored).ask_at_once(torch.tensor([40, 7]))
    deadline = time.monotonic() + 10
    while min(share_in_memory(stored[40]), share_in_memory(stored[7])) < 1.0:
        assert time.monotonic() < deadline
    assert share_in_memory(stored[20]) < 1.0


def test_nothing_is_asked_for_before_anything_had_to_wait(stored: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    ahead = ReadAhead(stored)
    ahead.ask(torch.tensor([40]))
    assert not ahead.has_begun
    let_it_wait(monkeypatch)
    ahead.ask(torch.tensor([40]))
    assert ahead.has_begun


def test_nothing_is_asked_for_that_is_in_memory_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    ahead = ReadAhead(torch.zeros(ROWS, BYTES, dtype=torch.uint8))
    let_it_wait(monkeypatch)
    ahead.ask(torch.tensor([40]))
    assert not ahead.has_begun


def let_it_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    before = read_ahead.waits()
    monkeypatch.setattr(read_ahead, "waits", lambda: before + 10 * read_ahead.FEW_WAITS)


def share_in_memory(row: Tensor) -> float:
    """Of its whole pages, by mincore(2)."""
    start = -(-row.data_ptr() // mmap.PAGESIZE) * mmap.PAGESIZE
    pages = (row.data_ptr() + row.nbytes - start) // mmap.PAGESIZE
    there = (ctypes.c_ubyte * pages)()
    assert ctypes.CDLL(None).mincore(ctypes.c_void_p(start), ctypes.c_size_t(pages * mmap.PAGESIZE), there) == 0
    return sum(byte & 1 for byte in there) / pages
