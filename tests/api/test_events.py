"""What happened to a job, as a list and as a stream that has ended. (A stream that goes on: `test_server.py`.)"""

import json
import threading
import time

import pytest

from api.routes import events
from tests.api.conftest import Json, Tenant


def test_events_are_in_order_without_a_gap(ours: Tenant) -> None:
    listed = ours.reader.get(f"/v1/jobs/{ours.running_job()}/events").json()["data"]
    assert [(event["sequence"], event["type"]) for event in listed] == [
        (1, "job.created"),
        (2, "job.claimed"),
        (3, "job.started"),
    ]


def test_an_event_is_a_cursor(ours: Tenant) -> None:
    path = f"/v1/jobs/{ours.running_job()}/events"
    first = ours.reader.get(f"{path}?limit=2").json()
    rest = ours.reader.get(f"{path}?after={first['last_id']}").json()
    assert (first["has_more"], rest["has_more"]) == (True, False)
    assert [event["sequence"] for event in first["data"] + rest["data"]] == [1, 2, 3]


def test_the_event_of_another_job_is_no_cursor(ours: Tenant) -> None:
    other = ours.reader.get(f"/v1/jobs/{ours.job()}/events").json()["last_id"]
    answer = ours.reader.get(f"/v1/jobs/{ours.job()}/events?after={other}")
    assert answer.json()["errors"][0]["parameter"] == "after"


def test_waiting_ends_with_an_event(ours: Tenant) -> None:
    job_id, reader = ours.running_job(), ours.reader
    last = reader.get(f"/v1/jobs/{job_id}/events").json()["last_id"]
    threading.Timer(0.2, ours.succeed, [job_id]).start()
    answer = reader.get(f"/v1/jobs/{job_id}/events?after={last}&wait=10").json()
    assert [event["type"] for event in answer["data"]] == ["job.succeeded"]


def test_nobody_waits_for_a_job_that_has_ended(ours: Tenant) -> None:
    job_id, reader = ours.running_job(), ours.reader
    ours.succeed(job_id)
    last = reader.get(f"/v1/jobs/{job_id}/events").json()["last_id"]
    started = time.monotonic()
    assert reader.get(f"/v1/jobs/{job_id}/events?after={last}&wait=10").json()["data"] == []
    assert time.monotonic() - started < 2


def test_unchanged_events_are_not_sent_again(ours: Tenant) -> None:
    path = f"/v1/jobs/{ours.running_job()}/events"
    tag = ours.reader.get(path).headers["etag"]
    assert ours.reader.get(path, headers={"If-None-Match": tag}).status_code == 304


def test_the_stream_of_a_job_that_has_ended_tells_all_and_ends(ours: Tenant) -> None:
    job_id = ours.running_job()
    ours.succeed(job_id)
    answer = ours.reader.get(f"/v1/jobs/{job_id}/stream")
    listed = ours.reader.get(f"/v1/jobs/{job_id}/events").json()["data"]
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert [event["data"] for event in parse(answer.text)] == listed
    assert [(event["id"], event["event"]) for event in parse(answer.text)] == [(e["id"], e["type"]) for e in listed]


def test_a_stream_goes_on_behind_the_last_event(ours: Tenant) -> None:
    job_id = ours.running_job()
    ours.succeed(job_id)
    listed = ours.reader.get(f"/v1/jobs/{job_id}/events").json()["data"]
    answer = ours.reader.get(f"/v1/jobs/{job_id}/stream", headers={"Last-Event-ID": listed[1]["id"]})
    assert [event["data"]["sequence"] for event in parse(answer.text)] == [3, 4]


def test_a_stream_that_has_told_all_is_not_opened_again(ours: Tenant) -> None:
    job_id = ours.running_job()
    ours.succeed(job_id)
    last = ours.reader.get(f"/v1/jobs/{job_id}/events").json()["last_id"]
    answer = ours.reader.get(f"/v1/jobs/{job_id}/stream", headers={"Last-Event-ID": last})
    assert (answer.status_code, answer.content) == (204, b"")


def test_a_quiet_stream_is_kept_alive(ours: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "KEEPALIVE_SECONDS", 0.1)
    job_id, reader = ours.running_job(), ours.reader
    threading.Timer(0.5, ours.succeed, [job_id]).start()
    answer = reader.get(f"/v1/jobs/{job_id}/stream")
    assert ": ping\n\n" in answer.text
    assert parse(answer.text)[-1]["event"] == "job.succeeded"


def parse(text: str) -> list[Json]:
    """Server-sent events as a browser reads them; data as JSON."""
    found = []
    for block in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if fields:
            found.append(fields | {"data": json.loads(fields["data"])})
    return found
