"""The peers' environment, build/peers: made on the first use, from the pins in benchmarks/peers.txt.

Usage: python -m benchmarks.peers
"""

import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).parents[1]
PINS = ROOT / "benchmarks/peers.txt"
FOLDER = ROOT / "build/peers"
PYTHON = FOLDER / "bin/python"
STAMP = FOLDER / "left-out.txt"
"""What could not be had; written when the rest is there."""


def install() -> list[str]:
    """Make the environment unless it is as new as its pins. Returns the pins that cannot be had on this machine."""
    if not STAMP.exists() or STAMP.stat().st_mtime < PINS.stat().st_mtime:
        venv.create(FOLDER, with_pip=True)
        pins = [line for line in PINS.read_text().splitlines() if line and not line.startswith("#")]
        missing = [] if pip(*pins) else [pin for pin in pins if not pip(pin)]
        STAMP.write_text("\n".join(missing))
    return STAMP.read_text().split()


def pip(*pins: str) -> bool:
    return subprocess.run([PYTHON, "-m", "pip", "install", "--quiet", *pins], check=False).returncode == 0


if __name__ == "__main__":
    missing = install()
    sys.stdout.write(f"{FOLDER}: {f'without {missing}' if missing else 'everything is there'}\n")
