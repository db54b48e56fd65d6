"""The same questions with 10³, 10⁵ and 10⁶ jobs in the tables of Postgres, and 10⁷ points of curves: those of the API,
and a worker's claim while 10⁵ jobs wait.

Usage: python -m benchmarks.growth [--jobs 1000 100000 1000000] [--calls 60]
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import text

from benchmarks.contest import say, surroundings
from benchmarks.figures import watched
from benchmarks.installations import databases, dataset_of, opened, project_of, settings_of
from benchmarks.report import record
from models import jobs, metrics, turns
from models.database import Database, Session
from models.jobs import Filter
from models.metrics import Wanted
from models.states import State
from tests.conftest import migrate

QUEUED = 100_000
WARM_UP = 30
"""Calls of each question: so many, and the server has chosen the plan that it keeps for it."""
POINTS_OF_A_JOB, POINTS_OF_A_CHUNK = 10_000, 100
Question = Callable[[Session], object]

JOBS = """
INSERT INTO jobs (id, project_id, dataset_id, name, tags, metadata, state, desired_state, spec, resolved_spec,
                  spec_sha256, attempt, fruitless_attempts, format_version, version, event_count, created_at)
SELECT 'job_0190' || lpad(to_hex(n), 28, '0'), :project, :dataset, 'run ' || n,
       CASE WHEN n % 1000 = 0 THEN '["rare"]' ELSE '["baseline"]' END::json, '{}',
       CASE WHEN n % 10 = 0 THEN 'failed' WHEN n % 500 = 1 THEN 'cancelled' ELSE 'succeeded' END, 'run',
       :spec, :spec, repeat('0', 64), 1, 0, 1, 5, 5, now() - make_interval(secs => :jobs - n)
FROM generate_series(1, :jobs) AS n
"""
CURVES = """
INSERT INTO metric_chunks (job_id, interval, first_step, last_step, points, attempt, columns)
SELECT 'job_0190' || lpad(to_hex(n * :apart), 28, '0'), 'step', first, first + :chunk - 1, :chunk, 1,
       json_build_object('nonfinite', json_build_object(), 'columns', json_build_object(
           'step', (SELECT json_agg(step) FROM generate_series(first, first + :chunk - 1) AS step),
           'train/loss', (SELECT json_agg(1.0 / step) FROM generate_series(first, first + :chunk - 1) AS step)))
FROM generate_series(1, :curves) AS n, generate_series(1, :points, :chunk) AS first
"""
WAIT = """
UPDATE jobs SET state = 'queued', attempt = 0
WHERE id IN (SELECT id FROM jobs WHERE state = 'succeeded' ORDER BY id DESC LIMIT :queued)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--jobs", type=int, nargs="*", default=[1000, 100_000, 1_000_000])
    parser.add_argument("--calls", type=int, default=60, help="of each question")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, databases("postgres", Path(name)) as new, ExitStack() as stack:
        tables: dict[int, Tables] = {}
        for count in options.jobs:
            url = new(str(count))
            migrate(url)
            tables[count] = filled(stack.enter_context(opened(settings_of(url, Path(name)))), count)
        with watched() as processor:
            found = measure(tables, options.calls)
    record("growth/postgres", result(found, options.calls, processor.other_load))


@dataclass(frozen=True)
class Tables:
    """A database with so many jobs in it."""

    database: Database
    project: str
    count: int


def measure(tables: dict[int, Tables], calls: int) -> dict[int, dict[str, float]]:
    """Milliseconds of each question, the median: the sizes are asked in turn."""
    found: dict[int, dict[str, float]] = {count: {} for count in tables}
    for ask in (questions, questions_of_a_queue):
        asked = {count: ask(one) for count, one in tables.items()}
        for what in next(iter(asked.values())):
            taken = timed({count: (tables[count].database, asked[count][what]) for count in tables}, calls)
            for count, milliseconds in taken.items():
                found[count][what] = milliseconds
            say(f"{what}: {', '.join(f'{number:.2f}' for number in taken.values())} ms")
    return found


def filled(database: Database, count: int) -> Tables:
    with database.write() as session:
        project, _ = project_of(session, "growth")
        dataset = dataset_of(session, project)
    fill(database, project, dataset, count)
    return Tables(database, project, count)


