"""A store that is slow and refuses, one that changes bytes, one that is full."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from models.failpoints import flip_a_bit
from models.tables import Checkpoint
from tests.faults.checker import leftovers
from tests.faults.conftest import quick
from tests.faults.moody_store import moody_store
from tests.servers.s3 import S3
from tests.service import DIGITS, Service, kill_all_of, service

MiB = 1024**2


@pytest.mark.chaos
@pytest.mark.timeout(900)
def test_p17_a_store_that_refuses_half_of_all_requests_costs_no_bit(
    postgres_url: str, redis_url: str, s3: S3, tmp_path: Path
) -> None:
    with moody_store(s3.endpoint, share=0) as store:
        settings = {
            "TRAINWRIGHT_STORAGE_URL": s3.url,
            "TRAINWRIGHT_S3_ENDPOINT": store.url,
            "TRAINWRIGHT_S3_REGION": s3.region,
            "TRAINWRIGHT_S3_ACCESS_KEY_ID": s3.access_key,
            "TRAINWRIGHT_S3_SECRET_ACCESS_KEY": s3.secret_key,
            "TRAINWRIGHT_CHECKPOINT_SECONDS": "0.2",
        }
        with service(tmp_path, postgres_url, redis_url, **settings) as installation:
            installation.start_worker()
            dataset_id = installation.upload(DIGITS)
            undisturbed = installation.submit(quick(dataset_id, epochs=30))
            assert installation.finish(undisturbed)["status"] == "succeeded"
            store.share = 0.5
            job_id = installation.submit(quick(dataset_id, epochs=30))
            job = installation.finish(job_id, seconds=600)
            store.share = 0
            assert (job["status"], job["failure"]) == ("succeeded", None)
            assert installation.last_bits(job_id) == installation.last_bits(undisturbed)
            assert installation.violations() == []
        assert store.answered[500] > 3, store.answered


def test_p18_a_checkpoint_that_lost_a_bit_is_quarantined(installation: Service, dataset_id: str) -> None:
    worker = installation.start_worker()
    job_id = installation.submit(quick(dataset_id, epochs=40))
    while len(rows_of(installation, job_id)) < 2:
        installation.reach_step(job_id, 1)
    installation.http.post(f"/v1/jobs/{job_id}/pause")
    installation.wait(f"/v1/jobs/{job_id}", {"paused"})
    kill_all_of(worker)
    newest = rows_of(installation, job_id)[-1]
    flip_a_bit(installation.folder / "objects" / newest.weights_key)
    installation.http.post(f"/v1/jobs/{job_id}/resume")
    installation.start_worker()
    job = installation.finish(job_id)
    assert (job["status"], job["attempt"]) == ("succeeded", 2)
    assert "checkpoint.quarantined" in installation.events(job_id)
    assert installation.http.get(f"/v1/checkpoints/{newest.id}/content").status_code == 404
    again = installation.submit(quick(dataset_id, epochs=40))
    assert installation.finish(again)["status"] == "succeeded"
    assert installation.last_bits(job_id) == installation.last_bits(again)


def rows_of(installation: Service, job_id: str) -> list[Checkpoint]:
    with installation.database() as database, database.read() as session:
        query = select(Checkpoint).where(Checkpoint.job_id == job_id).order_by(Checkpoint.step)
        return list(session.scalars(query))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """64 MiB, and all that is on them goes with them."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", folder], capture_output=True)
    if mounted.returncode != 0:
        pytest.skip("only root can make a small disk")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def test_p19_a_full_disk_is_said_and_mended(
    postgres_url: str, redis_url: str, small_disk: Path, tmp_path: Path
) -> None:
    stored = f"file://{small_disk}/objects"
    with service(tmp_path, postgres_url, redis_url, TRAINWRIGHT_STORAGE_URL=stored) as installation:
        installation.start_worker()
        dataset_id = installation.upload(DIGITS)
        filler = small_disk / "filler"
        fill(filler, leave=MiB)
        job_id = installation.submit(wide(dataset_id))
        job = installation.finish(job_id)
        assert (job["status"], job["failure"]["code"], job["failure"]["owner"]) == (
            "failed",
            "storage_full",
            "platform",
        )
        large = installation.http.post("/v1/datasets", json={"name": "large"}).json()["id"]
        refused = installation.http.put(f"/v1/datasets/{large}/content?filename=a.npz", content=bytes(4 * MiB))
        assert (refused.status_code, refused.json()["error"]["code"]) == (507, "storage_full")
        assert installation.http.get("/readyz").status_code == 200
        assert leftovers(small_disk) == []
        assert leftovers(installation.folder / "worker-0") == []
        filler.unlink()
        installation.http.post(f"/v1/jobs/{job_id}/retry").raise_for_status()
        assert installation.finish(job_id)["status"] == "succeeded"
        assert installation.violations() == []


@pytest.mark.chaos
def test_p19_a_full_disk_is_said(installation: Service, dataset_id: str) -> None:
    """The same by a failpoint, where nobody may make a small disk."""
    worker = installation.start_worker(TRAINWRIGHT_FAILPOINTS="ckpt.tmp_written=enospc@*")
    job_id = installation.submit(quick(dataset_id))
    job = installation.finish(job_id)
    assert (job["status"], job["failure"]["code"], job["attempt"]) == ("failed", "storage_full", 3)
    assert leftovers(installation.folder / "objects") == []
    worker.terminate()
    worker.wait()
    installation.start_worker()
    installation.http.post(f"/v1/jobs/{job_id}/retry").raise_for_status()
    assert installation.finish(job_id)["status"] == "succeeded"


def fill(file: Path, leave: int) -> None:
    import shutil

    with file.open("wb") as opened:
        for _ in range((shutil.disk_usage(file).free - leave) // MiB):
            opened.write(bytes(MiB))


def wide(dataset_id: str) -> dict[str, Any]:
    """Whose checkpoints have some megabytes."""
    return quick(dataset_id, network={"type": "mlp", "hidden": [600, 600]})
