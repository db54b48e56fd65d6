"""The warm start of trainers: the standard library's forkserver, with everything imported that an optimizer's first
step needs.

The Celery process itself never imports torch. The server imports and does nothing else: one tensor operation before a
fork would leave the child with a lock that nobody holds, for ever.
"""

import json
import multiprocessing
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Literal

from models import failpoints
from worker.allocator import trainer_environment
from worker.order import Order, PreviewOrder

_context = multiprocessing.get_context("forkserver")
Word = Literal["checkpoint", "stop"]


class Trainer:
    """A trainer process, seen from its supervisor: it makes itself ready, waits for an order, and does it."""

    def __init__(self, device: str) -> None:
        self.output, output = _context.Pipe(duplex=False)
        """What it writes to its standard output and error; ends when it ends."""
        self._process, self._pipe = _start(_train, output, device)
        output.close()

    def begin(self, order: Order) -> None:
        """Give it its order, the only one it ever gets.

        Raises:
            OSError: it has ended.
        """
        self._pipe.send_bytes(json.dumps(asdict(order)).encode())

    def hear(self, seconds: float) -> dict[str, Any] | None:
        """The next thing it says; None if it says nothing for so long.

        Raises:
            EOFError: it has ended, and everything it said has been heard.
        """
        try:
            if not self._pipe.poll(seconds):
                return None
            message: dict[str, Any] = json.loads(self._pipe.recv_bytes())
        except OSError:
            raise EOFError from None
        return message

    def tell(self, word: Word) -> None:
        """Ask for something at the next step's end. One that has ended hears nothing."""
        with suppress(OSError):
            self._pipe.send_bytes(json.dumps(word).encode())

    def kill(self) -> None:
        """Not by its number, which is somebody else's once it has been closed."""
        self._process.kill()

    def close(self) -> int | None:
        """Make sure that it has ended. Returns its exit code, negative for a signal."""
        self._process.join(timeout=5)
        if self._process.exitcode is None:
            self.kill()
            self._process.join()
        self._pipe.close()
        return self._process.exitcode


class Trainers:
    """Where a worker's trainers come from: one that is ready for the next job waits for it.

    So the job waits neither for a fork nor for what a device takes to be of use, which for a GPU is a good part of a
    second. It is made when a job has ended: beside the only one of a worker none takes memory of the device.
    """

    def __init__(self, device: str) -> None:
        self._device = device
        self._waiting: Trainer | None = None
        self._lock = threading.Lock()

    def prepare(self) -> None:
        """Have one wait, unless one does. If that cannot be, the next job makes its own."""
        with self._lock, suppress(OSError, EOFError):
            if self._waiting is None:
                self._waiting = Trainer(self._device)

    def begin(self, order: Order) -> Trainer:
        """Give the one that waits its order, or a new one if none does or it has died."""
        with self._lock:
            waiting, self._waiting = self._waiting, None
        if waiting is not None:
            try:
                waiting.begin(order)
            except OSError:
                _dismiss(waiting)
            else:
                return waiting
        trainer = Trainer(self._device)
        with suppress(OSError):  # whoever listens to it hears that it has ended
            trainer.begin(order)
        return trainer

    def close(self) -> None:
        """Let the one that waits go."""
        with self._lock:
            waiting, self._waiting = self._waiting, None
        if waiting is not None:
            _dismiss(waiting)


def _dismiss(trainer: Trainer) -> None:
    trainer.kill()
    trainer.close()
    trainer.output.close()


class Unanswered(Exception):
    """A process that was to answer has not; the message says why."""


def preview(order: PreviewOrder, look: Callable[[], None]) -> dict[str, Any]:
    """What a process of its own has to show.

    Args:
        look: called all the while; raises what ends the wait.

    Raises:
        Unanswered: it took too long, or died.
    """
    process, pipe = _start(_preview, order)
    deadline = time.monotonic() + order.seconds
    try:
        while not pipe.poll(0.1):
            look()
            if time.monotonic() > deadline:
                raise Unanswered(f"it took longer than {order.seconds} seconds")
        answer: dict[str, Any] = json.loads(pipe.recv_bytes())
    except (EOFError, OSError):
        process.join()
        raise Unanswered(f"the process that makes it ended with exit code {process.exitcode}") from None
    finally:
        process.kill()
        process.join()
        pipe.close()
    return answer


def start_server(threads: int, cache_dir: Path) -> dict[str, Any]:
    """Start the server and ask a first child what the machine computes with.

    Credentials leave this process's environment first, so that neither the server nor any trainer ever has them.

    Returns:
        `device`, `cuda` and `torch` (its version).
    """
    secret = [name for name in os.environ if name.startswith(("TRAINWRIGHT_", "AWS_"))]
    for name in set(secret) - {failpoints.VARIABLE}:
        del os.environ[name]
    os.environ.update(trainer_environment(threads))
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(cache_dir / "torchinductor")
    os.environ["TRITON_CACHE_DIR"] = str(cache_dir / "triton")
    _context.set_forkserver_preload(["worker.forkserver"])
    process, pipe = _start(_probe)
    try:
        answer: dict[str, Any] = json.loads(pipe.recv_bytes())
    except EOFError:
        raise RuntimeError("a trainer cannot import torch: is this the worker's environment?") from None
    finally:
        process.join()
        pipe.close()
    return answer


def _start(target: Callable[..., None], *args: object) -> tuple[BaseProcess, Connection]:
    ours, theirs = _context.Pipe()
    process = _context.Process(target=target, args=(theirs, *args), daemon=True)
    process.start()
    theirs.close()
    return process, ours


def _train(pipe: Connection, output: Connection, device: str) -> None:
    from worker import trainer  # here, in the child: it was imported before the fork

    trainer.main(pipe, output, device)


def _preview(pipe: Connection, order: PreviewOrder) -> None:
    from worker import preview

    preview.main(pipe, order)


def _probe(pipe: Connection) -> None:
    from worker import trainer

    trainer.probe(pipe)
