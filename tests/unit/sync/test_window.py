"""What a window leaves out follows from UIDs, dates and counts alone."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailsync_grpc.model.uidset import UidSet
from mailsync_grpc.store.values import Summary
from mailsync_grpc.sync import window

uids = st.sets(st.integers(1, 60), max_size=40)


@pytest.mark.parametrize(
    ("bound", "criterion"),
    [
        (datetime(2026, 3, 12, 23, 59, 59, tzinfo=UTC), "SINCE 10-Mar-2026"),
        (datetime(2026, 3, 1, tzinfo=UTC), "SINCE 27-Feb-2026"),
        (datetime(2026, 1, 2, tzinfo=UTC), "SINCE 31-Dec-2025"),
        (datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC), "SINCE 30-Dec-1969"),
    ],
)
def test_a_search_is_two_days_wider_in_english(bound: datetime, criterion: str) -> None:
    assert window.search_since(int(bound.timestamp())) == criterion


@given(
    st.datetimes(datetime(1971, 1, 1), datetime(2099, 1, 1)),  # noqa: DTZ001 - hypothesis wants naive bounds
    st.integers(-12 * 60, 14 * 60),
)
def test_a_search_misses_no_message_of_the_bound_in_any_zone(moment: datetime, minutes: int) -> None:
    moment = moment.replace(tzinfo=UTC)
    local = moment.astimezone(timezone(timedelta(minutes=minutes)))
    asked = datetime.strptime(window.search_since(int(moment.timestamp())), "SINCE %d-%b-%Y")  # noqa: DTZ007
    assert asked.date() <= local.date()


def test_the_date_decides_to_the_second_and_without_one_a_message_is_inside() -> None:
    stored = [Summary(1, 99, None), Summary(2, 100, None), Summary(3, None, None), Summary(4, 5, None)]
    assert list(window.older(stored, 100)) == [1, 4]
    assert not window.older(stored, None)


@given(uids, uids, st.integers(1, 50))
def test_a_surplus_are_the_lowest_of_the_stored_and_the_waiting(
    stored: set[int], waiting: set[int], count: int
) -> None:
    waiting -= stored
    lowest = UidSet.of(sorted(stored)[:count])
    beyond = window.surplus(count, lowest, UidSet.of(waiting))
    assert sorted([*beyond.stored, *beyond.waiting]) == sorted(stored | waiting)[:count]
    assert stored.issuperset(beyond.stored)
    assert waiting.issuperset(beyond.waiting)


@pytest.mark.parametrize(
    ("before", "listed", "exists", "cut"),
    [
        (2_000, 2_000, 2_000, True),
        (1_999, 2_000, 2_000, False),
        (2_000, 1_999, 2_000, False),
        (1_500, 1_500, 1_500, False),
        (0, 0, 0, False),
        (None, 1_000, 1_000, False),
    ],
)
def test_a_cut_view_holds_the_same_round_number_whatever_comes(
    before: int | None, listed: int, exists: int, cut: bool
) -> None:
    assert window.view_is_cut(before, range(1, listed + 1), exists) is cut


def test_out_of_sight_is_what_lies_below_a_cut_view() -> None:
    assert list(window.below(UidSet.of([1, 2, 9, 12]), 10)) == [1, 2, 9]
    assert not window.below(UidSet.of([10]), 10)
