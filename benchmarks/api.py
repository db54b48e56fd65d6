"""Requests a second: our API, a bare route with one INSERT, and MLflow's tracking server, on Postgres and on SQLite,
from 1 and from 16 clients.

Usage: python -m benchmarks.api [postgres] [sqlite] [--rounds 3] [--answers 350] [--seconds 5]
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import peers
from benchmarks.contest import CORES, say, surroundings
from benchmarks.figures import Processor, quantile, spread, watched
from benchmarks.installations import APPEND, OURS, Server, bare, databases, mlflow, ours, versions
from benchmarks.load import PATIENCE, Length, Load, fire
from benchmarks.report import record

CLIENTS = (1, 16)
WARM_UP = 0.5
LEAST = 2.0
"""Seconds of a measurement."""
ASKED = ("POST a job", "GET a job", "list 20 jobs", APPEND, "read 1,000 steps")
SERVERS: dict[str, Callable[[Path, str], AbstractContextManager[Server | None]]]
SERVERS = {"ours": ours, "bare": bare, "mlflow": mlflow}
if CORES > 1:
    SERVERS |= {
        "ours_on_all_cores": partial(ours, processes=CORES),
        "bare_on_all_cores": partial(bare, processes=CORES),
    }
NAMES = {"postgres": "Postgres, fsync on", "sqlite": "SQLite, synchronous FULL"}


@dataclass(frozen=True)
class Measured:
    load: Load
    processor: Processor
    cpu_seconds: float
    """Of whoever did what was asked for, and of the database."""


Results = dict[tuple[str, int, str], list[Measured]]
"""(what is asked, clients, who is asked) → rounds."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("kinds", nargs="*", choices=[*NAMES, []], metavar="DATABASE", help=", ".join(NAMES))
    parser.add_argument("--only", help="what is asked must begin so")
    parser.add_argument("--servers", nargs="*", choices=list(SERVERS), default=list(SERVERS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--answers", type=int, default=350, help="after which a measurement ends, unless it is short")
    parser.add_argument("--seconds", type=float, default=5.0, help="of a measurement, at most")
    options = parser.parse_args()
    length = Length(options.answers, min(LEAST, options.seconds), options.seconds)
    for kind in options.kinds or NAMES:
        with tempfile.TemporaryDirectory() as temporary, ExitStack() as stack:
            folder = Path(temporary)
            folder.chmod(0o755)
            new = stack.enter_context(databases(kind, folder))
            servers = [stack.enter_context(SERVERS[name](folder, new(name))) for name in options.servers]
            asked = tuple(what for what in ASKED if what.startswith(options.only or ""))
            results = measure([one for one in servers if one is not None], asked, options.rounds, length)
            found = versions(new("versions"))
        if any(server == "MLflow" for _, _, server in results):
            found["MLflow"] = peers.version_of("mlflow")
        if not options.only:
            record(f"api/{kind}", result(kind, results, options.rounds, length, found))


def measure(servers: list[Server], asked: tuple[str, ...], rounds: int, length: Length) -> Results:
    results: Results = defaultdict(list)
    for what in asked:
        for clients in CLIENTS:
            for number in range(rounds):
                for server in servers:
                    if what in server.requests or what in server.calls:
                        so_far = results[what, clients, server.name]
                        try:
                            so_far.append(one(server, what, clients, length))
                            words = line(so_far[-1])
                        except ConnectionError as error:  # a peer's loses it the round, ours ends everything
                            if server.name.startswith(OURS):
                                raise
                            words = str(error)
                        say(f"{what}, {clients} clients, round {number + 1}, {server.name}: {words}")
    return results


def one(server: Server, what: str, clients: int, length: Length) -> Measured:
    load(server, what, clients, Length(0, WARM_UP, WARM_UP))
    with watched() as processor:
        found = load(server, what, clients, length)
    server.tidy()
    assert found.failures == 0 or not server.name.startswith(OURS), f"{found.failures} answers were none to {what}"
    return Measured(found, processor, processor.servers + (processor.own if what in server.calls else 0.0))


def load(server: Server, what: str, clients: int, length: Length) -> Load:
    if what in server.requests:
        return fire(server.port, server.requests[what], clients, length)
    found = Load(clients)
    begun = time.perf_counter()

    def work(call: Callable[[], None]) -> None:
        while not length.is_over(len(found.latencies), (sent := time.perf_counter()) - begun):
            call()
            found.latencies.append(time.perf_counter() - sent)

    calls = [server.calls[what](number) for number in range(clients)]
    with ThreadPoolExecutor(clients) as pool:
        begun = time.perf_counter()
        list(pool.map(work, calls))
    found.seconds, found.in_time = time.perf_counter() - begun, len(found.latencies)
    return found


def line(found: Measured) -> str:
    load = found.load
    return (
        f"{load.rate:,.0f}/s, p50 {load.milliseconds(0.5):.1f} ms, p99 {load.milliseconds(0.99):.1f} ms, "
        f"{cost(found):,.0f} µs of processor, other load {found.processor.other_load:.2f}"
    )


def cost(found: Measured) -> float:
    """Microseconds of processor for one answer."""
    return 1e6 * found.cpu_seconds / len(found.load.latencies)


def result(kind: str, results: Results, rounds: int, length: Length, found: dict[str, str]) -> dict[str, Any]:
    about = (
        f"{NAMES[kind]}. Each measurement lasts {length.least:g} s after {WARM_UP:g} s of warm-up, and then until "
        f"{length.answers:,} answers are there or {length.most:g} s are over; *p99* is that of all rounds' answers "
        "together. All servers are there all the while, and asked in turn. Ours and the bare route are one process of "
        "uvicorn where no other number is said, MLflow what its command starts: four. A job is a spec of 1 kB with an "
        "Idempotency-Key, authenticated, validated against its data set, counted against the project's limits and "
        "written with its event and an entry in the audit log; the bare route keeps the same text under an id. What is "
        "appended is a worker's own write for ours, a request for MLflow. *Processor* is that of server (or worker) "
        "and database for one answer; the client takes some 50 µs beside."
    )
    return {
        "title": f"The API on {NAMES[kind].partition(',')[0]}",
        "command": " ".join(["python -m benchmarks.api", *sys.argv[1:]]),
        "about": about,
        "rounds": rounds,
        **surroundings(**found),
        "kind": "table",
        "columns": ["", "clients", "server", "/s", "ours against it", "p50 ms", "p99 ms", "processor µs", "other load"],
        "rows": [row(results, *key) for key in results],
        "measured": [
            {"asked": what, "clients": clients, "server": name, "rounds": [raw(one) for one in measured]}
            for (what, clients, name), measured in results.items()
        ],
    }


def raw(found: Measured) -> dict[str, float]:
    return {
        "answers": len(found.load.latencies),
        "failures": found.load.failures,
        "rate": found.load.rate,
        "p50_milliseconds": found.load.milliseconds(0.5),
        "p99_milliseconds": found.load.milliseconds(0.99),
        "worst_milliseconds": found.load.milliseconds(1.0),
        "processor_microseconds": cost(found),
        "other_load": found.processor.other_load,
    }


def row(results: Results, what: str, clients: int, name: str) -> list[str | float]:
    found = results[what, clients, name]
    if not found:
        return [what, clients, f"{name}; no answer within {PATIENCE:g} s", *[""] * 6]
    failures = sum(one.load.failures for one in found)
    slowest = 1000 * quantile([latency for one in found for latency in one.load.latencies], 0.99)
    ours, this = (statistics.median(one.load.rate for one in results[what, clients, server]) for server in (OURS, name))
    return [
        what,
        clients,
        f"{name}; failed answers: {failures}" if failures else name,
        spread([one.load.rate for one in found]),
        f"{ours / this:.2f}×",
        spread([one.load.milliseconds(0.5) for one in found], 1),
        spread([one.load.milliseconds(0.99) for one in found], 1, slowest),
        f"{statistics.median(map(cost, found)):,.0f}",
        f"{max(one.processor.other_load for one in found):.2f}",
    ]


if __name__ == "__main__":
    main()
