"""How often a key may ask, counted in one place for every process of the API."""

from pathlib import Path

import pytest

from api.errors import TooManyRequests
from api.rates import Rates
from models.projects import Caller
from models.settings import Settings


def test_processes_that_share_a_redis_count_together(redis_url: str, tmp_path: Path) -> None:
    settings = Settings(
        database_url=f"sqlite:///{tmp_path}/trainwright.db",
        storage_url=f"file://{tmp_path}",
        rate_url=redis_url,
        requests_per_minute=3,
    )
    caller = Caller(key_id="key_1", project_id="prj_1", scope="read")
    processes = [Rates(settings), Rates(settings)]
    for number in range(3):
        processes[number % 2].count(caller)
    for process in processes:
        with pytest.raises(TooManyRequests):
            process.count(caller)
