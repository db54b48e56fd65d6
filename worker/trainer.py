"""The trainer: a process of its own that trains one job and says what happens. It has no credentials and knows no
database.

It is forked, warm, from a server that has torch imported, and makes itself ready before there is a job for it. It gets
its order through one pipe, as JSON, and answers through the same one. When the pipe closes its supervisor is gone, and
so it ends at once.
"""

import errno
import json
import os
import queue
import resource
import signal
import threading
import time
import traceback
import warnings
from contextlib import suppress
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch._dynamo.exc import FailOnRecompileLimitHit, TorchDynamoException

from models.failpoints import reach
from models.spec import parse_spec
from worker.arenas import choose_arenas
from worker.order import Order
from worker.processes import call_oneself, die_with_parent
from worker.training import (
    Applied,
    CheckpointReady,
    Control,
    Diverged,
    EpochDone,
    Finished,
    Started,
    StepsDone,
    WarmStarted,
    Warned,
    hand_over,
    load_dataset,
    read_checkpoint,
    read_weights,
    train,
)
from worker.training.data import read_manifest


def probe(pipe: Connection) -> None:
    """Say what this machine computes with. A child's work: the server must never touch a device."""
    cuda = torch.cuda.is_available()
    name = torch.cuda.get_device_name(0) if cuda else "cpu"
    pipe.send_bytes(json.dumps({"cuda": cuda, "device": name, "torch": torch.__version__}).encode())
    pipe.close()


def main(pipe: Connection, output: Connection, device: str) -> None:
    """The whole life of a trainer."""
    begin_a_life_of_its_own()
    _write_to(output)
    device = _chosen(device)
    if device.startswith("cuda"):
        _make_ready(device)
    call_oneself("trainer, waits")
    try:
        order = Order(**json.loads(pipe.recv_bytes()))
    except (EOFError, OSError):
        return
    call_oneself("trainer")
    carry_out(order, pipe, device)


def carry_out(order: Order, pipe: Connection, device: str) -> None:
    """Train, and say what happens."""
    control = Control(after_step=partial(reach, "step"))
    voice = _Voice(pipe)
    saver = _Saver(Path(order.scratch), voice)
    try:
        _train(order, pipe, device, control, voice, saver)
    except Exception as error:  # noqa: BLE001  whatever it is, it is shown on the job's row
        _fail(saver, voice, error)
    finally:
        voice.close()


def _train(order: Order, pipe: Connection, device: str, control: Control, voice: "_Voice", saver: "_Saver") -> None:
    spec = parse_spec(order.spec)
    choose_arenas(spec, read_manifest(Path(order.packed)))
    threading.Thread(target=_obey, args=(pipe, control), name="orders", daemon=True).start()
    torch.set_num_threads(order.threads)
    data = load_dataset(Path(order.packed), spec, Path(order.packed))
    start = None if order.start_weights is None else read_weights(Path(order.start_weights))
    resume = None
    if order.resume_weights is not None and order.resume_state is not None:
        resume = read_checkpoint(Path(order.resume_weights), Path(order.resume_state))
    stopped = True
    for event in train(spec, data, start_from=start, resume_from=resume, device=device, control=control):
        match event:
            case Started():
                voice.say("started", **event.as_json())
            case WarmStarted():
                voice.say("warm_started", **event.as_json())
            case StepsDone():
                voice.say("steps", **event.as_json())
            case EpochDone():
                voice.say("epoch", **event.as_json())
            case Applied():
                voice.say("applied", **event.as_json())
            case Warned():
                voice.say("warned", **event.as_json())
            case CheckpointReady():
                saver.save(event)
            case Finished():
                saver.finish()
                voice.say("finished", **event.as_json())
                stopped = False
    if stopped:
        saver.finish()
        voice.say("stopped")


def _chosen(device: str) -> str:
    return ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device


def _make_ready(device: str) -> None:
    """Have a GPU's context, its libraries and their handles, by a step on a network of no use. What stands in the way
    will stand in the way of a job, which says so."""
    with suppress(Exception):
        network = nn.Sequential(nn.Conv2d(1, 8, 3), nn.Flatten(), nn.Linear(8 * 6 * 6, 8)).to(device)
        network(torch.zeros(8, 1, 8, 8, device=device)).sum().backward()
        torch.optim.SGD(network.parameters(), 0.0, fused=True).step()
        torch.cuda.synchronize(device)


