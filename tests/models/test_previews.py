"""A preview is one row however often it is asked for, made by one worker, and gone when nobody wants it."""

from typing import Any

import pytest
from sqlalchemy import update

from models import datasets, previews
from models.clock import now_plus
from models.ownership import OwnershipLost
from models.previews import FAILED_KEPT_SECONDS, KEPT_SECONDS, WAITED_SECONDS
from models.states import ExportState
from models.tables import Dataset, Preview
from tests.models.conftest import Office

SPEC: dict[str, Any] = {"dataset": {"id": "ds"}, "schedule": {"type": "cosine"}, "training": {"epochs": 2}}


def ask(office: Office, **changes: Any) -> tuple[Preview, bool]:
    with office.database.write() as session:
        session.execute(update(Dataset).values(content_sha256="1" * 64))
        dataset = datasets.find(session, office.dataset_id)
        assert dataset is not None
        session.refresh(dataset)
        return previews.ask(session, office.project_id, "schedule", dataset=dataset, resolved={**SPEC, **changes})


def claim(office: Office) -> Preview | None:
    with office.database.write() as session:
        return previews.claim(session, worker_id="wrk", lease_seconds=60)


def let_pass(office: Office, seconds: float) -> None:
    with office.database.write() as session:
        session.execute(update(Preview).values(asked_at=now_plus(-seconds)))


def test_a_question_asked_again_is_the_same_one(office: Office) -> None:
    first, is_new = ask(office)
    again, is_new_again = ask(office, name="another name", dataset={"id": "the same data"})
    assert (first.id, is_new, is_new_again) == (again.id, True, False)
    assert ask(office, schedule={"type": "linear"})[1]


def test_one_worker_makes_it_and_the_answer_stays(office: Office) -> None:
    preview, _ = ask(office)
    claimed = claim(office)
    assert claimed is not None
    assert claim(office) is None
    with office.database.write() as session:
        previews.ready(session, preview.id, claimed.attempt, result={"steps": [1]}, picture=b"png")
    ask(office)
    with office.database.read() as session:
        row = previews.get(session, office.project_id, preview.id)
        assert row is not None
        assert (row.state, row.result, row.picture) == (ExportState.READY, {"steps": [1]}, b"png")


def test_a_worker_that_was_thought_dead_writes_nothing(office: Office) -> None:
    preview, _ = ask(office)
    with office.database.write() as session:
        previews.claim(session, worker_id="wrk", lease_seconds=-1)
    with office.database.write() as session:
        previews.recover_lost(session, fruitless_limit=3)
    assert claim(office) is not None
    with office.database.write() as session, pytest.raises(OwnershipLost):
        previews.ready(session, preview.id, 1, result={}, picture=None)


def test_what_nobody_waits_for_is_not_made_unless_it_is_asked_for_again(office: Office) -> None:
    ask(office)
    let_pass(office, WAITED_SECONDS + 1)
    assert claim(office) is None
    ask(office)
    assert claim(office) is not None


def test_who_asks_again_for_what_was_forgotten_makes_one_more_wait(office: Office) -> None:
    assert ask(office)[1]
    let_pass(office, WAITED_SECONDS + 1)
    assert [ask(office)[1] for _ in range(2)] == [True, False]


def test_asking_for_what_failed_does_not_keep_it_failed(office: Office) -> None:
    failed, _ = ask(office)
    assert claim(office) is not None
    with office.database.write() as session:
        previews.fail(session, failed.id, 1, "no")
    let_pass(office, FAILED_KEPT_SECONDS + 1)
    assert ask(office)[0].id == failed.id
    with office.database.write() as session:
        previews.forget_old(session)
    assert ask(office)[0].id != failed.id


def test_what_nobody_has_wanted_for_long_goes(office: Office) -> None:
    preview, _ = ask(office)
    for seconds, is_there in ((KEPT_SECONDS - 60, True), (KEPT_SECONDS + 1, False)):
        let_pass(office, seconds)
        with office.database.write() as session:
            previews.forget_old(session)
        with office.database.read() as session:
            assert (previews.state_of(session, preview.id) is not None) == is_there


def test_what_failed_may_be_tried_again_after_a_minute(office: Office) -> None:
    preview, _ = ask(office)
    claimed = claim(office)
    assert claimed is not None
    with office.database.write() as session:
        previews.fail(session, preview.id, claimed.attempt, "it took too long")
        previews.forget_old(session)
    assert not ask(office)[1]
    let_pass(office, 61)
    with office.database.write() as session:
        previews.forget_old(session)
    assert ask(office)[1]


def test_it_goes_with_its_data_set(office: Office) -> None:
    preview, _ = ask(office)
    with office.database.write() as session:
        assert datasets.remove(session, office.project_id, office.dataset_id)
    with office.database.read() as session:
        assert previews.state_of(session, preview.id) is None
