"""A stretch that is trained once more has the same bits, and one that has not says so."""

from typing import Any

from sqlalchemy import update

from models.tables import Job
from tests.faults.conftest import quick
from tests.service import Service


def test_the_last_stretch_of_a_job_is_trained_again_to_the_same_bits(installation: Service, dataset_id: str) -> None:
    installation.start_worker()
    job_id = installation.submit(quick(dataset_id, epochs=3))
    assert installation.http.post(f"/v1/jobs/{job_id}/verify").status_code == 409
    assert installation.finish(job_id)["status"] == "succeeded"
    before = installation.http.get(f"/v1/jobs/{job_id}/checkpoints").json()["data"]
    again = verify(installation, job_id)
    verdict = again["summary"]["verification"]
    assert (again["status"], again["verifies"], verdict["identical"]) == ("succeeded", job_id, True)
    assert verdict["found_sha256"] == verdict["expected_sha256"] == installation.last_weights(job_id)
    assert 0 < verdict["from_step"] < verdict["to_step"] == installation.job(job_id)["progress"]["step"]
    assert installation.http.get(f"/v1/jobs/{job_id}/checkpoints").json()["data"] == before
    assert installation.http.get(f"/v1/jobs/{again['id']}/checkpoints").json()["data"] == []
    assert not list((installation.folder / "objects" / "jobs").glob(f"{again['id']}*"))
    with installation.database() as database, database.write() as session:
        spec = session.get_one(Job, job_id).resolved_spec
        changed = {**spec, "optimizer": {**spec["optimizer"], "learning_rate": 0.003}}
        session.execute(update(Job).where(Job.id == job_id).values(resolved_spec=changed))
    verdict = verify(installation, job_id)["summary"]["verification"]
    assert verdict["identical"] is False
    assert verdict["found_sha256"] not in (None, verdict["expected_sha256"])


def verify(installation: Service, job_id: str) -> dict[str, Any]:
    reply = installation.http.post(f"/v1/jobs/{job_id}/verify")
    assert reply.status_code == 202, reply.text
    assert installation.http.post(f"/v1/jobs/{job_id}/verify").json()["id"] == reply.json()["id"]
    installation.submitted.append(reply.json()["id"])
    return installation.finish(reply.json()["id"])
