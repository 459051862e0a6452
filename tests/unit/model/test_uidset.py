"""UidSet behaves as a set of integers, whatever its ranges look like."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailsync_grpc.model.uidset import UidSet

uids = st.sets(st.integers(1, 60), max_size=40)


@given(uids)
def test_holds_exactly_what_it_was_made_of(members: set[int]) -> None:
    made = UidSet.of(members)
    assert list(made) == sorted(members)
    assert len(made) == len(members)
    assert all((uid in made) == (uid in members) for uid in range(70))


@given(uids)
def test_its_text_reads_back(members: set[int]) -> None:
    assert UidSet.parse(str(UidSet.of(members))) == UidSet.of(members)


@given(uids, uids)
def test_union_intersection_and_difference_are_those_of_sets(left: set[int], right: set[int]) -> None:
    assert UidSet.of(left) | UidSet.of(right) == UidSet.of(left | right)
    assert UidSet.of(left) & UidSet.of(right) == UidSet.of(left & right)
    assert UidSet.of(left) - UidSet.of(right) == UidSet.of(left - right)


@given(uids, st.integers(0, 50))
def test_highest_takes_from_the_top(members: set[int], count: int) -> None:
    assert list(UidSet.of(members).highest(count)) == sorted(members)[max(0, len(members) - count) :]


@given(uids, st.integers(1, 5))
def test_chunks_together_are_the_whole(members: set[int], size: int) -> None:
    pieces = list(UidSet.of(members).chunks(size))
    assert all(len(piece.ranges) <= size for piece in pieces)
    assert [uid for piece in pieces for uid in piece] == sorted(members)


def test_overlapping_and_turned_ranges_are_merged() -> None:
    assert str(UidSet.parse("7:5,1,2:3,6:9")) == "1:3,5:9"


@pytest.mark.parametrize("text", ["x", "1:*", "1-2"])
def test_other_text_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="invalid literal"):
        UidSet.parse(text)


def test_a_span_that_ends_before_it_starts_is_empty() -> None:
    assert not UidSet.span(5, 4)
    assert len(UidSet.span(1, 500_000)) == 500_000
