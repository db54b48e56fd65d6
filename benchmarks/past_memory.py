"""Training on more data than fit into memory: packed pictures, mapped from a file, under a limit of memory that a
control group sets. Ingest and both epochs of each size, and what they had resident.

Without the right to make a control group nothing is limited, and the page says so. Writes docs/benchmarks.json and
docs/benchmarks.md. Usage: python -m benchmarks.past_memory [--limit-mib 1024] [--sizes 0.25 1 2]
"""

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.contest import CORES, ROOT, say, surroundings
from benchmarks.figures import watched
from benchmarks.report import record
from models.spec import parse_spec
from worker.allocator import trainer_environment
from worker.ingest import ingest

SIDE = 64
MIB = 2**20
AT_ONCE = 4096
GROUPS = (("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max"))
"""Of the first and of the second version of control groups."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--limit-mib", type=int, default=1024, help="for everything that a process has in memory")
    parser.add_argument("--sizes", type=float, nargs="+", default=[0.25, 1.0, 2.0], help="in limits")
    parser.add_argument("--do", nargs=3, metavar=("WHAT", "FOLDER", "COUNT"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.do:
        inside(options.do[0], Path(options.do[1]), int(options.do[2]))
        return
    rows = []
    with limited(options.limit_mib * MIB) as group:
        for size in options.sizes:
            with tempfile.TemporaryDirectory(prefix="trainwright-memory-") as name:
                rows.append(measured(Path(name), int(size * options.limit_mib * MIB), group))
                say(str(rows[-1]))
    record(
        "memory/pictures",
        {
            "title": "More data than memory",
            "kind": "memory",
            "command": " ".join(["python -m benchmarks.past_memory", *sys.argv[1:]]),
            "limit": None if group is None else options.limit_mib * MIB,
            "rows": rows,
            **surroundings(),
        },
    )


@contextlib.contextmanager
def limited(size: int) -> Iterator[Path | None]:
    """A control group of so much memory, page cache included; None where none can be made."""
    for root, setting in GROUPS:
        group = Path(root) / f"trainwright-{os.getpid()}"
        try:
            group.mkdir()
        except OSError:
            continue
        try:
            (group / setting).write_text(str(size))
        except OSError:
            group.rmdir()
            continue
        try:
            yield group
        finally:
            group.rmdir()
        return
    yield None


def measured(folder: Path, size: int, group: Path | None) -> dict[str, Any]:
    count = size // (SIDE * SIDE * 3)
    process("write", folder, count, None)
    with watched() as processor:
        taken_in = process("ingest", folder, count, group)
        trained = process("train", folder, count, group)
    return {
        "bytes": size,
        "ingest_seconds": taken_in["seconds"],
        "ingest_resident": taken_in["resident"],
        "epochs": trained["epochs"],
        "examples": count,
        "resident": trained["resident"],
        "other_load": processor.other_load,
    }


def write_upload(folder: Path, count: int) -> None:
    """Pictures of chance, never all of them in memory, in an archive that is not compressed."""
    chance = np.random.default_rng(0)
    inputs = np.lib.format.open_memmap(folder / "x_train.npy", "w+", np.uint8, (count, SIDE, SIDE, 3))
    for start in range(0, count, AT_ONCE):
        some = inputs[start : start + AT_ONCE]
        some[:] = np.frombuffer(chance.bytes(some.size), np.uint8).reshape(some.shape)
    inputs.flush()
    np.save(folder / "y_train.npy", chance.integers(0, 10, count))
    with zipfile.ZipFile(folder / "upload.npz", "w") as archive:
        for name in ("x_train.npy", "y_train.npy"):
            archive.write(folder / name, name)
            (folder / name).unlink()


def process(what: str, folder: Path, count: int, group: Path | None) -> dict[str, Any]:
    """The answer of a process that has moved into the group before it does anything else."""
    command = [sys.executable, "-m", "benchmarks.past_memory", "--do", what, str(folder), str(count)]
    if group is not None:
        command = ["sh", "-c", 'echo $$ > "$0/cgroup.procs" && exec "$@"', str(group), *command]
    environment = {**os.environ, **trainer_environment(CORES), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True
    )
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def inside(what: str, folder: Path, count: int) -> None:
    match what:
        case "write":
            write_upload(folder, count)
            answer = {}
        case "ingest":
            answer = taken_in(folder)
        case _:
            answer = trained(folder)
    sys.stdout.write(json.dumps({**answer, "resident": most_resident()}))


def most_resident() -> int:
    """Bytes that this process had in memory at most; `ru_maxrss` would remember what it was forked from."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return 1024 * int(lines["VmHWM"].removesuffix("kB"))


def taken_in(folder: Path) -> dict[str, Any]:
    """From the upload's last byte to a packed folder on the disk."""
    begun = time.perf_counter()
    ingest(folder / "upload.npz", folder / "packed", filename="upload.npz")
    seconds = time.perf_counter() - begun
    (folder / "upload.npz").unlink()
    for file in (folder / "packed").iterdir():
        forget(file)
    return {"seconds": seconds}


def forget(file: Path) -> None:
    """What the system has of a file in memory: it is on the disk too."""
    with file.open("rb") as opened:
        os.fsync(opened.fileno())
        os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def trained(folder: Path) -> dict[str, Any]:
    """Seconds of the first epoch, which finds nothing in memory, and of the second one."""
    import torch  # here: an ingest does without, and is measured without

    from worker.alone import resolved
    from worker.training import EpochDone, load_dataset, train

    torch.set_num_threads(CORES)
    words = json.loads((ROOT / "benchmarks/workloads/jpeg64.json").read_bytes())
    words["training"]["epochs"] = 2
    spec = resolved(parse_spec(words), folder / "packed", None)
    data = load_dataset(folder / "packed", spec, folder / "cache")
    return {"epochs": [event.seconds for event in train(spec, data) if isinstance(event, EpochDone)]}


if __name__ == "__main__":
    main()
