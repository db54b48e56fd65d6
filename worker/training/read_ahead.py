"""Reading ahead of data that do not fit into memory: the pages of the rows that come next are asked for all at once,
and the disk brings them while a step computes. Without, it brings them one after another while the step waits.
"""

import ctypes
import mmap
import resource
from pathlib import Path

from torch import Tensor

FEW_WAITS = 64
"""Pages that had to be waited for before anything is asked for: a few are always those of code."""


class ReadAhead:
    """Of one array (rows, …), if it is mapped from a file. It costs nothing while nothing waits for the disk."""

    def __init__(self, stored: Tensor) -> None:
        self._address, self._row_bytes = stored.data_ptr(), stored.nbytes // max(len(stored), 1)
        is_read = stored.device.type == "cpu" and is_mapped(self._address)
        self._advise = getattr(ctypes.CDLL(None), "madvise", None) if is_read else None
        self._waits_at_first = waits()
        self.has_begun = False

    def ask(self, rows: Tensor) -> None:
        """Tells the system that these (count,) rows come next, once there have been waits for the disk."""
        if self._advise is None or not self._row_bytes:
            return
        self.has_begun = self.has_begun or waits() - self._waits_at_first > FEW_WAITS
        if self.has_begun:
            self.ask_at_once(rows)

    def ask_at_once(self, rows: Tensor) -> None:
        assert self._advise is not None
        for row in rows.tolist():
            start = self._address + row * self._row_bytes
            page = start - start % mmap.PAGESIZE
            self._advise(ctypes.c_void_p(page), ctypes.c_size_t(start + self._row_bytes - page), mmap.MADV_WILLNEED)


def is_mapped(address: int) -> bool:
    """Whether a file stands behind this place in memory, as far as the system tells."""
    maps = Path("/proc/self/maps")
    for line in maps.read_text().splitlines() if maps.exists() else ():
        places, _, _, _, inode, *_ = line.split()
        begin, end = (int(place, 16) for place in places.split("-"))
        if begin <= address < end:
            return inode != "0"
    return True


def waits() -> int:
    """How often this process has waited for a page from the disk."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_majflt
