"""A batch that fails is halved until one message stands alone, and only that one is given up."""

from hypothesis import given
from hypothesis import strategies as st

from mailsync_grpc.model.uidset import UidSet
from mailsync_grpc.sync.doubt import Doubt


def asked(pending: UidSet, poisoned: set[int], batch_size: int) -> tuple[set[int], UidSet, int]:
    """Ask as a backfill does until nothing is left: what was given, what is poison, how many requests it took."""
    doubt, got, requests = Doubt(), set[int](), 0
    while batch := (pending - UidSet.of(got) - doubt.poison).highest(min(batch_size, doubt.limit)):
        requests += 1
        if poisoned.isdisjoint(batch):
            got |= set(batch)
            doubt.succeeded()
        else:
            doubt.failed(batch)
    return got, doubt.poison, requests


@given(st.sets(st.integers(1, 300)), st.integers(1, 100))
def test_exactly_the_poisoned_messages_are_given_up(poisoned: set[int], batch_size: int) -> None:
    got, poison, _ = asked(UidSet.span(1, 300), poisoned, batch_size)
    assert set(poison) == poisoned
    assert got == set(range(1, 301)) - poisoned


def test_one_poisoned_message_of_a_thousand_costs_few_requests() -> None:
    assert asked(UidSet.span(1, 1_000), {371}, 1_000)[2] <= 40


def test_a_message_that_is_forgiven_is_asked_for_again() -> None:
    doubt, one = Doubt(), UidSet.span(7, 7)
    doubt.failed(one)
    assert not doubt.poison, "once may be the server's bad moment"
    doubt.failed(one)
    assert doubt.poison == one
    doubt.forgive(one)
    assert not doubt.poison
