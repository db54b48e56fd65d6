"""Each kind of failure says who can mend it, and what to try."""

import pytest

from models.failures import Failure
from models.states import FailureCode


@pytest.mark.parametrize("code", FailureCode)
def test_every_kind_of_failure_has_an_owner_and_advice(code: FailureCode) -> None:
    told = Failure(code, "it failed").as_json()
    assert told["owner"] in ("user", "platform")
    assert len(told["advice"]) > 20


def test_better_advice_is_taken() -> None:
    assert Failure(FailureCode.DIVERGED, "NaN", "halve the rate").as_json()["advice"] == "halve the rate"