class _Saver:
    """Writes checkpoints beside the training: one on its way at a time, a second one waits."""

    def __init__(self, folder: Path, voice: "_Voice") -> None:
        self._folder = folder
        self._voice = voice
        self._waiting: queue.Queue[CheckpointReady | None] = queue.Queue(maxsize=1)
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="saver")

    def save(self, event: CheckpointReady) -> None:
        self._raise()
        if self._thread.ident is None:
            self._thread.start()
        self._waiting.put(event)

    def finish(self) -> None:
        """Return when everything is on the disk.

        Raises:
            OSError: the disk is full, or gone. And whatever else kept a checkpoint from being written.
        """
        if self._thread.is_alive():
            self._waiting.put(None)
            self._thread.join()
        self._raise()

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        while (event := self._waiting.get()) is not None:
            if self._error is None:
                try:
                    self._write(event)
                except Exception as error:  # noqa: BLE001  raised in the thread that trains
                    self._error = error

    def _write(self, event: CheckpointReady) -> None:
        begun = time.monotonic()
        name = f"step-{event.step:09d}-{event.kind}"
        weights, state = self._folder / f"{name}.safetensors", self._folder / f"{name}.state.safetensors"
        weights_sha256, state_sha256 = hand_over(event, weights, state)
        event.release()
        self._voice.say(
            "checkpoint",
            kind=event.kind,
            step=event.step,
            epoch=event.epoch,
            is_best=event.is_best,
            metrics=dict(event.metrics),
            weights=str(weights),
            weights_sha256=weights_sha256,
            state=str(state),
            state_sha256=state_sha256,
            seconds=time.monotonic() - begun,
        )


class _Voice:
    """Speaks JSON through the pipe, from any thread. Python's JSON keeps NaN and infinity, as both ends are Python."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self._lock = threading.Lock()

    def say(self, type_: str, **content: Any) -> None:
        with self._lock:
            self._pipe.send_bytes(json.dumps({"type": type_, **content}).encode())

    def close(self) -> None:
        with self._lock:
            self._pipe.close()


def _obey(pipe: Connection, control: Control) -> None:
    while True:
        try:
            word = json.loads(pipe.recv_bytes())
        except (EOFError, OSError):
            os._exit(1)
        match word:
            case "checkpoint":
                control.request_checkpoint()
            case "stop":
                control.request_stop()
            case "leave":
                return


def begin_a_life_of_its_own() -> None:
    """A session apart from the worker's, so that a Ctrl-C meant for it does not reach us; and no life beyond it."""
    os.setsid()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    die_with_parent()


def _write_to(output: Connection) -> None:
    """Whatever is written to standard output and error, by whatever library, is for the job's log; a warning without
    the place in our files that it comes from."""
    for descriptor in (1, 2):
        os.dup2(output.fileno(), descriptor)
    output.close()
    warnings.formatwarning = lambda message, category, *_, **__: f"{category.__name__}: {message}\n"


COMPILER_ADVICE = (
    "leave out `compile`, or give the workers what it needs: a C++ compiler, and with a GPU a C compiler and Triton"
)


def _fail(saver: _Saver, voice: _Voice, error: Exception) -> None:
    """Say why there is no end. What kept a checkpoint from being written comes first."""
    try:
        saver.finish()
    except Exception as earlier:  # noqa: BLE001  it is why
        error = earlier
    if isinstance(error, Diverged):
        voice.say("failed", code="diverged", message=str(error), advice=error.advice)
        return
    code, message = _code(error), _first_line(error)
    if code == "internal":
        message = f"{type(error).__name__}: {message}"
    advice = COMPILER_ADVICE if isinstance(error, TorchDynamoException | FailOnRecompileLimitHit) else None
    voice.say("failed", code=code, message=message, advice=advice, trace="".join(traceback.format_exception(error)))


def _code(error: Exception) -> str:
    match error:
        case MemoryError() | torch.OutOfMemoryError():
            return "out_of_memory"
        case RuntimeError() if "out of memory" in str(error) or "can't allocate memory" in str(error):
            return "out_of_memory"
        case torch.AcceleratorError() | TorchDynamoException() | FailOnRecompileLimitHit():
            return "device_error"
        case OSError(errno=errno.ENOSPC):
            return "storage_full"
    return "internal"


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:500]
