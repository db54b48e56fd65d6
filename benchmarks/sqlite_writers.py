"""Several processes that write to one SQLite file: what BEGIN IMMEDIATE is for, and what synchronous FULL costs.

The numbers behind docs/why/one-machine.md. Usage: python -m benchmarks.sqlite_writers
"""

import multiprocessing
import sqlite3
import statistics
import sys
import tempfile
import time
from pathlib import Path

WRITERS, TRANSACTIONS = 3, 200


def main() -> None:
    for begin in ("BEGIN", "BEGIN IMMEDIATE"):
        with tempfile.TemporaryDirectory() as name:
            path = Path(name) / "jobs.db"
            with connect(path) as connection:
                connection.execute("CREATE TABLE jobs (id INTEGER PRIMARY KEY, claimed INTEGER)")
            began = time.perf_counter()
            with multiprocessing.get_context("spawn").Pool(WRITERS) as pool:
                results = pool.starmap(claim_and_write, [(path, begin)] * WRITERS)
            seconds = time.perf_counter() - began
        failures = sum(failed for failed, _ in results)
        times = sorted(second for _, each in results for second in each)
        sys.stdout.write(
            f"{begin}: {failures} of {WRITERS * TRANSACTIONS} transactions failed; of the rest half took "
            f"{statistics.median(times) * 1000:.1f} ms, 99 % at most {times[int(len(times) * 0.99)] * 1000:.1f} ms "
            f"({seconds:.1f} s in all, processes included)\n"
        )


def claim_and_write(path: Path, begin: str) -> tuple[int, list[float]]:
    """What a claim does: look first, then write. Returns the failed transactions and the seconds of the others."""
    failed, times = 0, []
    with connect(path) as connection:
        for _ in range(TRANSACTIONS):
            began = time.perf_counter()
            try:
                connection.execute(begin)
                connection.execute("SELECT count(*) FROM jobs").fetchone()
                connection.execute("INSERT INTO jobs (claimed) VALUES (1)")
                connection.execute("COMMIT")
            except sqlite3.OperationalError:
                failed += 1
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
            else:
                times.append(time.perf_counter() - began)
    return failed, times


def connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=30, isolation_level=None)
    for pragma in ("journal_mode=WAL", "synchronous=FULL"):
        connection.execute(f"PRAGMA {pragma}")
    return connection


if __name__ == "__main__":
    main()
