"""A job's curves as an event file that TensorBoard reads.

The format is public: records as in TensorFlow's `record_writer.h` (length, masked CRC-32C of it, content, masked
CRC-32C of that; little-endian), each of which holds an `Event` of its `event.proto` in Protocol Buffers' wire format.
"""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from .download import whole_file

if TYPE_CHECKING:
    from .client import Client
    from .resources import Job, Metrics

__all__ = ["export_job"]

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
CRC_32C = 0x82F63B78
"""The polynomial of Castagnoli, its bits turned round."""


def export_job(client: "Client", job_id: str, folder: Path) -> Path:
    """Write what is known of a job's curves, by step and by epoch, into `folder`/job/; what was exported before is
    replaced. Values that were not finite are left out, as TensorBoard would draw nothing for them.

    Returns:
        The event file.
    """
    job = client.jobs.get(job_id)
    target = folder / _folder_name(job)
    target.mkdir(parents=True, exist_ok=True)
    began = (job.started_at or job.created_at).timestamp()
    ended = (job.finished_at or job.started_at or job.created_at).timestamp()
    path = target / f"events.out.tfevents.{int(began)}.{job.id}"
    with whole_file(path) as file:
        file.write(_record(_event(began, 0, _bytes(3, b"brain.Event:2"))))
        for interval in ("step", "epoch"):
            curves = client.jobs.metrics(job, interval=interval)
            for event in _events(curves, "each_step/" if interval == "step" else "", began, ended):
                file.write(_record(event))
    return path


def _folder_name(job: "Job") -> str:
    """What TensorBoard calls the run."""
    name = "".join(each if each.isalnum() or each in "-_ " else "_" for each in job.name or "").strip()
    return f"{name}-{job.id[-6:]}" if name else job.id


def _events(curves: "Metrics", prefix: str, began: float, ended: float) -> Iterator[bytes]:
    """One event a row. When it was is not kept: the rows are spread evenly over the time that the job has run."""
    steps = [int(step or 0) for step in curves.columns["step"]]
    last = max(steps, default=1) or 1
    names = [name for name in curves.columns if name != "step"]
    for row, step in enumerate(steps):
        values = [(name, curves.columns[name][row]) for name in names]
        summary = b"".join(_bytes(1, _scalar(prefix + name, value)) for name, value in values if value is not None)
        yield _event(began + (ended - began) * step / last, step, _bytes(5, summary))


def _event(wall_time: float, step: int, content: bytes) -> bytes:
    return _tag(1, FIXED64) + struct.pack("<d", wall_time) + _tag(2, VARINT) + _varint(step) + content


def _scalar(name: str, value: float) -> bytes:
    """A `Summary.Value` with `tag` and `simple_value`."""
    return _bytes(1, name.encode()) + _tag(2, FIXED32) + struct.pack("<f", value)


def _bytes(field: int, content: bytes) -> bytes:
    return _tag(field, BYTES) + _varint(len(content)) + content


def _tag(field: int, kind: int) -> bytes:
    return _varint(field << 3 | kind)


def _varint(value: int) -> bytes:
    """Seven bits a byte, the lowest first; the top bit says that more follow."""
    parts = []
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*parts, value])


def _record(content: bytes) -> bytes:
    length = struct.pack("<Q", len(content))
    return length + struct.pack("<I", _masked(length)) + content + struct.pack("<I", _masked(content))


def _masked(content: bytes) -> int:
    checksum = _crc_32c(content)
    return ((checksum >> 15 | checksum << 17) + 0xA282EAD8) & 0xFFFFFFFF


def _crc_32c(content: bytes) -> int:
    value = 0xFFFFFFFF
    for byte in content:
        value = _TABLE[(value ^ byte) & 0xFF] ^ value >> 8
    return value ^ 0xFFFFFFFF


def _remainder(value: int) -> int:
    for _ in range(8):
        value = value >> 1 ^ (CRC_32C if value & 1 else 0)
    return value


_TABLE = [_remainder(value) for value in range(256)]
