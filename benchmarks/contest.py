"""Contestants in processes of their own, one after another, A B C A B C …; medians, spread, and what else the machine
did meanwhile.
"""

import json
import math
import os
import platform
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from worker.allocator import trainer_environment

ROOT = Path(__file__).parents[1]
CORES = len(os.sched_getaffinity(0))
TICKS = os.sysconf("SC_CLK_TCK")
PATIENCE = 120.0
"""Seconds after which a contestant is given up."""


@dataclass(frozen=True)
class Contestant:
    """A module of `benchmarks.contestants`, in an environment."""

    name: str
    module: str
    python: str = sys.executable
    arguments: Sequence[str] = ()
    variables: Mapping[str, str] = field(default_factory=dict)
    is_tuned: bool = False
    """Memory and threads are told what they are in our trainers; otherwise they do as they come."""


TUNED = (
    "*Tuned*: glibc's thresholds (`MALLOC_MMAP_THRESHOLD_`, `MALLOC_TRIM_THRESHOLD_`, `MALLOC_TOP_PAD_`) are raised "
    "before the process starts, so that memory which a step frees stays for the next one, and OpenMP's threads that "
    "have nothing to do soon sleep (`GOMP_SPINCOUNT`). Ours and the best loop by hand always are; all others run as "
    "they come, in the environment that a user has, unless their name says so."
)
"""For the reader of a table."""
TUNES = ("MALLOC_", "GOMP_")


@dataclass(frozen=True)
class Measurement:
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


class GaveUp(Exception):
    """The last words of a contestant that did not reach the end."""


def contest(
    contestants: Sequence[Contestant], arguments: Sequence[str], rounds: int, seconds: float = math.inf
) -> dict[str, Any]:
    """Rates, processor time and load of every contestant, as JSON; those that cannot run are left out, with a note.

    No round begins that would, by the longest one so far, end after so many `seconds`.
    """
    begun = last = time.monotonic()
    longest = 0.0
    measured: dict[str, list[Measurement]] = {one.name: [] for one in contestants}
    left_out: dict[str, str] = {}
    for number in range(rounds):
        longest, last = max(longest, time.monotonic() - last), time.monotonic()
        if last - begun + longest > seconds:
            say(f"{number} rounds are enough: the next one would take too long")
            break
        for one in contestants:
            if one.name in left_out:
                continue
            try:
                result = race(one, arguments)
            except GaveUp as error:
                left_out[one.name] = str(error)
                say(f"round {number + 1}  {one.name}: left out: {error}")
                continue
            measured[one.name].append(result)
            say(f"round {number + 1}  {one.name}: {result.rate:,.0f}/s, other load {result.other_load:.2f} cores")
    rows = [summary(name, results) for name, results in measured.items() if results and name not in left_out]
    done = max((len(results) for results in measured.values()), default=0)
    return {"contestants": rows, "left_out": left_out, "rounds": done, **surroundings()}


def race(one: Contestant, arguments: Sequence[str]) -> Measurement:
    """Raises GaveUp with what it wrote last."""
    command = [one.python, "-m", f"benchmarks.contestants.{one.module}", *arguments, *one.arguments]
    variables = environment_of(one)
    with tempfile.TemporaryFile("w+") as words:
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": words}
        process = subprocess.Popen(command, cwd=ROOT, env=variables, text=True, start_new_session=True, **pipes)  # type: ignore[call-overload]
        begun = time.monotonic()
        end = threading.Timer(PATIENCE, os.killpg, (process.pid, signal.SIGKILL))
        end.start()
        try:
            found = followed(process)
        finally:
            end.cancel()
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        if found is None and time.monotonic() - begun >= PATIENCE:
            raise GaveUp(f"not done after {PATIENCE:.0f} s")
        if found is None:
            words.seek(0)
            raise GaveUp((words.read().strip().splitlines() or ["it said nothing"])[-1][:200])
        return found


def environment_of(one: Contestant) -> dict[str, str]:
    """That of our trainers, so that all have the same threads; without what tunes those, unless it is tuned too."""
    found = {**os.environ, **trainer_environment(CORES), "PYTHONPATH": str(ROOT), **one.variables}
    return {name: value for name, value in found.items() if one.is_tuned or not name.startswith(TUNES)}


def tuned(contestants: Sequence[Contestant]) -> list[Contestant]:
    """The same ones under names of their own."""
    return [replace(one, name=f"{one.name}, tuned", is_tuned=True) for one in contestants]


def followed(process: "subprocess.Popen[str]") -> Measurement | None:
    """Looks at the clocks where the contestant says that its measured steps begin and end."""
    assert process.stdout is not None
    begun: tuple[float, float, float] | None = None
    for line in process.stdout:
        if not line.startswith('{"event"'):
            continue
        message = json.loads(line)
        now = (time.perf_counter(), busy_seconds(), cpu_seconds_of_group(process.pid))
        if message["event"] == "begin":
            begun = now
        else:
            assert begun is not None
            wall, busy, own = (after - before for after, before in zip(now, begun, strict=True))
            load = max(0.0, busy - own) / wall
            versions, operations = message["versions"], message.get("operations", {})
            return Measurement(message["seconds"], message["examples"], own, load, versions, operations)
    return None


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


def summary(name: str, results: Sequence[Measurement]) -> dict[str, Any]:
    rates = [result.rate for result in results]
    return {
        "name": name,
        "rate": statistics.median(rates),
        "lowest": min(rates),
        "highest": max(rates),
        "cpu_microseconds": statistics.median(1e6 * one.cpu_seconds / one.examples for one in results),
        "other_load": max(result.other_load for result in results),
        "versions": results[0].versions,
    }


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
