"""Rows as resources: the sentence that says why a job waits."""

import pytest

from api.representations import Queue
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
    ],
)
def test_a_job_says_why_it_waits(ahead: int, slots: int, busy: int, reason: str) -> None:
    assert Queue(positions={"job_1": ahead}, slots=slots, busy=busy).reason(Job(id="job_1")) == reason
