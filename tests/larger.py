"""Files that are too large for this repository: used where they are at hand, asked for in one line where they are
not."""

import os
from pathlib import Path

import pytest

FOLDER = Path(os.environ.get("TRAINWRIGHT_TEST_DATA", Path(__file__).parents[2] / "shared"))


def larger_file(name: str) -> Path:
    """`data/…` or `examples/…`; skips the test where it is missing."""
    path = FOLDER / name
    if not path.exists():
        pytest.skip(f"{name} is not here; TRAINWRIGHT_TEST_DATA names the folder that holds it")
    return path
