"""What was written about a job, over HTTP."""

from datetime import UTC, datetime

from models import log_lines
from models.log_lines import Line, Source
from tests.api.conftest import Tenant


def write(ours: Tenant, job_id: str, *lines: tuple[Source, str]) -> None:
    with ours.world.services.database.write() as session:
        said = [Line(source, "info", message, datetime.now(UTC)) for source, message in lines]
        log_lines.add(session, job_id, 1, said)


def test_lines_come_in_pages_in_order(ours: Tenant) -> None:
    job_id = ours.running_job()
    write(ours, job_id, *[("trainer", str(number)) for number in range(5)])
    first = ours.reader.get(f"/v1/jobs/{job_id}/logs?limit=3").json()
    rest = ours.reader.get(f"/v1/jobs/{job_id}/logs?after={first['last_id']}").json()
    assert [line["message"] for line in (*first["data"], *rest["data"])] == ["0", "1", "2", "3", "4"]
    assert (first["has_more"], rest["has_more"]) == (True, False)


def test_lines_can_be_had_of_one_source_and_are_sent_once(ours: Tenant) -> None:
    job_id = ours.running_job()
    write(ours, job_id, ("worker", "job_claimed"), ("trainer", "<b>hello</b>"))
    path = f"/v1/jobs/{job_id}/logs?source=trainer"
    answer = ours.reader.get(path)
    assert [(line["source"], line["message"]) for line in answer.json()["data"]] == [("trainer", "<b>hello</b>")]
    assert ours.reader.get(path, headers={"If-None-Match": answer.headers["etag"]}).status_code == 304
