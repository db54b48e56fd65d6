"""An MLflow server of the tests' own, with SQLite and a folder behind it. It brings eighty packages, so it is installed
on demand into `.venv-mlflow`."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.environments import NotInstalled, environment
from tests.servers.process import ServerMissing, running

PINS = Path(__file__).with_name("mlflow.txt")


@contextmanager
def mlflow_server(folder: Path, port: int) -> Iterator[str]:
    """Its URL. Started again in the same folder it knows what it was told before.

    Raises:
        ServerMissing: it cannot be installed here.
    """
    try:
        python = environment(".venv-mlflow", PINS)
    except NotInstalled as reason:
        raise ServerMissing(f"no MLflow server here: {reason}") from None
    url = f"http://127.0.0.1:{port}"
    command: list[str | Path] = [
        python,
        "-m",
        "mlflow",
        "server",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--workers",
        "1",
    ]
    kept = ["--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--artifacts-destination", f"file://{folder}/kept"]
    variables = {
        **{name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")},
        "PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    log = folder / "mlflow.log"
    with running([*command, *kept], log=log, is_ready=lambda: _answers(url), environment=variables):
        yield url


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health", timeout=5).is_success
    except httpx.TransportError:
        return False
