"""A batch that fails is halved until one message stands alone, and only that one is given up; a slow one is halved too."""

from hypothesis import given
from hypothesis import strategies as st

from mailsync_grpc.model.uidset import UidSet
from mailsync_grpc.sync.batching import SLOW, SMALLEST, Batching


def asked(pending: UidSet, poisoned: set[int], batch_size: int) -> tuple[set[int], UidSet, int]:
    """Ask as a backfill does until nothing is left: what was given, what is poison, how many requests it took."""
    batching, got, requests = Batching(), set[int](), 0
    while batch := (pending - UidSet.of(got) - batching.poison).highest(min(batch_size, batching.limit)):
        requests += 1
        if poisoned.isdisjoint(batch):
            got |= set(batch)
            batching.answered(len(batch), 0.1)
        else:
            batching.failed(batch)
    return got, batching.poison, requests


@given(st.sets(st.integers(1, 300)), st.integers(1, 100))
def test_exactly_the_poisoned_messages_are_given_up(poisoned: set[int], batch_size: int) -> None:
    got, poison, _ = asked(UidSet.span(1, 300), poisoned, batch_size)
    assert set(poison) == poisoned
    assert got == set(range(1, 301)) - poisoned


def test_one_poisoned_message_of_a_thousand_costs_few_requests() -> None:
    assert asked(UidSet.span(1, 1_000), {371}, 1_000)[2] <= 40


def test_a_message_that_is_forgiven_is_asked_for_again() -> None:
    batching, one = Batching(), UidSet.span(7, 7)
    batching.failed(one)
    assert not batching.poison, "once may be the server's bad moment"
    batching.failed(one)
    assert batching.poison == one
    batching.forgive(one)
    assert not batching.poison


def sizes(
    seconds_a_message: float, batches: int, batch_size: int = 1_000, overhead: float = 0.0
) -> list[int]:
    """How many messages each batch asks for on a server of this speed."""
    batching, asked = Batching(), list[int]()
    for _ in range(batches):
        asked.append(min(batch_size, batching.limit))
        batching.answered(asked[-1], overhead + asked[-1] * seconds_a_message)
    return asked


def test_batches_of_a_slow_server_shrink_until_each_comes_in_time() -> None:
    asked = sizes(0.1, 10)
    assert asked[0] == 1_000
    assert asked[-1] * 0.1 <= SLOW
    assert asked == sorted(asked, reverse=True)
    assert len(set(asked[5:])) == 1, "it settles"


def test_batches_grow_back_to_what_the_account_asks_for_when_the_server_recovers() -> None:
    batching = Batching()
    for _ in range(5):
        batching.answered(min(1_000, batching.limit), 60.0)
    assert batching.limit < 100
    for _ in range(6):
        batching.answered(min(1_000, batching.limit), 0.2)
    assert min(1_000, batching.limit) == 1_000


def test_a_server_that_is_slow_whatever_is_asked_gets_no_tiny_batches() -> None:
    assert sizes(0.0, 20, overhead=30.0)[-1] == SMALLEST


def test_a_slow_answer_does_not_undo_the_search_for_a_poisoned_message() -> None:
    batching = Batching()
    batching.failed(UidSet.span(1, 8))
    batching.answered(4, 30.0)
    assert batching.limit == 4
