"""A database that ends under everybody's hands."""

import threading
import time

import httpx
import pytest

from tests.faults.conftest import quick
from tests.servers.postgres import Postgres
from tests.service import Service


class Poller(threading.Thread):
    """Asks all the while, and keeps what it is told when something is wrong."""

    def __init__(self, installation: Service, job_id: str) -> None:
        super().__init__(daemon=True)
        self._installation, self._path = installation, f"/v1/jobs/{job_id}"
        self.over = threading.Event()
        self.refused: list[httpx.Response] = []

    def run(self) -> None:
        while not self.over.wait(0.02):
            reply = self._installation.http.get(self._path)
            if not reply.is_success:
                self.refused.append(reply)


@pytest.mark.parametrize("kept_in", ["postgres"], indirect=True)
def test_p11_a_database_that_crashes_three_times_costs_no_bit(
    installation: Service, dataset_id: str, postgres: Postgres
) -> None:
    if postgres.crash is None:
        pytest.skip("this Postgres is not ours to crash")
    installation.start_worker()
    undisturbed = installation.submit(quick(dataset_id, epochs=4))
    assert installation.finish(undisturbed)["status"] == "succeeded"
    job_id = installation.submit(quick(dataset_id, epochs=4))
    poller = Poller(installation, job_id)
    poller.start()
    time.sleep(0.3)
    for _ in range(3):
        postgres.crash()
        time.sleep(0.7)
    poller.over.set()
    poller.join()
    assert {(reply.status_code, "Retry-After" in reply.headers) for reply in poller.refused} == {(503, True)}
    job = installation.finish(job_id)
    assert (job["status"], job["failure"]) == ("succeeded", None)
    assert installation.last_bits(job_id) == installation.last_bits(undisturbed)
