"""Random kills, stops and cuts while clients post, poll and cancel; then every invariant is looked up.

Usage: python -m tests.faults.punisher [--seed N] [--seconds S] [--workers N] [--history FILE] [--replay FILE]. Ends
with 1 if anything was lost, doubled or changed. The seed decides what is done, to whom and when. What was done is
written down with its time; `--replay` does the same once more.
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
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx

from models.settings import Settings
from models.storage import open_storage
from tests.conftest import migrate
from tests.faults.checker import leftovers, strays, violations
from tests.faults.conftest import quick
from tests.faults.deeds import Deed, by, drawn, picked, read_deeds, write_deeds
from tests.faults.proxy import Proxy, proxy
from tests.servers.postgres import Postgres, postgres_server
from tests.servers.process import free_port, running
from tests.servers.redis import answers, find_binary
from tests.service import DIGITS, Service, forkservers, service, trainers

VARIANTS = [{"epochs": epochs, "seed": seed} for epochs in (1, 3) for seed in (0, 1)]
CLIENTS = 4
PATIENCE = 300.0
"""Seconds that a job may take to end once those before it have, and a request to be answered."""


@dataclass
class History:
    """What was done and what the clients saw."""

    begun: float = field(default_factory=time.monotonic)
    deeds: list[Deed] = field(default_factory=list)
    jobs: dict[str, tuple[str, int]] = field(default_factory=dict)
    """Idempotency key → the id that was acknowledged, the variant."""
    replies: Counter[int] = field(default_factory=Counter)
    broken: Counter[str] = field(default_factory=Counter)
    """Connections that ended without an answer, by kind."""
    wrong: list[str] = field(default_factory=list)
    cancelled: set[str] = field(default_factory=set)

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.begun

    def wait_for(self, deed: Deed) -> None:
        """Until its time has come, or not at all if that has passed; and write down when it really was."""
        time.sleep(max(0.0, deed.at - self.seconds))
        self.deeds.append(replace(deed, at=round(self.seconds, 3)))

    def note(self, reply: httpx.Response) -> None:
        """I9: no 5xx but 503, and that with Retry-After."""
        self.replies[reply.status_code] += 1
        if reply.status_code >= 500 and (reply.status_code != 503 or "Retry-After" not in reply.headers):
            self.wrong.append(f"I9: {reply.request.method} {reply.request.url.path}: {reply.status_code} {reply.text}")


class Client(threading.Thread):
    """Posts jobs and looks after them, and does not give up when it gets no answer."""

    def __init__(
        self, name: str, deeds: list[Deed], installation: Service, dataset_id: str, history: History, seed: int
    ) -> None:
        super().__init__(name=name, daemon=True)
        self._deeds, self._random = deeds, random.Random(f"{seed}-{name}")
        self._installation, self._dataset_id, self._history = installation, dataset_id, history
        self._mine: list[str] = []

    def run(self) -> None:
        for deed in self._deeds:
            self._history.wait_for(deed)
            match deed.what:
                case "post":
                    self._post(picked(VARIANTS, deed.which))
                case "cancel" if self._mine:
                    self._cancel(picked(self._mine, deed.which))
                case "list":
                    self._send("GET", "/v1/jobs?limit=20")

    def _post(self, variant: dict[str, int]) -> None:
        key = f"{self.name}-{len(self._mine) + 1}"
        reply = self._send(
            "POST", "/v1/jobs", json=quick(self._dataset_id, **variant), headers={"Idempotency-Key": key}
        )
        if reply.status_code != 201:
            self._history.wrong.append(f"{key}: {reply.status_code} {reply.text}")
            return
        self._mine.append(reply.json()["id"])
        self._history.jobs[key] = (self._mine[-1], VARIANTS.index(variant))

    def _cancel(self, job_id: str) -> None:
        if self._send("POST", f"/v1/jobs/{job_id}/cancel").status_code == 202:
            self._history.cancelled.add(job_id)

    def _send(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Until there is an answer other than "not now"."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            try:
                reply = self._installation.http.request(method, path, timeout=15, **options)
            except (httpx.TransportError, RuntimeError) as error:  # RuntimeError: the client was closed under us
                self._history.broken[type(error).__name__] += 1
            else:
                self._history.note(reply)
                if reply.status_code != 503:
                    return reply
            time.sleep(self._random.uniform(0.1, 0.5))
        raise TimeoutError(f"{method} {path} had no answer for {PATIENCE} s")


@dataclass
class Punisher:
    """What it can do; one thing at a time, and all of it from one thread, for a child dies with the thread it is of."""

    installation: Service
    postgres: Postgres
    database: Proxy
    broker: Proxy
    restart_redis: Callable[[], None]
    history: History
    done: Counter[str] = field(default_factory=Counter)

    def punish(self, deeds: list[Deed]) -> None:
        for deed in deeds:
            self.history.wait_for(deed)
            if self._do(deed):
                self.done[deed.what] += 1

    def _do(self, deed: Deed) -> bool:
        """Whether there was anybody to do it to."""
        workers = self.installation.workers
        match deed.what:
            case "kill_a_worker":
                self._replace(picked(workers, deed.which), signal.SIGKILL)
            case "ask_a_worker_to_leave":
                self._replace(picked(workers, deed.which), signal.SIGTERM)
            case "stop_a_worker":  # also for longer than a lease lasts: it comes back and finds its jobs taken
                _stop(picked(workers, deed.which).pid, deed.seconds)
            case "kill_a_trainer" | "stop_a_trainer" | "kill_a_forkserver":
                below = forkservers if deed.what == "kill_a_forkserver" else trainers
                pids = [pid for worker in workers for pid in below(worker)]
                with suppress(ProcessLookupError):
                    if pids and deed.what == "stop_a_trainer":
                        _stop(picked(pids, deed.which), deed.seconds)
                    elif pids:
                        os.kill(picked(pids, deed.which), signal.SIGKILL)
                return bool(pids)
            case "kill_the_api":
                self.installation.api.kill()
                self.installation.api.wait()
                self.installation.start_api()
            case "stop_the_api":
                _stop(self.installation.api.pid, deed.seconds)
            case "reset_the_database":
                self.database.reset()
            case "swallow_the_database":
                _swallow(self.database, deed.seconds)
            case "crash_the_database":
                assert self.postgres.crash is not None
                self.postgres.crash()
            case "kill_the_broker":
                self.restart_redis()
            case "swallow_the_broker":
                _swallow(self.broker, deed.seconds)
            case unknown:
                raise ValueError(unknown)
        return True

    def _replace(self, worker: subprocess.Popen[bytes], how: signal.Signals) -> None:
        worker.send_signal(how)
        with suppress(subprocess.TimeoutExpired):
            worker.wait(30)
        worker.kill()
        worker.wait()
        self.installation.workers.remove(worker)
        self.installation.start_worker()


def _swallow(between: Proxy, seconds: float) -> None:
    between.black_hole = True
    time.sleep(seconds)
    between.heal()


def _stop(pid: int, seconds: float) -> None:
    os.kill(pid, signal.SIGSTOP)
    time.sleep(seconds)
    os.kill(pid, signal.SIGCONT)


def main(seed: int, seconds: float, workers: int, history_file: Path, replay: Path | None = None) -> int:
    deeds = drawn(seed, seconds, CLIENTS) if replay is None else read_deeds(replay)
    with tempfile.TemporaryDirectory(prefix="trainwright-punished-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        with ExitStack() as stack:
            figures = _run(stack, folder, deeds, seed, workers, history_file)
        figures["processes_left"] = strays(folder)
        figures["temporary_files"] = litter(folder / "objects")
    say(json.dumps(figures, indent=2))
    is_whole = not (figures["violations"] or figures["processes_left"] or figures["temporary_files"])
    if not is_whole:
        say(f"To see it again: python -m tests.faults.punisher --workers {workers} --replay {history_file}")
    return 0 if is_whole else 1


def _run(
    stack: ExitStack, folder: Path, deeds: list[Deed], seed: int, workers: int, history_file: Path
) -> dict[str, Any]:
    postgres = stack.enter_context(postgres_server())
    redis_port, restart_redis = _redis(stack, folder)
    url = postgres.create_database()
    migrate(url.render_as_string(hide_password=False))
    database = stack.enter_context(proxy("127.0.0.1", int(url.port or 5432)))
    broker = stack.enter_context(proxy("127.0.0.1", redis_port))
    through = url.set(port=database.port).render_as_string(hide_password=False)
    settings = {"TRAINWRIGHT_CHECKPOINT_SECONDS": "0.2", "TRAINWRIGHT_FRUITLESS_ATTEMPTS": "100"}
    installation = stack.enter_context(service(folder, through, f"redis://127.0.0.1:{broker.port}/0", **settings))
    for _ in range(workers):
        installation.start_worker()
    dataset_id = installation.upload(DIGITS)
    wanted = [undisturbed(installation, dataset_id, variant) for variant in VARIANTS]
    history = History()
    names = [f"client-{number}" for number in range(CLIENTS)]
    clients = [Client(name, by(name, deeds), installation, dataset_id, history, seed) for name in names]
    punisher = Punisher(installation, postgres, database, broker, restart_redis, history)
    try:
        for client in clients:
            client.start()
        punisher.punish(by("punisher", deeds))
        for client in clients:
            client.join()
        return {"seed": seed, **report(installation, history, punisher, wanted)}
    finally:
        write_deeds(history_file, history.deeds)


def undisturbed(installation: Service, dataset_id: str, variant: dict[str, int]) -> tuple[str, str]:
    job_id = installation.submit(quick(dataset_id, **variant))
    assert installation.finish(job_id)["status"] == "succeeded", installation.logs()
    return installation.last_bits(job_id)


def report(
    installation: Service, history: History, punisher: Punisher, wanted: list[tuple[str, str]]
) -> dict[str, Any]:
    """Wait until everything has ended, look up every invariant, and say what was found."""
    ends: Counter[str] = Counter()
    wrong, attempts = history.wrong, 0
    for job_id, variant in history.jobs.values():
        job = installation.finish(job_id, PATIENCE)
        ends[job["status"]] += 1
        attempts += job["attempt"]
        if job["status"] == "succeeded" and installation.last_bits(job_id) != wanted[variant]:
            wrong.append(f"I5: {job_id} has other bits than a run that nothing happened to")
        if job["status"] == "failed" or (job["status"] == "cancelled") != (job_id in history.cancelled):
            wrong.append(f"{job_id} {job['status']}: {job['failure']}")
    ids = [job_id for job_id, _ in history.jobs.values()]
    with installation.database() as database:
        wrong += violations(database, open_storage(installation.read_settings()), ids)
    there = count_of_jobs(installation) - len(wanted)
    if not len(ids) == len(set(ids)) == there:
        wrong.append(f"I6: {len(ids)} keys, {len(set(ids))} ids, {there} jobs")
    return {
        "jobs": len(ids),
        "ends": dict(ends),
        "attempts": attempts,
        "punishments": dict(sorted(punisher.done.items())),
        "replies": {str(status): count for status, count in sorted(history.replies.items())},
        "connections_broken": dict(history.broken),
        "hash_mismatches": sum(line.startswith("I5") for line in wrong),
        "violations": wrong,
    }


def litter(store: Path) -> list[str]:
    """I7: what the next worker would not clear away. It leaves what is younger than a minute, so that is made older."""
    for path in leftovers(store):
        os.utime(path, (0, 0))
    open_storage(Settings(database_url="sqlite://", storage_url=f"file://{store}")).clear_away()
    return leftovers(store)


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


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument(
        "--history", type=Path, help="where to write what was done (default: a file in the folder for temporary files)"
    )
    parser.add_argument("--replay", type=Path, help="a file that such a run has written")
    given = parser.parse_args()
    kept = given.history or Path(tempfile.gettempdir()) / f"trainwright-history-{given.seed}-{os.getpid()}.jsonl"
    sys.exit(main(given.seed, given.seconds, given.workers, kept, given.replay))
