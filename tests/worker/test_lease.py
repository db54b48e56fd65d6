"""A lease is kept while the database answers, and given up in time when it does not."""

import threading
import time
from collections.abc import Callable

import pytest
from sqlalchemy.exc import OperationalError

from models.ownership import OwnershipLost
from models.states import Wish
from worker.lease import Lease


def lease(beat: Callable[[], Wish | None], lost: threading.Event, seconds: float = 0.3) -> Lease:
    return Lease(beat, heartbeat=0.02, lease_seconds=seconds, on_lost=lost.set)


def away() -> None:
    raise OperationalError("UPDATE", {}, Exception("the database is away"))


def test_a_lease_that_is_renewed_is_never_lost() -> None:
    lost, beats = threading.Event(), []
    with lease(lambda: beats.append(1), lost, seconds=0.1) as kept:
        time.sleep(0.3)
    assert not kept.lost
    assert not lost.is_set()
    assert len(beats) > 3


def test_a_lease_that_cannot_be_renewed_is_lost_before_others_may_take_it() -> None:
    lost = threading.Event()
    begun = time.monotonic()
    with lease(away, lost) as held:
        assert lost.wait(5)
    assert held.lost
    assert 0.2 < time.monotonic() - begun < 2


def test_a_renewal_that_hangs_does_not_keep_a_lease_from_being_lost() -> None:
    lost, answers = threading.Event(), threading.Event()

    def hang() -> None:
        answers.wait(10)

    with lease(hang, lost) as held:
        assert lost.wait(2)
    answers.set()
    assert held.lost


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_renewal_that_goes_wrong_loses_the_lease() -> None:
    def go_wrong() -> None:
        raise KeyError

    lost = threading.Event()
    with lease(go_wrong, lost):
        assert lost.wait(2)


def test_a_database_that_comes_back_in_time_changes_nothing() -> None:
    lost, answers = threading.Event(), iter([away, away, away])
    with lease(lambda: next(answers, lambda: None)(), lost, seconds=3) as held:
        time.sleep(0.3)
    assert not held.lost


def test_a_row_that_somebody_else_took_is_lost_at_once() -> None:
    def taken() -> None:
        raise OwnershipLost

    lost = threading.Event()
    with lease(taken, lost, seconds=60) as held:
        assert lost.wait(1)
    assert held.lost


def test_the_wish_to_cancel_arrives_with_a_beat() -> None:
    with lease(lambda: Wish.CANCEL, threading.Event()) as held:
        time.sleep(0.1)
    assert held.wish is Wish.CANCEL
