"""What an operator sees of a fault: figures, logs that can be followed by their ids, the part that is broken."""

import json
import time
from typing import Any
from urllib.request import urlopen

import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import make_url, update

from models.formats import FORMAT
from models.tables import Job
from tests.faults.conftest import quick
from tests.faults.proxy import proxy
from tests.servers.process import free_port
from tests.service import Service, kill_all_of


def figures(port: int) -> dict[str, float]:
    """Of all labels together."""
    with urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        families = list(text_string_to_metric_families(answer.read().decode()))
    told: dict[str, float] = {}
    for sample in (sample for family in families for sample in family.samples):
        told[sample.name] = told.get(sample.name, 0) + sample.value
    return told


def test_what_happened_is_in_the_figures_and_in_the_logs(installation: Service, dataset_id: str) -> None:
    """A worker dies with a job; another one, whose store fails once, takes it to its end."""
    dies = installation.start_worker()
    job_id = installation.submit(quick(dataset_id, epochs=4))
    installation.reach_step(job_id, 20)
    kill_all_of(dies)
    port = free_port()
    installation.start_worker(TRAINWRIGHT_METRICS_PORT=str(port), TRAINWRIGHT_FAILPOINTS="store.call=raise@4")
    assert installation.finish(job_id)["status"] == "succeeded"
    deadline = time.monotonic() + 10  # an attempt is counted when it has been left, a little after its job has ended
    while (told := figures(port)).get("trainwright_attempts_total", 0) < installation.job(job_id)["attempt"] - 1:
        assert time.monotonic() < deadline, told
        time.sleep(0.05)
    assert told["trainwright_jobs_recovered_total"] >= 1
    assert told["trainwright_attempts_total"] == told["trainwright_attempt_seconds_count"]
    assert told["trainwright_attempt_seconds_sum"] > 0
    assert told["trainwright_checkpoint_seconds_count"] > 0
    assert told["trainwright_store_errors_total"] >= 1
    assert {"trainwright_database_errors_total", "trainwright_leases_lost_total"} <= told.keys()
    assert told["trainwright_jobs"] == told["trainwright_queue_age_seconds"] == 0
    assert told["trainwright_workers"] >= 1
    lines = [line for line in log_of(installation, "worker-1") if line.get("job") == job_id]
    assert {"job_recovered", "job_claimed", "checkpoint_saved", "job_left"} <= {line["event"] for line in lines}
    assert min(line["attempt"] for line in lines if line["event"] == "job_claimed") == 2
    (posted,) = [line for line in log_of(installation, "api") if (line.get("method"), line.get("path")) == POST]
    assert posted["request_id"].startswith("req_")
    assert posted["made"] == f"/v1/jobs/{job_id}"
    assert_no_secret(installation)


POST = ("POST", "/v1/jobs")


def log_of(installation: Service, name: str) -> list[dict[str, Any]]:
    """Its lines, but for what Celery says in plain words to whoever starts or stops it by hand."""
    lines = (installation.folder / f"{name}.log").read_text().splitlines()
    return [json.loads(line) for line in lines if line.startswith("{")]


def assert_no_secret(installation: Service) -> None:
    key = str(installation.http.headers["authorization"]).removeprefix("Bearer ")
    urls = [make_url(installation.settings[f"TRAINWRIGHT_{part}_URL"]) for part in ("DATABASE", "BROKER")]
    secrets = [key, key[4 + 32 :], *(str(url.password) for url in urls if url.password)]
    logged = installation.logs(most=10_000_000)
    assert logged
    assert [secret for secret in secrets if secret in logged] == []


@pytest.mark.parametrize("kept_in", ["postgres"], indirect=True)
def test_readiness_names_the_part_that_went_away(installation: Service, redis_url: str) -> None:
    url, broker = make_url(installation.settings["TRAINWRIGHT_DATABASE_URL"]), make_url(redis_url)
    with proxy("127.0.0.1", int(url.port or 0)) as to_database, proxy("127.0.0.1", int(broker.port or 0)) as to_broker:
        installation.start_api(
            TRAINWRIGHT_DATABASE_URL=url.set(port=to_database.port).render_as_string(hide_password=False),
            TRAINWRIGHT_BROKER_URL=broker.set(port=to_broker.port).render_as_string(hide_password=False),
        )
        assert broken_parts(installation) == (200, set())
        for between, status, part in ((to_database, 503, "database"), (to_broker, 200, "broker")):
            between.refuses = True
            between.reset()
            assert broken_parts(installation) == (status, {part}), "without a broker workers find jobs by themselves"
            between.heal()
        objects = installation.folder / "objects"
        away = objects.rename(installation.folder / "away")
        assert broken_parts(installation) == (503, {"storage"})
        away.rename(objects)
        assert broken_parts(installation) == (200, set())


def broken_parts(installation: Service) -> tuple[int, set[str]]:
    answer = installation.http.get("/readyz")
    return answer.status_code, {name for name, state in answer.json()["parts"].items() if state != "ok"}


@pytest.mark.chaos
def test_an_older_worker_leaves_a_newer_job_to_a_newer_one(installation: Service, dataset_id: str) -> None:
    newer, ours = (installation.submit(quick(dataset_id)) for _ in range(2))
    rewrite(installation, newer, format_version=FORMAT + 1)
    installation.start_worker()
    assert installation.finish(ours)["status"] == "succeeded"
    assert installation.job(newer)["status"] == "queued"
    rewrite(installation, newer, format_version=FORMAT)
    assert installation.finish(newer)["attempt"] == 1


@pytest.mark.chaos
def test_a_job_that_goes_on_in_another_environment_says_so(installation: Service, dataset_id: str) -> None:
    worker = installation.start_worker()
    job_id = installation.submit(quick(dataset_id, epochs=40))
    installation.reach_step(job_id, 20)
    worker.terminate()
    worker.wait()
    before = installation.job(job_id)
    assert (before["determinism"], before["environment"]["threads"]) == ("exact", 1)
    rewrite(installation, job_id, environment={**before["environment"], "torch": "1.0"})
    installation.start_worker()
    job = installation.finish(job_id)
    assert (job["status"], job["determinism"]) == ("succeeded", "best_effort")
    events = installation.http.get(f"/v1/jobs/{job_id}/events?limit=100").json()["data"]
    (changed,) = [event["data"] for event in events if event["type"] == "job.environment_changed"]
    assert changed == {"torch": ["1.0", before["environment"]["torch"]]}


def rewrite(installation: Service, job_id: str, **values: Any) -> None:
    with installation.database() as database, database.write() as session:
        session.execute(update(Job).where(Job.id == job_id).values(**values))
