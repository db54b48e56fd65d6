"""The same requests to the API with 10³, 10⁵ and 10⁶ jobs of 20 projects in the tables of Postgres, and 10⁷ points of
curves; then requests and a worker's claim while 10⁵ jobs wait.

Usage: python -m benchmarks.growth [--jobs 1000 100000 1000000] [--rounds 3] [--calls 100]
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import text

from benchmarks.contest import say, surroundings
from benchmarks.figures import spread, watched
from benchmarks.installations import SPEC, databases, dataset_of, posting, project_of, served, versions
from benchmarks.load import Connection, Next, request
from benchmarks.report import record
from models import jobs, turns
from models.database import Database, Session

PROJECTS = 20
QUEUED = 100_000
WARM_UP = 20
"""Calls of each question: so many, and the server has chosen the plan that it keeps for it."""
ENOUGH = 3.0
"""Seconds of one question to one size, in each round."""
POINTS_OF_A_JOB, POINTS_OF_A_CHUNK = 10_000, 100
Call = Callable[[], object]
Question = Callable[[], AbstractContextManager[Call]]
"""Gets ready to ask."""

JOBS = """
INSERT INTO jobs (id, project_id, dataset_id, name, tags, metadata, state, desired_state, spec, resolved_spec,
                  spec_sha256, attempt, fruitless_attempts, format_version, version, event_count, created_at)
SELECT 'job_0190' || lpad(to_hex(:projects * n + :place), 28, '0'), :project, :dataset, 'run ' || n,
       CASE WHEN n % 1000 = 0 THEN '["rare"]' ELSE '["baseline"]' END::json, '{}',
       CASE WHEN n % 10 = 3 THEN 'failed' WHEN n % 500 = 1 THEN 'cancelled' ELSE 'succeeded' END, 'run',
       :spec, :spec, repeat('0', 64), 1, 0, 1, 5, 5, now() - make_interval(secs => :jobs - n)
FROM generate_series(0, :jobs - 1) AS n
"""
ATTEMPTS = """
INSERT INTO attempts (job_id, number, worker_id, claimed_at, ended_at, outcome)
SELECT id, 1, 'w', created_at, created_at + interval '1 minute', state FROM jobs
"""
CURVES = """
INSERT INTO metric_chunks (job_id, interval, first_step, last_step, points, attempt, columns)
SELECT 'job_0190' || lpad(to_hex(n * :apart), 28, '0'), 'step', first, first + :chunk - 1, :chunk, 1,
       json_build_object('nonfinite', json_build_object(), 'columns', json_build_object(
           'step', (SELECT json_agg(step) FROM generate_series(first, first + :chunk - 1) AS step),
           'train/loss', (SELECT json_agg(1.0 / step) FROM generate_series(first, first + :chunk - 1) AS step)))
