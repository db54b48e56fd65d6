"""Random kills, stops and cuts while clients post, poll and cancel; then every invariant is looked up.

Usage: python -m tests.faults.punisher [--seed N] [--seconds S] [--workers N]. Ends with 1 if anything was lost, doubled
or changed. The seed decides what is done to whom and when, not what the machine makes of it.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from models.storage import open_storage
from tests.conftest import migrate
from tests.faults.checker import leftovers, strays, violations
from tests.faults.conftest import DIGITS, quick
from tests.faults.proxy import Proxy, proxy
from tests.servers.postgres import Postgres, postgres_server
from tests.servers.process import free_port, running
from tests.servers.redis import answers, find_binary
from tests.service import TERMINAL, Service, descendants, service

VARIANTS = [{"epochs": epochs, "seed": seed} for epochs in (1, 3) for seed in (0, 1)]
CLIENTS = 4
PATIENCE = 300.0
"""Seconds that everything may take to end, once it is left alone."""


@dataclass
class History:
    """What the clients saw."""

    jobs: dict[str, tuple[str, int]] = field(default_factory=dict)
    """Idempotency key → the id that was acknowledged, the variant."""
    replies: Counter[int] = field(default_factory=Counter)
    broken: Counter[str] = field(default_factory=Counter)
    """Connections that ended without an answer, by kind."""
    wrong: list[str] = field(default_factory=list)
    cancelled: set[str] = field(default_factory=set)

    def note(self, reply: httpx.Response) -> None:
        """I9: no 5xx but 503, and that with Retry-After."""
        self.replies[reply.status_code] += 1
        if reply.status_code >= 500 and (reply.status_code != 503 or "Retry-After" not in reply.headers):
            self.wrong.append(f"I9: {reply.request.method} {reply.request.url.path}: {reply.status_code} {reply.text}")


class Client(threading.Thread):
    """Posts jobs and looks after them, and does not give up when it gets no answer."""

    def __init__(self, number: int, seed: int, installation: Service, dataset_id: str, history: History) -> None:
        super().__init__(name=f"client-{number}", daemon=True)
        self._number, self._random = number, random.Random(f"{seed}-{number}")
        self._installation, self._dataset_id, self._history = installation, dataset_id, history
        self.stopped = threading.Event()

    def run(self) -> None:
        count = 0
        while not self.stopped.wait(self._random.uniform(0.5, 2.5)):
            count += 1
            key, variant = f"client-{self._number}-{count}", self._random.randrange(len(VARIANTS))
            reply = self._send(
                "POST", "/v1/jobs", json=spec(self._dataset_id, variant), headers={"Idempotency-Key": key}
            )
            if reply is None:
                return
            assert reply.status_code == 201, reply.text
            self._history.jobs[key] = (reply.json()["id"], variant)
            if self._random.random() < 0.15:
                self._cancel(self._random.choice(list(self._history.jobs.values()))[0])
            self._send("GET", "/v1/jobs?limit=20")

    def _cancel(self, job_id: str) -> None:
        reply = self._send("POST", f"/v1/jobs/{job_id}/cancel")
        if reply is not None and reply.status_code == 202:
            self._history.cancelled.add(job_id)

    def _send(self, method: str, path: str, **options: Any) -> httpx.Response | None:
        """Until there is an answer other than "not now"; None when it is over."""
        while not self.stopped.is_set():
            try:
                reply = self._installation.http.request(method, path, timeout=15, **options)
            except (httpx.TransportError, RuntimeError) as error:  # RuntimeError: the client was closed under us
                self._history.broken[type(error).__name__] += 1
            else:
                self._history.note(reply)
                if reply.status_code != 503:
                    return reply
            self.stopped.wait(self._random.uniform(0.1, 0.5))
        return None


@dataclass
class Punisher:
    """What it can do; one thing at a time, and all of it from one thread, for a child dies with the thread it is of."""

    installation: Service
    postgres: Postgres
    database: Proxy
    broker: Proxy
    restart_redis: Callable[[], None]
    random: random.Random
    done: Counter[str] = field(default_factory=Counter)

    def punish(self, until: float) -> None:
        means = {
            self.kill_a_worker: 4,
            self.stop_a_worker: 2,
            self.kill_a_trainer: 3,
            self.ask_a_worker_to_leave: 2,
            self.kill_the_api: 2,
            self.reset_the_database: 2,
            self.swallow_the_database: 1,
            self.crash_the_database: 1,
            self.kill_the_broker: 1,
            self.swallow_the_broker: 1,
        }
        while time.monotonic() < until:
            (means_,) = self.random.choices(list(means), weights=list(means.values()))
            means_()
            self.done[means_.__name__] += 1
            time.sleep(self.random.uniform(0.5, 4))

    def kill_a_worker(self) -> None:
        self._replace(signal.SIGKILL)

    def ask_a_worker_to_leave(self) -> None:
        self._replace(signal.SIGTERM)

    def stop_a_worker(self) -> None:
        """For longer than a lease lasts: it comes back and finds its jobs taken."""
        worker = self.random.choice(self.installation.workers)
        worker.send_signal(signal.SIGSTOP)
        time.sleep(self.random.uniform(0.5, 5))
        worker.send_signal(signal.SIGCONT)

    def kill_a_trainer(self) -> None:
        below = [pid for worker in self.installation.workers for pid in descendants(worker.pid) if _is_trainer(pid)]
        if below:
            with suppress(ProcessLookupError):
                os.kill(self.random.choice(below), signal.SIGKILL)

    def kill_the_api(self) -> None:
        self.installation.api.kill()
        self.installation.api.wait()
        self.installation.start_api()

    def reset_the_database(self) -> None:
        self.database.reset()

    def swallow_the_database(self) -> None:
        self._swallow(self.database)

    def crash_the_database(self) -> None:
        assert self.postgres.crash is not None
        self.postgres.crash()

    def kill_the_broker(self) -> None:
        self.restart_redis()

    def swallow_the_broker(self) -> None:
        self._swallow(self.broker)

    def _swallow(self, between: Proxy) -> None:
        between.black_hole = True
        time.sleep(self.random.uniform(0.5, 4))
        between.heal()

    def _replace(self, how: signal.Signals) -> None:
        worker = self.random.choice(self.installation.workers)
        worker.send_signal(how)
        with suppress(subprocess.TimeoutExpired):
            worker.wait(30)
        worker.kill()
        worker.wait()
        self.installation.workers.remove(worker)
        self.installation.start_worker()


def spec(dataset_id: str, variant: int) -> dict[str, Any]:
    return quick(dataset_id, **VARIANTS[variant])


def main(seed: int, seconds: float, workers: int) -> int:
    with tempfile.TemporaryDirectory(prefix="trainwright-punished-") as name, ExitStack() as stack:
        folder = Path(name)
        folder.chmod(0o755)
        postgres = stack.enter_context(postgres_server())
        redis_port, restart_redis = _redis(stack, folder)
        url = postgres.create_database()
        migrate(url.render_as_string(hide_password=False))
        database = stack.enter_context(proxy("127.0.0.1", int(url.port or 5432)))
        broker = stack.enter_context(proxy("127.0.0.1", redis_port))
        through = url.set(port=database.port).render_as_string(hide_password=False)
        stack.callback(lambda: say(f"processes left: {strays(folder)}"))
        with service(
            folder, through, f"redis://127.0.0.1:{broker.port}/0", TRAINWRIGHT_CHECKPOINT_SECONDS="0.2",
            TRAINWRIGHT_FRUITLESS_ATTEMPTS="100",
        ) as installation:  # fmt: skip
            for _ in range(workers):
                installation.start_worker()
            dataset_id = installation.upload(DIGITS)
            wanted = [undisturbed(installation, dataset_id, variant) for variant in range(len(VARIANTS))]
            history = History()
            clients = [Client(number, seed, installation, dataset_id, history) for number in range(CLIENTS)]
            for client in clients:
                client.start()
            punisher = Punisher(installation, postgres, database, broker, restart_redis, random.Random(seed))
            punisher.punish(time.monotonic() + seconds)
            for client in clients:
                client.stopped.set()
                client.join()
            database.heal()
            broker.heal()
            return report(seed, installation, history, punisher, wanted)


def undisturbed(installation: Service, dataset_id: str, variant: int) -> str:
    job_id = installation.submit(spec(dataset_id, variant))
    assert installation.finish(job_id)["status"] == "succeeded", installation.logs()
    return installation.last_weights(job_id)


def report(seed: int, installation: Service, history: History, punisher: Punisher, wanted: list[str]) -> int:
    """Wait until everything has ended, look up every invariant, and say what was found."""
    ends: Counter[str] = Counter()
    mismatches, attempts = [], 0
    deadline = time.monotonic() + PATIENCE
    for job_id, variant in history.jobs.values():
        job = installation.wait(f"/v1/jobs/{job_id}", TERMINAL, max(1.0, deadline - time.monotonic()))
        ends[job["status"]] += 1
        attempts += job["attempt"]
        if job["status"] == "succeeded" and installation.last_weights(job_id) != wanted[variant]:
            mismatches.append(job_id)
        if job["status"] == "failed" or (job["status"] == "cancelled") != (job_id in history.cancelled):
            history.wrong.append(f"{job_id} {job['status']}: {job['failure']}")
    with installation.database() as database:
        storage = open_storage(installation.read_settings())
        wrong = violations(database, storage, [job_id for job_id, _ in history.jobs.values()])
    ids = [job_id for job_id, _ in history.jobs.values()]
    there = count_of_jobs(installation) - len(wanted)
    if len(set(ids)) != len(ids) or there < len(ids):
        wrong.append(f"I6: {len(ids)} keys, {len(set(ids))} ids, {there} jobs")
    figures = {
        "seed": seed,
        "jobs": len(ids),
        "unacknowledged": there - len(ids),
        "ends": dict(ends),
        "attempts": attempts,
        "punishments": dict(sorted(punisher.done.items())),
        "replies": {str(status): count for status, count in sorted(history.replies.items())},
        "connections_broken": dict(history.broken),
        "hash_mismatches": mismatches,
        "temporary_files": leftovers(installation.folder / "objects"),
        "violations": wrong + history.wrong,
    }
    say(json.dumps(figures, indent=2))
    return 1 if mismatches or figures["violations"] or figures["temporary_files"] else 0


def count_of_jobs(installation: Service) -> int:
    count, after = 0, ""
    while True:
        page = installation.http.get(f"/v1/jobs?limit=100{after}").raise_for_status().json()
        count += len(page["data"])
        if not page["has_more"]:
            return count
        after = f"&after={page['last_id']}"


def _redis(stack: ExitStack, folder: Path) -> tuple[int, Callable[[], None]]:
    """A server of our own that keeps what it has over a kill, as production does."""
    port = free_port()
    settings = folder / "redis.conf"
    settings.write_text(f'bind 127.0.0.1\nport {port}\ndir "{folder}"\nappendonly yes\nsave ""\n')

    def start() -> subprocess.Popen[bytes]:
        url = f"redis://127.0.0.1:{port}/0"
        return stack.enter_context(
            running([find_binary(), settings], log=folder / "redis.log", is_ready=lambda: answers(url))
        )

    processes = [start()]

    def restart() -> None:
        processes[-1].kill()
        processes[-1].wait()
        processes.append(start())

    return port, restart


def _is_trainer(pid: int) -> bool:
    """A child of the forkserver, which is a child of the worker."""
    with suppress(OSError):
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
        return b"forkserver" in command and not Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return False


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args()
    sys.exit(main(given.seed, given.seconds, given.workers))
