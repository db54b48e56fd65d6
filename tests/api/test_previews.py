"""Previews as they are asked for. What a worker makes of them is in `tests/test_previews.py`."""

from typing import Any

import pytest

from api.routes.previews import MOST_WAITING
from models import previews
from tests.api.conftest import Tenant, spec_on

KINDS = ("schedule", "augmentation", "initialization")


def ask(tenant: Tenant, kind: str, spec: Any, **parameters: Any) -> Any:
    return tenant.submitter.post(f"/v1/previews/{kind}", json=spec, params=parameters)


@pytest.mark.parametrize("kind", KINDS)
def test_without_a_worker_it_says_what_it_waits_for(ours: Tenant, kind: str) -> None:
    spec = spec_on(ours.dataset())
    answer = ask(ours, kind, spec)
    assert (answer.status_code, answer.headers["retry-after"]) == (202, "1")
    body = answer.json()
    assert (body["object"], body["status"], body["result"]) == (f"preview.{kind}", "queued", None)
    assert body["status_reason"].startswith("waiting for a worker")
    assert ask(ours, kind, spec).json()["id"] == body["id"]


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_job_has_no_preview(ours: Tenant, kind: str) -> None:
    spec = spec_on(ours.dataset(), optimizer={"type": "sgd", "learning_rat": 0.1}, schedule={"type": "cosin"})
    answer, of_job = ask(ours, kind, spec), ours.submitter.post("/v1/jobs", json=spec)
    assert answer.status_code == of_job.status_code == 422
    assert answer.json()["errors"] == of_job.json()["errors"]


def test_what_is_ready_comes_at_once_and_its_picture_is_the_projects_own(ours: Tenant, theirs: Tenant) -> None:
    spec = spec_on(ours.dataset())
    preview_id = ask(ours, "augmentation", spec).json()["id"]
    told = {"examples": 32, "operations": [], "picture": None}
    with ours.world.services.database.write() as session:
        while (claimed := previews.claim(session, worker_id="w", lease_seconds=9)) and claimed.id != preview_id:
            previews.fail(session, claimed.id, claimed.attempt, "another test's")
        previews.ready(session, preview_id, 1, result=told, picture=b"png")
    answer = ask(ours, "augmentation", spec, wait=30)
    assert (answer.status_code, answer.json()["result"]) == (200, told)
    path = answer.json()["urls"]["picture"]
    picture = ours.reader.get(path)
    assert (picture.content, picture.headers["content-type"]) == (b"png", "image/png")
    assert ours.reader.get(path, headers={"If-None-Match": picture.headers["etag"]}).status_code == 304
    assert theirs.reader.get(path).status_code == 404
    assert ours.reader.get(f"/v1/previews/prv_{'0' * 32}/picture").status_code == 404


def test_who_may_only_look_keeps_no_worker_busy(ours: Tenant) -> None:
    assert ours.reader.post("/v1/previews/schedule", json=spec_on(ours.dataset())).status_code == 403


def test_one_who_types_fast_does_not_fill_the_queue(ours: Tenant) -> None:
    dataset = ours.dataset()
    answers = [ask(ours, "schedule", spec_on(dataset, training={"epochs": n + 1})) for n in range(MOST_WAITING + 1)]
    assert [answer.status_code for answer in answers] == [202] * MOST_WAITING + [429]
    assert answers[-1].json()["error"]["code"] == "too_many_previews"
    assert ask(ours, "schedule", spec_on(dataset, training={"epochs": 1})).status_code == 202, "it waits already"