FROM generate_series(0, :curves - 1) AS n, generate_series(1, :points, :chunk) AS first
"""
WAIT = """
UPDATE jobs SET state = 'queued'
WHERE id IN (SELECT id FROM jobs WHERE state = 'succeeded' ORDER BY id DESC LIMIT :queued)
"""
WAITING = "SELECT id FROM jobs WHERE state = 'queued' AND project_id = :project ORDER BY id"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--jobs", type=int, nargs="*", default=[1000, 100_000, 1_000_000], help="multiples of 1,000")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--calls", type=int, default=100, help="of each question, in each round")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, databases("postgres", Path(name)) as new, ExitStack() as stack:
        folder = Path(name)
        sizes: dict[int, Installation] = {}
        for count in options.jobs:
            url = new(str(count))
            database, port = stack.enter_context(served(str(count), folder, url))
            sizes[count] = filled(database, port, count)
        with watched() as processor:
            found = measure(sizes, options.rounds, options.calls)
        used = versions(url)
    record("growth/postgres", result(found, used, options.rounds, options.calls, processor.other_load))


@dataclass(frozen=True)
class Installation:
    """The API to tables with so many jobs in them, and one of the projects."""

    database: Database
    port: int
    count: int
    project: str
    key: str
    dataset: str

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.key}"}

    def get(self, path: str) -> Question:
        return partial(asking, self.port, lambda: request("GET", path, self.headers))


def filled(database: Database, port: int, count: int) -> Installation:
    begun = time.monotonic()
    with database.write() as session:
        first, *_ = [filled_project(session, place, count // PROJECTS) for place in range(PROJECTS)]
        session.execute(text(ATTEMPTS))
        curves = min(1000, count)
        chunks = {"chunk": POINTS_OF_A_CHUNK, "points": POINTS_OF_A_JOB, "apart": count // curves, "curves": curves}
        session.execute(text(CURVES), chunks)
    analyze(database)
    say(f"{count:,} jobs and {curves * POINTS_OF_A_JOB:,} points are there after {time.monotonic() - begun:.0f} s")
    return Installation(database, port, count, *first)


def filled_project(session: Session, place: int, count: int) -> tuple[str, str, str]:
    """A project, a key to it, and the data set that its jobs train on; the jobs of all projects alternate."""
    project, key = project_of(session, f"growth {place}")
    dataset = dataset_of(session, project)
    spec = json.dumps(SPEC | {"dataset": {"id": dataset}})
    words = {"project": project, "dataset": dataset, "spec": spec, "jobs": count}
    session.execute(text(JOBS), {**words, "projects": PROJECTS, "place": place})
    return project, key, dataset


def analyze(database: Database) -> None:
    """What autovacuum does by itself, a minute later."""
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE"))


def id_of(number: int) -> str:
    return f"job_0190{number:028x}"


def measure(sizes: dict[int, Installation], rounds: int, calls: int) -> dict[str, dict[int, list[float]]]:
    """Milliseconds of each question to each size, the median of each round: the sizes are asked in turn."""
    found: dict[str, dict[int, list[float]]] = {}
    for ask in (questions, questions_of_a_queue):
        asked = {count: ask(one) for count, one in sizes.items()}
        for number in range(rounds):
            for what in next(iter(asked.values())):
                taken = timed({count: asked[count][what] for count in sizes}, calls)
                for count, milliseconds in taken.items():
                    found.setdefault(what, {}).setdefault(count, []).append(milliseconds)
                say(f"round {number + 1}  {what}: {', '.join(f'{each:.2f}' for each in taken.values())} ms")
    return found


def questions(one: Installation) -> dict[str, Question]:
    """Of jobs that have all ended."""
    middle = id_of(one.count // (2 * PROJECTS) * PROJECTS)
    return {
        "GET a job": one.get(f"/v1/jobs/{middle}"),
        "list the newest 20": one.get("/v1/jobs"),
        "list behind a cursor in the middle": one.get(f"/v1/jobs?after={middle}"),
        "list those that failed": one.get("/v1/jobs?status=failed"),
        "list those that run or are paused: none": one.get("/v1/jobs?status=running&status=paused"),
        "list those of a data set: none": one.get("/v1/jobs?dataset=ds_of_nobody"),
        "list those made after a moment: none": one.get("/v1/jobs?created_after=2100-01-01T00:00:00Z"),
        "list those with a rare tag": one.get("/v1/jobs?tag=rare"),
        "list those with a tag that none has": one.get("/v1/jobs?tag=never"),
        "list those with a text in the metadata that none has": one.get("/v1/jobs?metadata%5Bteam%5D=nobody"),
        "list those with a word in the name that none has": one.get("/v1/jobs?name=zebra"),
        "read 1,000 steps of a curve": one.get(f"/v1/jobs/{middle}/metrics?keys=train/loss&since_step=5000&limit=1000"),
    }


def questions_of_a_queue(one: Installation) -> dict[str, Question]:
    """From now on some of the jobs wait."""
    with one.database.write() as session:
        session.execute(text(WAIT), {"queued": min(QUEUED, one.count // 2)})
        waiting = session.scalars(text(WAITING), {"project": one.project}).all()
    analyze(one.database)
    work = partial(partial, working, one.database)
    return {
        "GET a job that has ended, while others wait": one.get(f"/v1/jobs/{id_of(0)}"),
        "GET the job that waits longest": one.get(f"/v1/jobs/{waiting[0]}"),
        "GET a job that waits far behind": one.get(f"/v1/jobs/{waiting[-1]}"),
        "list the newest 20, which wait": one.get("/v1/jobs"),
        "list those that wait, the oldest first": one.get("/v1/jobs?status=queued&order=asc"),
        "POST a job": partial(asking, one.port, posting(one.dataset, one.headers)),
        "claim the job whose turn it is, a worker's own query": work(claim),
        "count what waits and runs, for Prometheus": work(jobs.count_by_state),
        "age of the queue, for Prometheus": work(jobs.longest_wait),
    }


@contextmanager
def asking(port: int, following: Next) -> Iterator[Call]:
    """One client, whose connection stays open."""
    connection = Connection(port)

    def call() -> None:
        status, answer = connection.ask(following())
        assert 200 <= status < 300, answer

    yield call
    connection.socket.close()


@contextmanager
def working(database: Database, query: Callable[[Session], object]) -> Iterator[Call]:
    """What a worker asks the database itself, and takes back."""

    def call() -> None:
        with database.write() as session:
            query(session)
            session.rollback()

    yield call


def claim(session: Session) -> None:
    found = turns.claim(session, worker_id="w", lease_seconds=60, running_jobs=10**6)
    assert found is not None


def timed(asked: dict[int, Question], calls: int) -> dict[int, float]:
    """Milliseconds, the median; fewer calls where one takes long."""
    taken: dict[int, list[float]] = {count: [] for count in asked}
    with ExitStack() as stack:
        ready = {count: stack.enter_context(question()) for count, question in asked.items()}
        for number in range(WARM_UP + calls):
            for count, call in ready.items():
                if sum(taken[count]) > ENOUGH:
                    continue
                begun = time.perf_counter()
                call()
                if number >= WARM_UP:
                    taken[count].append(time.perf_counter() - begun)
    return {count: 1000 * statistics.median(seconds) for count, seconds in taken.items()}


def result(
    found: dict[str, dict[int, list[float]]], used: dict[str, str], rounds: int, calls: int, other_load: float
) -> dict[str, Any]:
    counts = list(next(iter(found.values())))
    return {
        "title": "As the tables of Postgres grow",
        "command": " ".join(["python -m benchmarks.growth", *sys.argv[1:]]),
        "about": f"Milliseconds from a request to the end of its answer, one client who asks all sizes in turn, each "
        f"with its API of one process; the median of rounds of {calls} calls or {ENOUGH:g} seconds, and the lowest and "
        f"the highest. The jobs are of {PROJECTS} projects; 1,000 have curves of 10,000 points each (10⁷ in all). From "
        "*while others wait* on 10⁵ are queued, of 10³ jobs half. Parts of names have no index: who looks for what is "
        f"rare reads all of a project. Other load {other_load:.2f} cores.",
        "rounds": rounds,
        **surroundings(**used),
        "kind": "table",
        "columns": ["", *(f"{count:,} jobs" for count in counts), "growth"],
        "rows": [row(what, list(sizes.values())) for what, sizes in found.items()],
        "measured": found,
    }


def row(what: str, sizes: list[list[float]]) -> list[str]:
    """The growth is that from the first size to the last within each round."""
    growth = [last / first for first, last in zip(sizes[0], sizes[-1], strict=True)]
    return [what, *(spread(rounds, 2) for rounds in sizes), f"{spread(growth, 2)}×"]


if __name__ == "__main__":
    main()
