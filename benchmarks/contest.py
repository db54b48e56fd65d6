"""Contestants in processes of their own that take turns of a few steps, A B C A B C …, and stand still between them;
medians, spread, and what else the machine did meanwhile.

On a shared machine the same step takes a half more time in one second than in another. Whoever is held against whom
takes turns with it, so that both have the same seconds.
"""

import json
import math
import os
import platform
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import IO, Any

from worker.allocator import trainer_environment

ROOT = Path(__file__).parents[1]
CORES = len(os.sched_getaffinity(0))
TICKS = os.sysconf("SC_CLK_TCK")
PATIENCE = 120.0
"""Seconds without a word after which a contestant is given up."""
BESIDE = 2
"""Contestants that take turns with the one they are held against: all of them are in memory."""


@dataclass(frozen=True)
class Contestant:
    """A module of `benchmarks.contestants`, in an environment."""

    name: str
    module: str
    python: str = sys.executable
    arguments: Sequence[str] = ()
    variables: Mapping[str, str] = field(default_factory=dict)
    precision: str = "float32"
    is_tuned: bool = False
    """Memory and threads are told what they are in our trainers; otherwise they do as they come."""


TUNED = (
    "*Tuned*: glibc's thresholds (`MALLOC_MMAP_THRESHOLD_`, `MALLOC_TRIM_THRESHOLD_`, `MALLOC_TOP_PAD_`) are raised "
    "before the process starts, so that memory which a step frees stays for the next one, it comes in pages of 2 MB "
    "(`GLIBC_TUNABLES`), and OpenMP's threads that have nothing to do soon sleep (`GOMP_SPINCOUNT`). Ours and the best "
    "loop by hand always are; all others run as they come, in the environment that a user has, unless their name says "
    "so."
)
"""For the reader of a table."""
TUNES = ("MALLOC_", "GLIBC_", "GOMP_")


@dataclass(frozen=True)
class Measurement:
    """A turn."""

    seconds: float
    examples: int
    cpu_seconds: float
    """Of the contestant and its children."""
    other_load: float
    """Cores that everybody else kept busy."""
    versions: dict[str, str]
    operations: dict[str, float] = field(default_factory=dict)
    """Seconds that each of PyTorch's took, where the contestant was told to profile."""

    @property
    def rate(self) -> float:
        return self.examples / self.seconds


Clocks = tuple[float, float, float]
"""Seconds: of the wall, of all processors that were busy, of a contestant's."""


class GaveUp(Exception):
    """The last words of a contestant that did not reach the end."""


def contest(
    contestants: Sequence[Contestant], arguments: Sequence[str], rounds: int, seconds: float = math.inf
) -> dict[str, Any]:
    """Rates, processor time and load of every contestant, as JSON; those that cannot run are left out, with a note.

    Each takes turns with the first one of its precision, a few of them in a heat, in so many `rounds`; no round but the
    first begins that would, by the longest one so far, end after the heat's share of so many `seconds`. Where that
    first one gives up, the others of its heat are left out; if it is the first heat, GaveUp is raised.
    """
    measured: dict[str, list[Measurement]] = {one.name: [] for one in contestants}
    against: dict[str, list[float]] = {one.name: [] for one in contestants}
    left_out: dict[str, str] = {}
    heats = heats_of(contestants)
    for heat in heats:
        try:
            turns = run(heat, arguments, rounds, seconds / len(heats), left_out)
        except GaveUp as error:
            if heat is heats[0]:
                raise
            say(f"{heat[0].name}: gave up: {error}")
            unheard = [one.name for one in heat if not measured[one.name]]
            left_out = dict.fromkeys(unheard, f"{heat[0].name}: {error}") | left_out
            continue
        ours = turns[heat[0].name]
        for name, theirs in turns.items():
            measured[name] += theirs
            against[name] += [mine.rate / other.rate for mine, other in zip(ours, theirs, strict=True)]
            say(f"{name}: {median(theirs):,.0f}/s, {statistics.median(against[name]):.2f}×, {len(theirs)} rounds")
    rows = [summary(name, found, against[name]) for name, found in measured.items() if found]
    done = min(len(found) for found in measured.values() if found)
    return {"contestants": rows, "left_out": left_out, "rounds": done, **surroundings()}


def heats_of(contestants: Sequence[Contestant]) -> list[list[Contestant]]:
    """The first one of each precision with a few others of it."""
    heats = []
    for precision in dict.fromkeys(one.precision for one in contestants):
        ours, *others = (one for one in contestants if one.precision == precision)
        heats += [[ours, *others[start : start + BESIDE]] for start in range(0, max(1, len(others)), BESIDE)]
    return heats


def run(
    heat: Sequence[Contestant], arguments: Sequence[str], rounds: int, seconds: float, left_out: dict[str, str]
) -> dict[str, list[Measurement]]:
    """The turns of each. Whoever gives up is `left_out`, with its last words, unless it is the first: that raises."""
    begun, longest = time.monotonic(), 0.0
    chance = random.Random(0)  # noqa: S311
    turns: dict[str, list[Measurement]] = {one.name: [] for one in heat}
    running: dict[str, Running] = {}

    @contextmanager
    def watched(name: str) -> Iterator[None]:
        try:
            yield
        except GaveUp as error:
            if name == heat[0].name:
                raise
            left_out[name] = str(error)
            del turns[name]
            say(f"{name}: left out: {error}")

    with ExitStack() as stack:
        for one in heat:
            with watched(one.name):
                running[one.name] = stack.enter_context(entered(one, arguments))
        for number in range(rounds):
            last = time.monotonic()
            if number and last - begun + longest > seconds:
                break
            for name in chance.sample(list(turns), len(turns)):
                with watched(name):
                    turns[name].append(running[name].turn())
            longest = max(longest, time.monotonic() - last)
    return turns


