"""Who trains, over HTTP."""

from models import jobs
from models.ids import new_id
from models.tables import Worker
from tests.api.conftest import Tenant


def test_the_workers_that_were_heard_of_lately_are_listed(ours: Tenant) -> None:
    worker_id = new_id("wrk")
    with ours.world.services.database.write() as session:
        row = Worker(id=worker_id, host="a", pid=1, slots=2, busy=1, device="cpu", state="online")
        jobs.report_worker(session, row)
    found = [worker for worker in ours.reader.get("/v1/workers").json()["data"] if worker["id"] == worker_id]
    assert [(worker["status"], worker["slots"], worker["busy"], worker["device"]) for worker in found] == [
        ("online", 2, 1, "cpu")
    ]
    assert "pid" not in found[0]
    with ours.world.services.database.write() as session:
        session.delete(session.get_one(Worker, worker_id))
