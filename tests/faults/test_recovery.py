"""How soon a job goes on whose worker died: within its lease, and a round of a reconciler."""

import statistics
import time

import pytest

from tests.faults.conftest import quick
from tests.service import Service, kill_all_of

SLACK = 1.5
"""Seconds for a round's own length, which varies by a fifth, for the ring and for the claim, on a busy machine."""


@pytest.mark.chaos
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("kept_in", ["postgres"], indirect=True)
@pytest.mark.parametrize(("kills", "beat", "lease", "period"), [(20, 0.5, 3.0, 0.5), (6, 5.0, 30.0, 5.0)])
def test_a_job_is_taken_up_soon_after_its_worker_died(
    installation: Service, dataset_id: str, kills: int, beat: float, lease: float, period: float
) -> None:
    timings = {
        "TRAINWRIGHT_HEARTBEAT_SECONDS": str(beat),
        "TRAINWRIGHT_LEASE_SECONDS": str(lease),
        "TRAINWRIGHT_RECONCILE_SECONDS": str(period),
        "TRAINWRIGHT_FRUITLESS_ATTEMPTS": "100",
    }
    for _ in range(2):
        installation.start_worker(**timings)
    job_id = installation.submit(quick(dataset_id, epochs=10_000))
    claimed, trained = [], []
    for attempt in range(1, kills + 1):
        owner = installation.reach_attempt(job_id, attempt)
        installation.reach_step(job_id, 1)
        installation.start_worker(**timings)
        kill_all_of(owner)
        died = time.monotonic()
        installation.reach_attempt(job_id, attempt + 1)
        claimed.append(time.monotonic() - died)
        installation.reach_step(job_id, 1)
        trained.append(time.monotonic() - died)
    installation.http.post(f"/v1/jobs/{job_id}/cancel")
    assert installation.finish(job_id)["status"] == "cancelled"
    assert max(claimed) < lease + 1.2 * period + SLACK
    print(  # noqa: T201
        f"lease {lease:g} s, reconciler every {period:g} s, {kills} deaths of a worker: taken up after "
        f"{statistics.median(claimed):.1f} s (median), {max(claimed):.1f} s (worst); told its next step after "
        f"{statistics.median(trained):.1f} s, {max(trained):.1f} s"
    )
