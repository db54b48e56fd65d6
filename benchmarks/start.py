"""From asking for a run to the end of its first step: a POST to an idle, warm worker that has the data; a fresh Python;
Ray Jobs on a running cluster of one machine.

Usage: python -m benchmarks.start [--rounds 10]
"""

import argparse
import json
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import peers
from benchmarks.contest import say, surroundings
from benchmarks.figures import quantile, watched
from benchmarks.installations import answers, databases, versions
from benchmarks.report import record
from tests.conftest import migrate
from tests.servers.process import free_port, running
from tests.servers.redis import redis_server
from tests.service import Service, service

ROOT = Path(__file__).parents[1]
DIGITS = ROOT / "local/digits.npz"
STAGES = ("job.created", "job.claimed", "job.started", "epoch.completed")
RAY = """
import json, sys, time
from pathlib import Path
from ray.job_submission import JobSubmissionClient
client = JobSubmissionClient(sys.argv[1])
for line in sys.stdin:
    command, file = json.loads(line)
    Path(file).unlink(missing_ok=True)
    begun = time.time()
    client.submit_job(entrypoint=command)
    while not (Path(file).exists() and Path(file).read_text()):
        time.sleep(0.005)
    print(float(Path(file).read_text()) - begun, flush=True)
"""
Ask = Callable[[], dict[str, float]]
"""Asks for one run; milliseconds until each stage, the last of which is the end of the first step."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=10)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        folder.chmod(0o755)
        urls = {kind: stack.enter_context(databases(kind, folder))("start") for kind in ("sqlite", "postgres")}
        asks: dict[str, Ask] = {"ours, on SQLite": stack.enter_context(ours(folder / "sqlite", urls["sqlite"]))}
        asks["ours, on Postgres"] = stack.enter_context(ours(folder / "postgres", urls["postgres"]))
        asks["a fresh Python"] = lambda: fresh(folder)
        used = versions(*urls.values())
        if (ray := stack.enter_context(ray_jobs(folder))) is not None:
            asks["Ray Jobs"] = ray
            used["Ray"] = peers.version_of("ray")
        found: dict[str, list[dict[str, float]]] = {name: [] for name in asks}
        with watched() as processor:
            for number in range(options.rounds + 1):
                for name, ask in asks.items():
                    stages = ask()
                    say(f"round {number} {name}: {stages}")
                    found[name] += [stages] * (number > 0)  # the first one warms up
                    time.sleep(0.3)
    record("start", result(found, used, options.rounds, processor.other_load))


@contextmanager
def ours(place: Path, url: str) -> Iterator[Ask]:
    """A service with one worker, which has trained on the data before."""
    place.mkdir()
    place.chmod(0o755)
    with redis_server() as broker:
        migrate(url)
        with service(place, url, broker, TRAINWRIGHT_RECONCILE_SECONDS="5") as installation:
            installation.start_worker()
            dataset = installation.upload(DIGITS)
            yield lambda: post(installation, dataset)


def post(installation: Service, dataset: str) -> dict[str, float]:
    spec = {
        "dataset": {"id": dataset},
        "network": {"type": "mlp", "hidden": [32]},
        "optimizer": {"type": "adam", "learning_rate": 0.001},
        "training": {"steps": 1, "batch_size": 32},
    }
    begun = time.time()
    job = installation.submit(spec)
    answered = time.time()
    installation.finish(job)
    events = installation.http.get(f"/v1/jobs/{job}/events?limit=100").json()["data"]
    moments = {event["type"]: datetime.fromisoformat(event["created_at"]).timestamp() for event in events}
    return {"answered": 1000 * (answered - begun), **{name: 1000 * (moments[name] - begun) for name in STAGES}}


def fresh(folder: Path) -> dict[str, float]:
    command, file = step_in_a_process(folder)
    begun = time.time()
    subprocess.run(command, check=True, cwd=ROOT)
    return {"first step": 1000 * (float(file.read_text()) - begun)}


def step_in_a_process(folder: Path) -> tuple[list[str], Path]:
    """A command that takes one step of plain PyTorch, started in ROOT, and writes down when; and the file."""
    file = folder / "first-step"
    step = "import time; from benchmarks import warm_start; warm_start.take_a_step()"
    note = f"open({str(file)!r}, 'w').write(str(time.time()))"
    return [sys.executable, "-c", f"{step}; {note}"], file


@contextmanager
def ray_jobs(folder: Path) -> Iterator[Ask | None]:
    """A cluster of this machine, which waits for jobs; None where Ray cannot be had."""
    if peers.install("ray"):
        yield None
        return
    binaries, dashboard = ROOT / "build/ray/bin", free_port()
    environment = {**os.environ, "RAY_USAGE_STATS_ENABLED": "0", "PATH": f"{binaries}:{os.environ['PATH']}"}
    start = ["start", "--head", "--block", f"--port={free_port()}", f"--dashboard-port={dashboard}"]
    command = [str(binaries / "ray"), *start, "--include-dashboard=true", f"--temp-dir={folder}/ray"]
    ready = partial(answers, dashboard, "/api/version")
    log = folder / "ray.log"
    with running(command, log=log, is_ready=ready, environment=environment, cwd=folder):
        client = subprocess.Popen(
            [binaries / "python", "-c", RAY, f"http://127.0.0.1:{dashboard}"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment,
        )  # fmt: skip
        yield partial(_submit, client, folder)
        client.kill()
        client.wait()


def _submit(client: "subprocess.Popen[str]", folder: Path) -> dict[str, float]:
    assert client.stdin is not None
    assert client.stdout is not None
    command, file = step_in_a_process(folder)
    client.stdin.write(json.dumps([f"cd {shlex.quote(str(ROOT))} && {shlex.join(command)}", str(file)]) + "\n")
    client.stdin.flush()
    return {"first step": 1000 * float(client.stdout.readline())}


def result(
    found: dict[str, list[dict[str, float]]], used: dict[str, str], rounds: int, other_load: float
) -> dict[str, Any]:
    rows = []
    for name, runs in found.items():
        for stage in runs[0]:
            taken = [run[stage] for run in runs]
            figures = (statistics.median(taken), quantile(taken, 0.9), max(taken))
            rows.append([name, stage, *(f"{figure:,.0f}" for figure in figures)])
    return {
        "title": "From asking for a run to its first step",
        "command": " ".join(["python -m benchmarks.start", *sys.argv[1:]]),
        "about": "Milliseconds since the request, to a worker that is idle and has the data. `answered`: the POST is; "
        "`job.…`: as its events say; `epoch.completed`: a run of one step has made it and its metrics are in the "
        "database. "
        "The fresh Python and Ray's job take one step of plain PyTorch, on numbers that are there. "
        f"Other load {other_load:.2f} cores.",
        "rounds": rounds,
        **surroundings(**used),
        "kind": "table",
        "columns": ["", "until", "median", "9 of 10", "worst"],
        "rows": rows,
        "measured": found,
    }


if __name__ == "__main__":
    main()
