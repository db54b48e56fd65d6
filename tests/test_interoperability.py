"""The description of the API in the hands of others: a generator of clients, a validator, a linter."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest
from safetensors.numpy import load_file

from api.main import create_app
from models.settings import Settings
from tests.environments import ROOT, NotInstalled, environment
from tests.service import service

PINS = ROOT / "tests" / "tools.txt"
SETTINGS = """
package_name_override: trainwright_client
content_type_overrides: {application/zip: application/octet-stream, image/png: application/octet-stream}
"""
"""The generator knows a few media types; of others it has to be told that they are bytes."""

LINTER = "@redocly/cli@2.77.0"
RULES = "extends: [recommended-strict]\n"

pytestmark = pytest.mark.chaos


@pytest.fixture(scope="module")
def tools() -> Iterator[Path]:
    """The Python that has the generator and the validator."""
    try:
        yield environment(".venv-tools", PINS)
    except NotInstalled as reason:
        pytest.skip(str(reason))


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("openapi")
    app = create_app(Settings(database_url="sqlite://", storage_url=f"file://{folder}/objects"))
    path = folder / "openapi.json"
    path.write_text(json.dumps(app.openapi()))
    return path


def test_a_generated_client_drives_a_job_from_upload_to_download(
    tools: Path, sqlite_url: str, redis_url: str, tmp_path: Path
) -> None:
    weights, settings = tmp_path / "best.safetensors", tmp_path / "settings.yaml"
    settings.write_text(SETTINGS)
    with service(tmp_path, sqlite_url, redis_url) as installation:
        installation.start_worker()
        url, key = str(installation.http.base_url), installation.http.headers["authorization"].split()[1]
        generate = [
            str(tools.with_name("openapi-python-client")), "generate", "--url", f"{url}/openapi.json",
            "--meta", "none", "--output-path", f"{tmp_path}/trainwright_client", "--config", f"{settings}",
        ]  # fmt: skip
        _run([*generate, "--fail-on-warning"], {"PATH": str(tools.parent)})
        data = ROOT / "local" / "digits.npz"
        _run([tools, ROOT / "tests" / "driving.py", url, key, data, weights], {"PYTHONPATH": str(tmp_path)})
    assert sorted(load_file(weights)) == ["hidden.0.bias", "hidden.0.weight", "output.bias", "output.weight"]


def test_the_description_is_valid(tools: Path, document: Path) -> None:
    _run([tools.with_name("openapi-spec-validator"), document], {})


def test_a_linter_has_nothing_to_say(document: Path) -> None:
    npx = shutil.which("npx")
    if npx is None:
        pytest.skip("no npx here: the linter comes from npm")
    rules = document.with_name("redocly.yaml")
    rules.write_text(RULES)
    quiet = {"REDOCLY_TELEMETRY": "off", "REDOCLY_SUPPRESS_UPDATE_NOTICE": "true"}
    _run([npx, "--yes", LINTER, "lint", document, "--config", rules], os.environ | quiet)


def _run(command: Sequence[Path | str], environment: Mapping[str, str]) -> None:
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
