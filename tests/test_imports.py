"""What a process must not have loaded, seen in a fresh Python: import contracts cannot see what a library pulls in."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("worker.app", "torch"),
        ("api.main", "torch"),
        ("api.main", "worker"),
        ("client", "torch"),
        ("client", "models"),
        ("client", "httpx"),
        ("models.spec", "sqlalchemy"),
        ("worker.training", "sqlalchemy"),
        ("worker.training", "celery"),
    ],
)
def test_a_process_does_not_load_what_it_does_not_need(module: str, absent: str) -> None:
    program = f"import sys, {module}; sys.exit({absent!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
