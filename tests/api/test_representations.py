"""Rows as resources: the sentence that says why a job waits."""

import pytest

from api.representations import Queue
from models.jobs import Slots
from models.tables import Job


@pytest.mark.parametrize(
    ("ahead", "slots", "busy", "reason"),
    [
        (0, 0, 0, "waiting for a worker: none is online"),
        (5, 0, 0, "waiting for a worker: none is online"),
        (1, 2, 2, "waiting for a worker: 1 job is ahead of it"),
        (2, 2, 2, "waiting for a worker: 2 jobs are ahead of it"),
        (0, 2, 2, "next in line: waiting for a worker to get free"),
        (0, 2, 1, "next in line: about to be taken up by a worker"),
        (None, 2, 2, "waiting for a worker: at least 100 jobs are ahead of it"),
    ],
)
def test_a_job_says_why_it_waits(ahead: int | None, slots: int, busy: int, reason: str) -> None:
    positions = {} if ahead is None else {"job_1": ahead}
    assert Queue(positions, Slots(slots, busy)).reason(Job(id="job_1")) == reason
