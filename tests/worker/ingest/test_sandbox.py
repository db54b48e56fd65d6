import gzip
import io
import json
import statistics
import struct
import subprocess
import sys
import tarfile
import time
import timeit
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from tests.worker.ingest.uploads import folder, image, saved, tarred, written, zipped
from worker.ingest import IngestError, Limits
from worker.ingest.confinement import seccomp_filter
from worker.ingest.limits import DEFAULT_LIMITS, MIB
from worker.ingest.packed import verify
from worker.ingest.progress import Progress
from worker.ingest.sandbox import run_sandboxed

MEMORY_PROMISE = 512 * MIB
TIME_PROMISE = 10.0
"""Seconds of computing on a machine that sorts `SORTED` in `SORTING` seconds; where that takes longer, so many more."""
SORTED, SORTING = 100_000, 0.03
ROOT = Path(__file__).parents[3]
linux = pytest.mark.skipif(sys.platform != "linux", reason="seccomp is Linux's")


def slowness() -> float:
    """How much longer than promised this machine computes just now; 1 where it does not."""

    def work() -> None:
        sorted(map(str, range(SORTED)))

    spent = statistics.median(timeit.repeat(work, timer=time.process_time, number=1, repeat=7))
    return max(1.0, spent / SORTING)


def refused(source: Path, limits: Limits = DEFAULT_LIMITS) -> IngestError:
    started = time.monotonic()
    before = sorted(source.parent.iterdir())
    with pytest.raises(IngestError) as caught:
        run_sandboxed(source, source.parent / "packed", filename=source.name, limits=limits)
    assert time.monotonic() - started < TIME_PROMISE * slowness()
    assert sorted(source.parent.iterdir()) == before
    return caught.value


def test_a_good_upload_is_packed_and_leaves_nothing_else(tmp_path: Path) -> None:
    source = zipped(tmp_path / "a.zip", folder())
    manifest = run_sandboxed(source, tmp_path / "packed", filename="a.zip")
    assert verify(tmp_path / "packed") == manifest
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.zip", "packed"]


def test_progress_is_heard(tmp_path: Path) -> None:
    heard: list[Progress] = []
    source = zipped(tmp_path / "a.zip", folder())
    run_sandboxed(source, tmp_path / "packed", filename="a.zip", on_progress=heard.append)
    assert heard[-1] == Progress("images", 8, 8)


def test_a_refusal_comes_through_whole(tmp_path: Path) -> None:
    error = refused(written(tmp_path / "a.csv", "a,b\n1,2\n3\n"))
    assert (error.code, error.row) == ("ragged_row", 3)
    error = refused(zipped(tmp_path / "a.zip", {"../x.png": image()}))
    assert (error.code, error.entry) == ("unsafe_path", "../x.png")


def tar_of_300_000_entries(folder: Path) -> Path:
    folder_entry = tarfile.TarInfo("cat")
    folder_entry.type = tarfile.DIRTYPE
    return written(folder / "a.tar", folder_entry.tobuf() * 300_000)


def zip_of_300_000_entries(folder: Path) -> Path:
    data = zipped(folder / "one.zip", {"1.png": b""}).read_bytes()
    start, end = data.index(b"PK\x01\x02"), data.index(b"PK\x05\x06")
    directory = data[start:end] * 300_000
    source = data[:start] + directory + data[end : end + 12] + struct.pack("<2LH", len(directory), start, 0)
    return written(folder / "a.zip", source)


def bomb_of_many_gigabytes(folder: Path) -> Path:
    return written(folder / "a.tar.gz", gzip.compress(bytes(16 * MIB)) * 256)


def bomb_of_pixels(folder: Path) -> Path:
    file = io.BytesIO()
    Image.new("RGB", (7_000, 7_000)).save(file, "PNG")
    return zipped(folder / "a.zip", {f"cat/{number:03}.png": file.getvalue() for number in range(100)})


def image_of_50_megapixels(folder: Path) -> Path:
    file = io.BytesIO()
    Image.new("RGB", (7_000, 7_100), (200, 100, 50)).save(file, "JPEG")
    return zipped(folder / "a.zip", {"cat/1.jpg": file.getvalue(), "dog/1.png": image()})


def table_of_one_endless_line(folder: Path) -> Path:
    return written(folder / "a.csv", "a," * 30 * MIB)


def large_lossy_webp(folder: Path) -> Path:
    return zipped(folder / "a.zip", {"cat/1.webp": image(1500, 1200, kind="WEBP")})


def parquet_of_a_million_long_texts(folder: Path) -> Path:
    text = pa.DictionaryArray.from_arrays(pa.array(np.zeros(1_000_000, np.int8)), pa.array(["x " * 30_000]))
    pq.write_table(pa.table({"a": text}), folder / "a.parquet", row_group_size=1_000_000)
    return folder / "a.parquet"


def parquet_of_one_page_of_zeros(folder: Path) -> Path:
    zeros = pa.table({str(number): pa.array(np.zeros(2_000_000, np.int8)) for number in range(20)})
    options = {"use_dictionary": False, "compression": "zstd", "data_page_size": 2**30, "row_group_size": 10**7}
    pq.write_table(zeros, folder / "a.parquet", **options)
    return folder / "a.parquet"


