"""Writes `.npy` files piece by piece, so that what is packed never has to fit in memory."""

import hashlib
import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.spec.manifest import ArrayFile
from worker.ingest.limits import MIB

HEADER_BYTES = 128
"""A header of any shape used here, in NumPy's own padding; the data behind it stays aligned to 64 bytes."""
CHUNK = 4 * MIB


class ArrayWriter:
    """One `.npy` file whose shape is only known at the end: data is appended in C order, the header is written last."""

    def __init__(self, path: Path, dtype: str) -> None:
        self._path = path
        self._dtype = np.dtype(dtype)
        self._file = path.open("w+b", buffering=MIB)
        self._file.write(bytes(HEADER_BYTES))

    def append(self, values: NDArray[np.generic]) -> None:
        """Add values, in the order of their last axis first."""
        self._file.write(np.ascontiguousarray(values, dtype=self._dtype).data)

    def repeat(self, times: int) -> None:
        """Write every value so far `times` times in a row: one grey channel becomes three."""
        wider = ArrayWriter(self._path.with_suffix(".wider"), self._dtype.str)
        self._file.seek(HEADER_BYTES)
        while piece := self._file.read(CHUNK):
            wider.append(np.repeat(np.frombuffer(piece, self._dtype), times))
        self._file.close()
        wider._path.rename(self._path)
        self._file = wider._file

    def finish(self, shape: tuple[int, ...]) -> ArrayFile:
        """Write the header, sync to disk, and describe the file."""
        size = self._file.seek(0, os.SEEK_END)
        assert size == HEADER_BYTES + int(np.prod(shape, dtype=object)) * self._dtype.itemsize
        self._file.seek(0)
        np.lib.format.write_array_header_1_0(
            self._file, {"descr": self._dtype.str, "fortran_order": False, "shape": shape}
        )
        assert self._file.tell() == HEADER_BYTES
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        return ArrayFile(
            path=self._path.name, dtype=self._dtype.name, shape=shape, bytes=size, sha256=file_sha256(self._path)
        )

    def close(self) -> None:
        """Let go of the file, finished or not."""
        self._file.close()


def save_array(path: Path, values: NDArray[np.generic]) -> ArrayFile:
    """Write a whole array."""
    writer = ArrayWriter(path, values.dtype.str)
    writer.append(values)
    return writer.finish(values.shape)


def file_sha256(path: Path) -> str:
    """The sha256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
