"""Time by calendar month."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models import usage
from tests.models.conftest import Office

moments = st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC))


@pytest.mark.parametrize(
    ("begun", "ended", "parts"),
    [
        ("2026-11-02T00:00", "2026-11-02T01:00", [("2026-11", 3600)]),
        ("2026-12-31T23:00", "2027-01-01T02:00", [("2026-12", 3600), ("2027-01", 7200)]),
        ("2024-01-31T23:59", "2024-03-01T00:01", [("2024-01", 60), ("2024-02", 29 * 86400), ("2024-03", 60)]),
        ("2026-11-02T00:00", "2026-11-02T00:00", []),
    ],
)
def test_each_month_has_its_part(begun: str, ended: str, parts: list[tuple[str, float]]) -> None:
    first, last = (datetime.fromisoformat(text).replace(tzinfo=UTC) for text in (begun, ended))
    assert list(usage.by_month(first, last)) == parts


@given(moments, st.timedeltas(timedelta(0), timedelta(days=400)))
def test_no_second_is_lost_or_counted_twice(begun: datetime, span: timedelta) -> None:
    assert sum(seconds for _, seconds in usage.by_month(begun, begun + span)) == pytest.approx(span.total_seconds())


def test_charges_add_up_and_the_peak_stays(office: Office) -> None:
    begun = datetime(2026, 11, 30, 23, 59, tzinfo=UTC)
    for _ in range(2):
        with office.database.write() as session:
            usage.charge(session, office.project_id, begun, begun + timedelta(minutes=3))
    with office.database.read() as session:
        assert usage.of_month(session, office.project_id, "2026-11") == (120, 0)
        assert usage.of_month(session, office.project_id, "2026-12") == (240, 0)