# From a process that is small itself: the peak of a child counts what its parent had when it was started.
MEASURED = """
import json, resource, sys
from pathlib import Path
from worker.ingest.errors import IngestError
from worker.ingest.sandbox import run_sandboxed
source, code = Path(sys.argv[1]), None
try:
    run_sandboxed(source, source.parent / "packed", filename=source.name)
except IngestError as error:
    code = error.code
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(json.dumps([code, used.ru_maxrss, used.ru_utime + used.ru_stime]))
"""


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (tar_of_300_000_entries, "too_many_entries"),
        (zip_of_300_000_entries, "too_many_entries"),
        (bomb_of_many_gigabytes, "ratio"),
        (bomb_of_pixels, "ratio"),
        (image_of_50_megapixels, None),
        (table_of_one_endless_line, "row_too_large"),
        (large_lossy_webp, None),
        (parquet_of_a_million_long_texts, "ratio"),
        (parquet_of_one_page_of_zeros, "ratio"),
    ],
)
def test_whatever_is_sent_costs_little_memory_and_time(
    tmp_path: Path, make: Callable[[Path], Path], code: str | None
) -> None:
    source = make(tmp_path)
    before = slowness()
    command = [sys.executable, "-c", MEASURED, str(source)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env={"PYTHONPATH": str(ROOT)})
    told, peak, computed = json.loads(done.stdout)
    assert told == code
    assert peak * (1 if sys.platform == "darwin" else 1024) < MEMORY_PROMISE
    assert computed < TIME_PROMISE * max(before, slowness())


def test_running_out_of_memory_is_a_sentence(tmp_path: Path) -> None:
    source = saved(tmp_path / "a.npz", x=np.zeros((8, 2)), y=np.arange(8) % 2)
    assert refused(source, Limits(memory_bytes=1 * MIB)).code == "out_of_memory"


def _slow(path: Path) -> Path:
    """Small to send, and some seconds to decode."""
    file = io.BytesIO()
    Image.new("L", (3_000, 3_000), 90).save(file, "JPEG")
    return zipped(path, {f"cat/{number}.jpg": file.getvalue() for number in range(400)})


@pytest.mark.parametrize("limits", [Limits(wall_seconds=0.5), Limits(cpu_seconds=1, ratio=10**6)])
def test_running_out_of_time_is_a_sentence(tmp_path: Path, limits: Limits) -> None:
    assert refused(_slow(tmp_path / "a.zip"), limits).code == "time_limit"


def test_running_out_of_room_is_a_sentence(tmp_path: Path) -> None:
    vectors = np.random.default_rng(0).integers(-9, 9, (1_000, 1_000), np.int8)  # 1 MB that becomes 4 MB of float32
    source = saved(tmp_path / "a.npz", x=vectors, y=np.arange(1_000) % 2)
    assert refused(source, Limits(packed_bytes=2_000_000)).code == "storage_full"


def test_a_stop_is_heard_within_a_moment(tmp_path: Path) -> None:
    started = time.monotonic()
    with pytest.raises(IngestError, match="stopped"):
        run_sandboxed(
            _slow(tmp_path / "a.zip"),
            tmp_path / "packed",
            filename="a.zip",
            should_stop=lambda: time.monotonic() > started,
        )
    assert not (tmp_path / "packed").exists()


CONFINED = """
import os, socket, threading
from worker.ingest.confinement import confine
from worker.ingest.limits import Limits
missing = confine(Limits(), os.getppid())
def denied(action):
    try:
        action()
    except OSError as error:
        return error.errno
    return 0
print(missing, denied(socket.socket), denied(socket.socketpair), denied(os.fork), denied(lambda: os.symlink("a", "b")),
      denied(lambda: os.execv("/bin/true", ["true"])), denied(lambda: os.kill(os.getppid(), 0)))
thread = threading.Thread(target=lambda: print("a thread may run")); thread.start(); thread.join()
"""


@linux
def test_a_confined_process_reaches_neither_network_nor_programs(tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-c", CONFINED], capture_output=True, text=True, check=True, env={"PYTHONPATH": str(ROOT)}
    )
    assert result.stdout.split("\n")[:2] == ["[] 1 1 1 1 1 1", "a thread may run"]


@linux
@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_every_jump_of_the_filter_lands_inside(machine: str) -> None:
    data = seccomp_filter(machine)
    lines = [(data[at + 2], data[at + 3]) for at in range(0, len(data), 8)]
    assert all(place + 1 + max(jumps) < len(lines) for place, jumps in enumerate(lines) if any(jumps))


def test_the_child_has_none_of_our_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, str] = {}
    real = subprocess.Popen

    def watched(*arguments: object, **options: object) -> object:
        environment = options["env"]
        assert isinstance(environment, dict)
        seen.update(environment)
        return real(*arguments, **options)  # type: ignore[call-overload]

    monkeypatch.setenv("TRAINWRIGHT_SECRET", "hush")
    monkeypatch.setattr(subprocess, "Popen", watched)
    run_sandboxed(tarred(tmp_path / "a.tar", folder()), tmp_path / "packed", filename="a.tar")
    assert "hush" not in seen.values()


@linux
def test_the_child_dies_with_its_supervisor(tmp_path: Path) -> None:
    source = _slow(tmp_path / "a.zip")
    script = (
        "import sys; from pathlib import Path; from worker.ingest.sandbox import run_sandboxed\n"
        "run_sandboxed(Path(sys.argv[1]), Path(sys.argv[1]).parent / 'packed', filename='a.zip', on_progress=print)"
    )
    supervisor = subprocess.Popen(
        [sys.executable, "-u", "-c", script, str(source)], stdout=subprocess.PIPE, env={"PYTHONPATH": str(ROOT)}
    )
    with supervisor:
        assert supervisor.stdout is not None
        supervisor.stdout.readline()
        supervisor.kill()
    time.sleep(0.3)
    assert not [pid for pid in _processes() if str(tmp_path) in pid]


def _processes() -> list[str]:
    return [_working_folder(path) for path in Path("/proc").iterdir() if path.name.isdigit()]


def _working_folder(process: Path) -> str:
    try:
        return str((process / "cwd").readlink())
    except OSError:
        return ""