def fill(database: Database, project: str, dataset: str, count: int) -> None:
    begun = time.monotonic()
    spec = '{"note": "' + "x" * 900 + '"}'
    curves = min(1000, count)
    chunks = {"chunk": POINTS_OF_A_CHUNK, "points": POINTS_OF_A_JOB, "apart": count // curves, "curves": curves}
    with database.write() as session:
        session.execute(text(JOBS), {"project": project, "dataset": dataset, "spec": spec, "jobs": count})
        session.execute(text(CURVES), chunks)
    analyze(database)
    say(f"{count:,} jobs and {curves * POINTS_OF_A_JOB:,} points are there after {time.monotonic() - begun:.0f} s")


def analyze(database: Database) -> None:
    """What autovacuum does by itself, a minute later."""
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE"))


def id_of(number: int) -> str:
    return f"job_0190{number:028x}"


def questions(tables: Tables) -> dict[str, Question]:
    project, count = tables.project, tables.count

    def page(**which: Any) -> Question:
        return lambda session: jobs.page(session, project, Filter(**which))

    curve = Wanted(id_of(count // min(1000, count)), "step", 5000, ("train/loss",))
    return {
        "get a job": lambda session: jobs.get(session, project, id_of(count // 2)),
        "list the newest 20": page(),
        "list behind a cursor in the middle": lambda s: jobs.page(s, project, after=id_of(count // 2)),
        "list those that failed": page(states=(State.FAILED,)),
        "list those that run or are paused: none": page(states=(State.RUNNING, State.PAUSED)),
        "list those of a data set": page(dataset_id="ds_of_nobody"),
        "list those made after a moment: none": page(created_after=datetime.now(UTC) + timedelta(days=1)),
        "list those with a rare tag": page(tags=("rare",)),
        "list those with a tag that none has": page(tags=("never",)),
        "list those with a text in the metadata that none has": page(metadata={"team": "nobody"}),
        "list those with a word in the name that none has": page(name="zebra"),
        "read 1,000 steps of a curve": lambda session: metrics.read(session, curve, 1000),
    }


def questions_of_a_queue(tables: Tables) -> dict[str, Question]:
    """From now on some of the jobs wait."""
    with tables.database.write() as session:
        session.execute(text(WAIT), {"queued": min(QUEUED, tables.count // 2)})
    analyze(tables.database)
    last = id_of(tables.count - 2)  # neither failed nor cancelled, so it waits
    return {
        "claim the job whose turn it is, half of 10³ · 10⁵ · 10⁵ queued": claim,
        "the place of one that waits far behind": lambda session: turns.queue(session, [last], 60),
        "count what waits and runs, for Prometheus": jobs.count_by_state,
        "age of the queue, for Prometheus": jobs.longest_wait,
    }


def claim(session: Session) -> None:
    found = turns.claim(session, worker_id="w", lease_seconds=60, running_jobs=10**6)
    assert found is not None


def timed(asked: dict[int, tuple[Database, Question]], calls: int) -> dict[int, float]:
    """Milliseconds, as the service asks it; a claim is taken back. Fewer calls where one takes long."""
    taken: dict[int, list[float]] = {count: [] for count in asked}
    for number in range(WARM_UP + calls):
        for count, (database, question) in asked.items():
            if sum(taken[count]) > 3:
                continue
            begun = time.perf_counter()
            if question is claim:
                with database.write() as session:
                    question(session)
                    session.rollback()
            else:
                with database.read() as session:
                    question(session)
            if number >= WARM_UP:
                taken[count].append(time.perf_counter() - begun)
    return {count: 1000 * statistics.median(seconds) for count, seconds in taken.items()}


def result(found: dict[int, dict[str, float]], calls: int, other_load: float) -> dict[str, Any]:
    least, most = min(found), max(found)
    rows = [
        [what, *(f"{found[count][what]:.2f}" for count in found), f"{found[most][what] / found[least][what]:.2f}×"]
        for what in found[least]
    ]
    return {
        "title": "As the tables of Postgres grow",
        "command": " ".join(["python -m benchmarks.growth", *sys.argv[1:]]),
        "about": "Milliseconds of the queries behind each question, one caller who asks all sizes in turn, the median "
        f"of {calls} calls or of 3 seconds; 1,000 jobs have curves of 10,000 points each (10⁷ in all). Parts of names "
        f"have no index: who looks for what is rare reads all. Other load {other_load:.2f} cores.",
        "rounds": 1,
        **surroundings(),
        "kind": "table",
        "columns": ["", *(f"{count:,} jobs" for count in found), "growth"],
        "rows": rows,
    }


if __name__ == "__main__":
    main()
