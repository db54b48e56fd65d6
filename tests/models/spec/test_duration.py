import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import PydanticCustomError

from models.spec.duration import Duration


@pytest.mark.parametrize(
    ("sent", "canonical"),
    [
        (10, "10 epochs"),
        ("1 epoch", "1 epochs"),
        ("0.50 epochs", "0.5 epochs"),
        ("500steps", "500 steps"),
        ("30%", "30%"),
    ],
)
def test_a_duration_has_one_canonical_form(sent: int | str, canonical: str) -> None:
    assert str(Duration.parse(sent)) == canonical


@pytest.mark.parametrize(
    "sent", [-1, True, "", "10", "1.5 steps", "101%", "ten epochs", "1e3 steps", "-1 epochs", "1 epochs\n"]
)
def test_what_is_no_duration_is_refused(sent: int | str) -> None:
    with pytest.raises(PydanticCustomError):
        Duration.parse(sent)


@given(st.integers(0, 10**9 - 1), st.sampled_from(["epochs", "steps"]))
def test_the_canonical_form_means_the_same(amount: int, unit: str) -> None:
    duration = Duration.parse(f"{amount} {unit}")
    assert Duration.parse(str(duration)) == duration


@pytest.mark.parametrize(
    ("sent", "steps"), [("2 epochs", 20), ("0.25 epochs", 2), ("7 steps", 7), ("50%", 15), ("0.01%", 1), ("0%", 0)]
)
def test_a_duration_in_steps_of_a_run_of_three_epochs(sent: str, steps: int) -> None:
    assert Duration.parse(sent).in_steps(steps_per_epoch=10, total_steps=30) == steps
