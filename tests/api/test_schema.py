"""The API against its own description, by somebody else's tool: generated requests, right and wrong, everywhere.

    TRAINWRIGHT_SCHEMA_EXAMPLES=2000 pytest tests/api/test_schema.py -m chaos -s

tries longer, and shows the tool's own summary.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from api.dependencies import Services
from api.rates import Rates
from api.ringing import Ringer
from models.database import Database
from models.queue import Bell
from models.storage import open_storage
from tests.api.conftest import Tenant, World
from tests.service import service

PATIENCE = {
    "TRAINWRIGHT_WAIT_MAX_SECONDS": "0.2",
    "TRAINWRIGHT_REQUESTS_PER_MINUTE": "1000000",
    "TRAINWRIGHT_UPLOAD_MAX_BYTES": "1000000",
}
UNSAYABLE = ["2xx", "3xx", "401", "403", "404", "409", "422", "429", "5xx"]
"""What may become of a request that has the right form. 422: no schema can say that a spec's data set is there and
fits, or that an `Idempotency-Key` has not been used for something else."""
LONG = ["createJob", "validateJob", "previewSchedule", "previewAugmentation", "previewInitialization"]
"""Their schema is the whole job spec: to cover its every branch takes the tool half an hour and 4 GB."""


def test_every_operation_keeps_to_its_description(sqlite_url: str, tmp_path: Path) -> None:
    assert _cases(sqlite_url, tmp_path, "fuzzing", examples=2) >= 60


@pytest.mark.chaos
@pytest.mark.timeout(0)
def test_twenty_thousand_requests_keep_to_the_description(sqlite_url: str, tmp_path: Path) -> None:
    examples = int(os.environ.get("TRAINWRIGHT_SCHEMA_EXAMPLES", "900"))
    assert _cases(sqlite_url, tmp_path, "examples,coverage,fuzzing,stateful", examples) >= 22 * examples


def _cases(url: str, folder: Path, phases: str, examples: int) -> int:
    """How many requests were made; fails with the tool's own words when one was not answered as described."""
    with _inhabited(url, folder) as tenant:
        (folder / "schemathesis.toml").write_text(_settings(tenant))
        command = [
            str(Path(sys.executable).with_name("schemathesis")), "run", f"{tenant.world.client.base_url}/openapi.json",
            "--header", f"Authorization: {tenant.headers('admin')['Authorization']}",
            "--phases", phases,
            "--max-examples", str(examples), "--continue-on-failure", "--no-shrink", "--output-sanitize", "false",
            "--seed", "1", "--generation-database", "none", "--no-color",
        ]  # fmt: skip
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    summary = done.stdout[done.stdout.find("= SUMMARY") :]
    print(summary)  # noqa: T201
    assert done.returncode == 0, done.stdout[-20_000:]
    assert "Traceback" not in (folder / "api.log").read_text()
    tried = re.search(r"(\d+) generated", summary)
    assert tried is not None
    return int(tried[1])


@contextmanager
def _inhabited(url: str, folder: Path) -> Iterator[Tenant]:
    """A service with a project that has something of everything."""
    with service(folder, url, "redis://127.0.0.1:1/0", **PATIENCE) as installation:
        settings = installation.read_settings()
        database = Database(settings)
        services = Services(settings, database, open_storage(settings), Ringer(Bell(settings)), Rates(settings))
        yield World(services, installation.http).tenant()  # type: ignore[arg-type]
        database.close()


def _settings(tenant: Tenant) -> str:
    """Of the tool: three times out of four an id is one that is there."""
    ended, running = tenant.running_job(), tenant.running_job()
    checkpoint = tenant.checkpoint(ended)
    tenant.succeed(ended)
    known = {
        "job_id": [ended, running, tenant.job()],
        "checkpoint_id": [checkpoint.id],
        "dataset_id": [tenant.dataset(), _named(tenant)],
        "project_id": [tenant.project_id],
        "family": ["clipping"],
        "type_": ["global_norm"],
    }
    return "\n".join(
        [
            "max-stream-events = 1",
            "warnings = false",
            "[checks.positive_data_acceptance]",
            f"expected-statuses = {json.dumps(UNSAYABLE)}",
            *(f"[dictionaries.{name}]\nvalues = {json.dumps(values)}" for name, values in known.items()),
            "[parameters]",
            *(f'"path.{name}" = {{ dictionary = "{name}", probability = 0.75 }}' for name in known),
            '"query.data" = false',  # the data sets have rows and no objects
            "[[operations]]",
            f"include-operation-id = {json.dumps(LONG)}",
            "phases.coverage.enabled = false",
            "[[operations]]",
            'include-operation-id = "validateJob"',  # a spec that is wrong is what it is asked about
            "checks.negative_data_rejection.enabled = false",
        ]
    )


def _named(tenant: Tenant) -> str:
    return str(tenant.submitter.post("/v1/datasets", json={"name": "empty"}).json()["id"])