def race(one: Contestant, arguments: Sequence[str]) -> Measurement:
    """One turn. Raises GaveUp."""
    with entered(one, arguments) as running:
        return running.turn()


class Running:
    """The process of a contestant, with those that it has started. It stands still unless it has its turn."""

    def __init__(self, process: "subprocess.Popen[str]", words: IO[str]) -> None:
        self.process, self.words = process, words
        self.heard()

    def turn(self) -> Measurement:
        """Raises GaveUp."""
        assert self.process.stdin is not None
        before = self.clocks()
        with suppress(BrokenPipeError):  # it has ended
            self.process.stdin.write("\n")
            self.process.stdin.flush()
        os.killpg(self.process.pid, signal.SIGCONT)
        said, after = self.heard()
        wall, busy, own = (then - first for then, first in zip(after, before, strict=True))
        load = max(0.0, busy - own) / wall
        return Measurement(said["seconds"], said["examples"], own, load, said["versions"], said["operations"])

    def heard(self) -> tuple[dict[str, Any], Clocks]:
        """That it is warm, or what it says of its turn, and the clocks then; from there on it stands still. Raises
        GaveUp with what it wrote last.
        """
        assert self.process.stdout is not None
        begun = time.monotonic()
        end = threading.Timer(PATIENCE, os.killpg, (self.process.pid, signal.SIGKILL))
        end.start()
        try:
            for line in self.process.stdout:
                if line.startswith('{"event"'):
                    os.killpg(self.process.pid, signal.SIGSTOP)
                    return json.loads(line), self.clocks()
        finally:
            end.cancel()
        if time.monotonic() - begun >= PATIENCE:
            raise GaveUp(f"no word for {PATIENCE:.0f} s")
        self.words.seek(0)
        raise GaveUp((self.words.read().strip().splitlines() or ["it said nothing"])[-1][:200])

    def clocks(self) -> Clocks:
        return time.perf_counter(), busy_seconds(), cpu_seconds_of_group(self.process.pid)


@contextmanager
def entered(one: Contestant, arguments: Sequence[str]) -> Iterator[Running]:
    """After its warm-up. Raises GaveUp."""
    command = [one.python, "-m", f"benchmarks.contestants.{one.module}", *arguments, *one.arguments]
    command.append(f"--precision={one.precision}")
    with tempfile.TemporaryFile("w+") as words:
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": words}
        # A group of this session: if this process ends while it stands still, the system wakes it and hangs up on it.
        process = subprocess.Popen(command, cwd=ROOT, env=environment_of(one), text=True, process_group=0, **pipes)  # type: ignore[call-overload]
        try:
            yield Running(process, words)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()


def environment_of(one: Contestant) -> dict[str, str]:
    """That of our trainers, so that all have the same threads; without what tunes those, unless it is tuned too."""
    found = {**os.environ, **trainer_environment(CORES), "PYTHONPATH": str(ROOT), **one.variables}
    return {name: value for name, value in found.items() if one.is_tuned or not name.startswith(TUNES)}


def tuned(contestants: Sequence[Contestant]) -> list[Contestant]:
    """The same ones under names of their own."""
    return [replace(one, name=f"{one.name}, tuned", is_tuned=True) for one in contestants]


def busy_seconds() -> float:
    """Processor seconds of this machine since its start that were neither idle nor waiting nor stolen."""
    user, nice, system, _idle, _waiting, irq, softirq = map(int, Path("/proc/stat").read_text().split()[1:8])
    return (user + nice + system + irq + softirq) / TICKS


def cpu_seconds_of_group(group: int) -> float:
    """Of all living processes of the group, and of their children that have ended."""
    total = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(fields[2]) == group:
            total += sum(map(int, fields[11:15]))
    return total / TICKS


def median(turns: Sequence[Measurement]) -> float:
    """Examples a second."""
    return statistics.median(turn.rate for turn in turns)


def summary(name: str, turns: Sequence[Measurement], against: Sequence[float]) -> dict[str, Any]:
    return {
        "name": name,
        "rate": median(turns),
        "rates": middle_half([turn.rate for turn in turns]),
        "against": statistics.median(against),
        "againsts": middle_half(against),
        "cpu_microseconds": statistics.median(1e6 * turn.cpu_seconds / turn.examples for turn in turns),
        "other_load": statistics.median(turn.other_load for turn in turns),
        "versions": turns[0].versions,
    }


def middle_half(values: Sequence[float]) -> tuple[float, float]:
    """The quartiles around the median."""
    lower, _, upper = statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else [*values] * 3
    return lower, upper


def surroundings(**versions: str) -> dict[str, Any]:
    """The moment, the machine, and the versions of what was measured besides Python and PyTorch."""
    return {
        "when": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "cores": CORES,
        "processor": processor(),
        "memory": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
        "python": platform.python_version(),
        "torch": version("torch"),
        "system": platform.system(),
        "versions": versions,
    }


def processor() -> str:
    """Its name, its kind (clouds hide the rest of the name), and the instructions that matter here."""
    words = Path("/proc/cpuinfo").read_text()
    lines = dict(line.split(":", 1) for line in words.split("\n\n")[0].splitlines() if ":" in line)
    found = {key.strip(): value.strip() for key, value in lines.items()}
    flags = [flag for flag in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if flag in found.get("flags", "").split()]
    kind = [f"{word} {found[key]}" for word, key in (("family", "cpu family"), ("model", "model")) if key in found]
    return f"{found.get('model name', platform.machine())} ({', '.join([*kind, *flags])})"


def say(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()
