"""Environments of their own, made on demand, for what tests use and the service does not need:
`python -m tests.environments .venv-tools tests/tools.txt` prints the Python of one."""

import fcntl
import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


class NotInstalled(Exception):
    """It cannot be had here; the message names the log that says why."""


def environment(name: str, pins: Path) -> Path:
    """The Python of an environment beside `.venv`, made now if it is absent or holds other versions than are pinned."""
    folder = ROOT / name
    python, log = folder / "bin" / "python", folder.with_suffix(".log")
    stamp = folder / f"installed-{hashlib.sha256(pins.read_bytes()).hexdigest()[:16]}"
    with folder.with_suffix(".lock").open("w") as lock, log.open("ab") as output:
        fcntl.flock(lock, fcntl.LOCK_EX)  # one installs, the other runs of the tests wait
        if stamp.exists() and python.exists():
            return python
        shutil.rmtree(folder, ignore_errors=True)
        for command in (
            [sys.executable, "-m", "venv", str(folder)],
            [str(python), "-m", "pip", "install", "-qr", str(pins)],
        ):
            done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, check=False)
            if done.returncode != 0:
                raise NotInstalled(f"`pip install -r {pins.relative_to(ROOT)}` failed, see {log}")
        stamp.touch()
    return python


if __name__ == "__main__":
    sys.stdout.write(f"{environment(sys.argv[1], ROOT / sys.argv[2])}\n")
