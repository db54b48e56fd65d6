"""The API against its own description, by somebody else's tool: generated requests, right and wrong, everywhere.

    TRAINWRIGHT_SCHEMA_EXAMPLES=100 pytest tests/api/test_schema.py --timeout 0

tries longer.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.service import service

EXAMPLES = os.environ.get("TRAINWRIGHT_SCHEMA_EXAMPLES", "2")
NEVER_ENDS = "/stream"
UNSAYABLE = "positive_data_acceptance"
"""That a spec which has the right form is taken: no schema can say that its data set is there and fits."""


def test_every_operation_keeps_to_its_description(sqlite_url: str, tmp_path: Path) -> None:
    patience = {"TRAINWRIGHT_WAIT_MAX_SECONDS": "0.2", "TRAINWRIGHT_REQUESTS_PER_MINUTE": "1000000"}
    with service(tmp_path, sqlite_url, "redis://127.0.0.1:1/0", **patience) as installation:
        command = [
            str(Path(sys.executable).with_name("schemathesis")), "run", f"{installation.http.base_url}/openapi.json",
            "--header", f"Authorization: {installation.http.headers['authorization']}",
            "--phases", "fuzzing", "--checks", "all", "--exclude-checks", UNSAYABLE, "--max-examples", EXAMPLES,
            "--seed", "1", "--generation-database", "none", "--exclude-path-regex", NEVER_ENDS, "--no-color",
        ]  # fmt: skip
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        log = (tmp_path / "api.log").read_text()
    assert done.returncode == 0, done.stdout[-5000:]
    tried = re.search(r"(\d+) generated", done.stdout)
    assert tried is not None
    assert int(tried[1]) >= 60
    assert "Traceback" not in log
