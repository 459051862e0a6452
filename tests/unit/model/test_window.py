"""A window's bound is a moment of the calendar in UTC."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailsync_grpc.model.window import EVERYTHING, MAX_DAYS, MAX_MONTHS, MAX_YEARS, Window

moments = st.datetimes(datetime(1970, 1, 2), datetime(2200, 1, 1)).map(  # noqa: DTZ001 - hypothesis wants naive bounds
    lambda moment: moment.replace(microsecond=0, tzinfo=UTC)
)
spans = st.builds(
    Window,
    days=st.integers(0, MAX_DAYS),
    months=st.integers(0, MAX_MONTHS),
    years=st.integers(0, MAX_YEARS),
).filter(lambda window: window.slides)


def bound(window: Window, now: datetime) -> datetime:
    seconds = window.bound(now.timestamp())
    assert seconds is not None
    return datetime.fromtimestamp(seconds, UTC)


@pytest.mark.parametrize(
    ("window", "now", "oldest"),
    [
        (Window(months=1), "2026-03-31T12:30:05", "2026-02-28T12:30:05"),
        (Window(months=1), "2024-03-31T12:30:05", "2024-02-29T12:30:05"),
        (Window(years=1), "2024-02-29T00:00:00", "2023-02-28T00:00:00"),
        (Window(years=4), "2024-02-29T00:00:00", "2020-02-29T00:00:00"),
        (Window(months=1), "2026-01-15T00:00:00", "2025-12-15T00:00:00"),
        (Window(days=1, months=1), "2026-03-31T00:00:00", "2026-02-27T00:00:00"),
        (Window(years=1, months=2, days=10), "2026-03-01T00:00:00", "2024-12-22T00:00:00"),
        (Window(days=30), "2026-03-01T00:00:00", "2026-01-30T00:00:00"),
    ],
)
def test_months_and_years_are_calendar_units_that_add_up(window: Window, now: str, oldest: str) -> None:
    assert bound(window, datetime.fromisoformat(now + "Z")) == datetime.fromisoformat(oldest + "Z")


@given(moments, st.integers(1, MAX_MONTHS))
def test_the_same_day_of_the_month_or_its_last_one(now: datetime, months: int) -> None:
    oldest = bound(Window(months=months), now)
    assert 12 * (now.year - oldest.year) + now.month - oldest.month == months
    assert oldest.timetz() == now.timetz()
    assert oldest.day == now.day or (oldest.day < now.day and (oldest + timedelta(1)).day == 1)


@given(moments, st.integers(0, MAX_YEARS), st.integers(0, 11), st.integers(1, MAX_DAYS))
def test_years_are_twelve_months_and_days_come_off_last(
    now: datetime, years: int, months: int, days: int
) -> None:
    whole = bound(Window(years=years, months=months, days=days), now)
    assert whole == bound(Window(months=12 * years + months, days=days), now)
    assert Window(months=12 * years + months).slides is bool(years or months)
    if years or months:
        assert whole == bound(Window(months=12 * years + months), now) - timedelta(days)


@given(moments, moments, spans)
def test_a_later_moment_has_no_earlier_bound_but_for_the_hours_at_the_end_of_a_month(
    one: datetime, other: datetime, window: Window
) -> None:
    earlier, later = sorted((one, other))
    assert bound(window, earlier) - bound(window, later) < timedelta(1)
    assert bound(window, later) < later


def test_a_fixed_date_stays_and_numbers_have_none() -> None:
    assert Window(since=5).bound(1e9) == Window(since=5).bound(2e9) == 5
    assert Window(newest=5).bound(1e9) is None
    assert EVERYTHING.bound(1e9) is None
    assert EVERYTHING.whole
    assert not Window(newest=1).whole
