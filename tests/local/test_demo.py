import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.local.processes import descendants, eventually, is_alive
from tests.servers.process import free_port

ROOT = Path(__file__).parents[2]


def command() -> list[str]:
    return [sys.executable, "-m", "local", "demo", "--port", str(free_port())]


def environment(folder: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(folder)}


def test_the_demo_trains_two_networks_and_leaves_a_checkpoint_and_nothing_else(tmp_path: Path) -> None:
    started = time.monotonic()
    demo = subprocess.run(
        command(), cwd=tmp_path, env=environment(tmp_path), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert demo.returncode == 0, demo.stdout
    assert time.monotonic() - started < 120
    accuracies = re.search(r"best epoch +│ +([0-9.]+)% │ +([0-9.]+)% │", demo.stdout)
    assert accuracies is not None, demo.stdout
    assert float(accuracies[1]) < 30 < 90 < float(accuracies[2])
    assert "times smaller" in demo.stdout
    left = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert left == {"run/demo/best.safetensors", "run/demo/he.json", "run/demo/xavier.json"}


def test_the_demo_can_be_interrupted(tmp_path: Path) -> None:
    with subprocess.Popen(
        command(), cwd=tmp_path, env=environment(tmp_path), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as demo:
        assert demo.stdout is not None
        assert "is up" in demo.stdout.readline()
        pids = descendants(demo.pid)
        demo.send_signal(signal.SIGINT)
        said = demo.stdout.read()
        assert demo.wait() == 130, said
    assert eventually(lambda: not any(map(is_alive, pids)), 1)
    assert list(tmp_path.iterdir()) == []


INTERRUPTED_IN_TEXT = """
import os, signal, sys
from threading import Event
from types import SimpleNamespace
from local.demo import _interrupt_on_signals

_interrupt_on_signals(SimpleNamespace(stopping=Event(), hurry=Event()))
try:
    exec("os.kill(os.getpid(), signal.SIGINT); signal.pause()")
except KeyboardInterrupt:
    sys.exit(130)
"""


def test_an_interrupt_that_meets_code_made_from_text_ends_it_in_order_too(tmp_path: Path) -> None:
    (tmp_path / "interrupted.py").write_text(INTERRUPTED_IN_TEXT)
    done = subprocess.run([sys.executable, "-m", "interrupted"], cwd=tmp_path, env=environment(tmp_path), check=False)
    assert done.returncode == 130
