"""What is fetched once more, in which order, and when it is given up."""

import pytest

from mailsync_grpc.model.account import SyncSettings
from mailsync_grpc.model.envelope import PartialReason
from mailsync_grpc.model.folder import FolderProgress
from mailsync_grpc.model.uidset import UidSet
from mailsync_grpc.model.window import SyncMode
from mailsync_grpc.store.values import Summary
from mailsync_grpc.sync.repair import Repair, due, mark, untried


def of(**reasons: PartialReason | None) -> Repair:
    found = Repair(1)
    found.add(Summary(int(uid[1:]), None, reason) for uid, reason in reasons.items())
    return found


def test_a_mark_tells_servers_and_parsers_apart_and_nothing_else() -> None:
    here = mark(1, "Dovecot 2.3", ("IDLE", "ID"))
    assert here == mark(1, "Dovecot 2.3", ["ID", "IDLE"]) > 0
    others = {mark(2, "Dovecot 2.3", ("ID", "IDLE")), mark(1, "Dovecot 2.4", ("ID", "IDLE")), mark(1, "", ())}
    assert len(others | {here}) == 4


@pytest.mark.parametrize(
    ("tried", "whole", "expected"),
    [(0, False, True), (0, True, True), (5, True, True), (5, False, False), (7, True, False)],
)
def test_another_server_counts_at_a_whole_comparison_only(tried: int, whole: bool, expected: bool) -> None:
    progress = FolderProgress(tried=tried)
    assert due(progress, SyncSettings(), 7, whole=whole) is expected
    assert untried(progress, SyncSettings()) is (tried == 0)


def test_minimal_mode_repairs_nothing() -> None:
    minimal = SyncSettings(mode=SyncMode.MINIMAL)
    assert not due(FolderProgress(), minimal, 7, whole=True)
    assert not untried(FolderProgress(), minimal)


def test_what_can_be_answered_goes_in_batches_and_what_was_refused_alone() -> None:
    found = of(
        u1=PartialReason.NOT_FETCHED,
        u2=None,
        u3=PartialReason.REFUSED,
        u4=PartialReason.TOO_LARGE,
        u5=PartialReason.MALFORMED,
        u6=PartialReason.TOO_DEEP,
    )
    assert found.take(2) == UidSet.of([5, 6])
    found.answered(UidSet.of([5, 6]), UidSet.of([5, 6]), 0.0)
    assert found.take(2) == UidSet.of([1])
    found.answered(UidSet.of([1]), UidSet.of([1]), 0.0)
    assert [found.take(2), found.take(2), found.take(2)] == [UidSet.of([4]), UidSet.of([3]), UidSet()]


def test_a_batch_that_fails_is_halved_until_the_message_stands_alone() -> None:
    found = of(**{f"u{uid}": PartialReason.NOT_FETCHED for uid in range(1, 9)})
    asked = []
    while batch := found.take(8):
        asked.append(batch)
        if 3 in batch:
            found.failed(batch)
        else:
            found.answered(batch, batch, 0.0)
    assert asked[0] == UidSet.span(1, 8)
    assert asked.count(UidSet.of([3])) == 2
    assert found.unfetched == UidSet.of([3])
    assert not found.ill


def test_what_an_answer_omits_is_asked_for_once_more_alone() -> None:
    found = of(u1=PartialReason.NOT_FETCHED, u2=PartialReason.NOT_FETCHED)
    found.answered(found.take(2), UidSet.of([2]), 0.0)
    assert [found.take(2), found.take(2)] == [UidSet.of([1]), UidSet()]


def test_a_server_that_gives_nothing_is_ill() -> None:
    found = of(**{f"u{uid}": PartialReason.NOT_FETCHED for uid in range(1, 9)})
    asked = 0
    while not found.ill:
        found.failed(found.take(8))
        asked += 1
    assert asked < 12
    found.begin_anew()
    assert found.take(8) == UidSet.span(1, 8)


def test_messages_known_to_be_refused_make_no_server_ill() -> None:
    found = of(**{f"u{uid}": PartialReason.REFUSED for uid in range(1, 9)})
    while batch := found.take(8):
        found.failed(batch)
        assert not found.ill
