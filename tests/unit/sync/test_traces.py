"""What a copy or move that may have been made has left in the target: counted, never guessed."""

from mailsync_grpc.model.uidset import UidSet
from mailsync_grpc.sync.traces import Findings, Print, judge

A, B, NAMELESS = Print("a@x", 10), Print("b@x", 20), Print("", 30)


def uids(*numbers: int) -> UidSet:
    return UidSet.of(numbers)


def test_what_is_all_there_was_made_and_goes_by_the_order_of_uids() -> None:
    assert judge({5: A, 1: A, 3: B}, {11: A, 12: B, 10: A}) == Findings(((1, 10), (3, 12), (5, 11)))


def test_what_is_not_there_at_all_was_not_made() -> None:
    assert judge({1: A, 2: B}, {10: Print("other@x", 10)}) == Findings(absent=uids(1, 2))


def test_of_more_copies_than_originals_nobody_knows_which_is_which() -> None:
    assert judge({1: A}, {10: A, 11: A}) == Findings(((1, 0),))


def test_fewer_copies_than_originals_decide_nothing() -> None:
    assert judge({1: A, 2: A}, {10: A}) == Findings(unknown=uids(1, 2))


def test_a_move_of_exactly_those_that_are_gone_leaves_the_others_to_be_moved() -> None:
    assert judge({1: A, 2: A}, {10: A}, present=uids(2)) == Findings(((1, 10),), absent=uids(2))


def test_what_has_no_message_id_is_only_known_not_to_be_there() -> None:
    assert judge({1: NAMELESS}, {10: A}) == Findings(absent=uids(1))
    assert judge({1: NAMELESS}, {10: NAMELESS}) == Findings(unknown=uids(1))
    assert judge({1: NAMELESS}, {10: Print("b@x", 30)}) == Findings(unknown=uids(1))


def test_what_may_be_it_as_its_server_tells_it_is_not_made_again() -> None:
    """Servers tell sizes that are not those of what they were sent, and leave out a Message-ID that they cannot read."""
    assert judge({1: A}, {10: Print("a@x", 11)}) == Findings(unknown=uids(1))
    assert judge({1: A}, {10: Print("", 10)}) == Findings(unknown=uids(1))
    assert judge({1: A, 2: B}, {10: A, 11: Print("b@x", 21)}) == Findings(((1, 10),), unknown=uids(2))


def test_what_nobody_remembers_is_not_known() -> None:
    assert judge({1: None, 2: A}, {10: A}) == Findings(((2, 10),), unknown=uids(1))
