"""What the parts of a worker share."""

import os
from pathlib import Path

import pytest

from models.queue import Bell
from models.settings import Settings
from worker.site import Site


@pytest.mark.parametrize(
    ("cores", "slots", "asked", "threads"), [(8, 1, 0, 8), (8, 3, 0, 2), (2, 4, 0, 1), (8, 4, 5, 5)]
)
def test_trainers_share_the_cores_unless_told_otherwise(
    sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cores: int, slots: int, asked: int, threads: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cores)), raising=False)
    settings = Settings(
        database_url=sqlite_url,
        storage_url=f"file://{tmp_path}/objects",
        cache_dir=tmp_path / "cache",
        worker_slots=slots,
        trainer_threads=asked,
    )
    site = Site(settings, Bell(settings))
    assert site.threads == threads
    site.close()
