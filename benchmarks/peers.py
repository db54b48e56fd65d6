"""Environments for those we are measured against, each made on its first use, from the pins in a file beside this one:
build/peers for other engines, others for those that do not go together with them.

Usage: python -m benchmarks.peers
"""

import subprocess
import sys
import venv
from pathlib import Path

from benchmarks.contest import Contestant

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "build/peers"
PYTHON = FOLDER / "bin/python"


def install(name: str = "peers") -> list[str]:
    """Make an environment unless it is as new as its pins. Returns the pins that cannot be had on this machine."""
    folder, pins_file = ROOT / "build" / name, ROOT / f"benchmarks/{name}.txt"
    stamp = folder / "left-out.txt"  # what could not be had; written when the rest is there
    if not stamp.exists() or stamp.stat().st_mtime < pins_file.stat().st_mtime:
        venv.create(folder, with_pip=True)
        pins = [line for line in pins_file.read_text().splitlines() if line and not line.startswith("#")]
        missing = [] if pip(folder, *pins) else [pin for pin in pins if not pip(folder, pin)]
        stamp.write_text("\n".join(missing))
    return stamp.read_text().split()


def version_of(package: str) -> str:
    """Of one that has an environment of its own name."""
    ask = f"from importlib.metadata import version; print(version({package!r}))"
    command = [str(ROOT / "build" / package / "bin/python"), "-c", ask]
    return str(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip())


def keras(backend: str, precision: str = "float32", *, decoded: bool = False) -> Contestant:
    """Keras' own loop on a backend; pictures `decoded` before, or each time. It is not tuned: that
    changes neither backend's page faults nor, beyond noise, its processor time.
    """
    variables = {"KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "2"}
    how = [*(["decoded once"] if decoded else []), *([] if precision == "float32" else [precision])]
    name, arguments = ", ".join([f"Keras on {backend}", *how]), ["--decoded"] if decoded else []
    return Contestant(name, "keras_fit", str(PYTHON), arguments, variables, precision)


def pip(folder: Path, *pins: str) -> bool:
    command = [str(folder / "bin/python"), "-m", "pip", "install", "--quiet", *pins]
    return subprocess.run(command, check=False).returncode == 0


if __name__ == "__main__":
    missing = install()
    sys.stdout.write(f"{FOLDER}: {f'without {missing}' if missing else 'everything is there'}\n")
