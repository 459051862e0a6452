"""What is believed of a mass disappearance, look by look."""

import pytest

from mailsync_grpc.model.uidset import UidSet
from mailsync_grpc.sync.brake import PAUSE, Result, Sight, Suspicion, Verdict, judge

NOTHING = UidSet()
GONE = UidSet.span(1, 90)
ONE, TWO, THREE = object(), object(), object()


def look(
    missing: UidSet, number: int, connection: object, before: Verdict | None = None, stored: int = 100
) -> Verdict:
    sight = Sight(missing, missing, 0, number * PAUSE, connection)
    return judge(before.suspicion if before else None, sight, stored)


@pytest.mark.parametrize(
    ("missing", "stored", "held"),
    [
        (50, 50, False),
        (51, 51, True),
        (51, 255, False),
        (52, 255, True),
        (2_000, 10_000, False),
        (1, 1, False),
    ],
)
def test_more_than_a_fifth_and_more_than_fifty_are_held(missing: int, stored: int, held: bool) -> None:
    verdict = look(UidSet.span(1, missing), 0, ONE, stored=stored)
    assert verdict.gone == (NOTHING if held else UidSet.span(1, missing))
    assert verdict.result is (Result.HELD if held else Result.UNTOUCHED)


def test_three_looks_that_agree_are_believed() -> None:
    first = look(GONE, 0, ONE)
    second = look(GONE, 1, TWO, first)
    third = look(GONE, 2, THREE, second)
    assert (first.gone, second.gone) == (NOTHING, NOTHING)
    assert third == Verdict(GONE, None, Result.CONFIRMED)


def test_only_what_none_of_the_three_showed_is_gone() -> None:
    first = look(UidSet.span(1, 90), 0, ONE)
    second = look(UidSet.span(11, 100), 1, TWO, first)
    third = look(UidSet.span(1, 80), 2, THREE, second)
    assert third.gone == UidSet.span(11, 80)


def test_a_suspicion_lasts_below_the_thresholds_that_raised_it() -> None:
    first = look(GONE, 0, ONE)
    second = look(UidSet.span(1, 3), 1, TWO, first)
    assert (second.gone, second.result) == (NOTHING, Result.HELD)
    assert look(UidSet.span(1, 3), 2, THREE, second).gone == UidSet.span(1, 3)


def test_one_look_that_shows_all_of_them_acquits() -> None:
    second = look(GONE, 1, TWO, look(GONE, 0, ONE))
    assert look(NOTHING, 2, THREE, second) == Verdict(NOTHING, None, Result.RELEASED)


def test_what_is_shown_when_asked_again_is_there_but_tells_of_an_ill_server() -> None:
    sight = Sight(GONE, UidSet.span(1, 5), 0, 0.0, ONE)
    assert judge(None, sight, 100).gone == NOTHING
    assert judge(None, Sight(GONE, NOTHING, 90, 0.0, ONE), 100) == Verdict(NOTHING, None, Result.UNTOUCHED)


def test_what_the_count_misses_weighs_as_much_as_what_the_look_missed() -> None:
    newest = Sight(UidSet.span(90, 100), UidSet.span(90, 100), 90, 0.0, ONE)
    assert judge(None, newest, 100).gone == NOTHING


def test_a_look_too_soon_or_on_the_same_connection_does_not_count() -> None:
    first = look(GONE, 0, ONE)
    assert first.suspicion == Suspicion(GONE, 1, 0.0, ONE)
    same = look(GONE, 5, ONE, first)
    soon = look(GONE, 0, TWO, same)
    assert soon.suspicion == same.suspicion == first.suspicion


def test_the_first_look_may_widen_from_the_newest_messages_to_all() -> None:
    newest = look(UidSet.span(30, 90), 0, ONE)
    whole = look(GONE, 0, ONE, newest)
    assert whole.suspicion == Suspicion(GONE, 1, 0.0, ONE)
