"""What is one message in two folders, and when enough was seen to say so."""

from dataclasses import replace

import pytest

from mailsync_grpc.model.changes import NewEnvelope
from mailsync_grpc.model.envelope import Envelope
from mailsync_grpc.model.evidence import MARK_BYTES, MoveEvidence, envelope_id, evidence_of
from mailsync_grpc.model.flags import NO_FLAGS
from mailsync_grpc.model.folder import FolderProgress, MirrorNo
from mailsync_grpc.model.ids import ID_BYTES, FolderNo
from mailsync_grpc.model.uidset import UidSet
from mailsync_grpc.store.values import Twin
from mailsync_grpc.sync import moves
from mailsync_grpc.sync.moves import Transit

INBOX, SENT, WORK = FolderNo(1), FolderNo(2), FolderNo(3)
LETTER = Envelope(internal_date=1_700_000_000, size=900, message_id="letter@example.org")
OBJECT = LETTER._replace(email_id="M6d99")
NAMELESS = Envelope(internal_date=1_700_000_000, size=900)


def arrival(uid: int, envelope: Envelope = LETTER) -> NewEnvelope:
    return NewEnvelope(uid, envelope_id(envelope, bytes([uid]) * ID_BYTES), NO_FLAGS, envelope)


def twin(folder: FolderNo, uid: int, envelope: Envelope = LETTER, *, former: bool = False) -> Twin:
    evidence = evidence_of(envelope)
    assert evidence is not None
    return Twin(
        folder, MirrorNo(folder), uid, envelope_id(envelope, bytes([100 + uid]) * ID_BYTES), evidence, former
    )


def matched(
    arrivals: list[NewEnvelope], twins: list[Twin], *repeated: bytes, **leaving: UidSet
) -> dict[int, tuple[FolderNo, int]]:
    """What arrivals in Sent are, by UID: folder and UID before."""
    gone = {
        folder: leaving.get(name, UidSet())
        for name, folder in (("inbox", INBOX), ("work", WORK), ("sent", SENT))
    }
    found = moves.match(SENT, arrivals, twins, gone, repeated)
    return {uid: (each.folder, each.uid) for uid, each in found.items()}


# What was meant


def test_the_only_stored_message_of_an_evidence_moved_when_it_left() -> None:
    assert matched([arrival(1)], [twin(INBOX, 7)], inbox=UidSet.of([7])) == {1: (INBOX, 7)}


def test_a_message_that_stays_was_copied() -> None:
    assert matched([arrival(1)], [twin(INBOX, 7)]) == {}


@pytest.mark.parametrize(
    "other", [twin(INBOX, 8), twin(WORK, 8), twin(SENT, 8)], ids=["beside", "else", "here"]
)
def test_a_message_id_that_is_stored_twice_shows_no_move(other: Twin) -> None:
    assert matched([arrival(1)], [twin(INBOX, 7), other], inbox=UidSet.of([7])) == {}


def test_an_email_id_shows_a_move_though_copies_stay() -> None:
    twins = [twin(INBOX, 7, OBJECT), twin(WORK, 8, OBJECT), twin(SENT, 9, OBJECT)]
    assert matched([arrival(1, OBJECT)], twins, inbox=UidSet.of([7])) == {1: (INBOX, 7)}


def test_an_email_id_of_which_two_left_shows_no_move() -> None:
    twins = [twin(INBOX, 7, OBJECT), twin(WORK, 8, OBJECT)]
    assert matched([arrival(1, OBJECT)], twins, inbox=UidSet.of([7]), work=UidSet.of([8])) == {}


@pytest.mark.parametrize("envelope", [LETTER, OBJECT], ids=["message_id", "email_id"])
def test_two_arrivals_alike_are_both_new(envelope: Envelope) -> None:
    twins, gone = [twin(INBOX, 7, envelope)], UidSet.of([7])
    assert matched([arrival(1, envelope), arrival(2, envelope)], twins, inbox=gone) == {}
    mark = arrival(1, envelope).envelope_id[:MARK_BYTES]
    assert matched([arrival(1, envelope)], twins, mark, inbox=gone) == {}, "the other is in another batch"


def test_a_message_that_left_and_came_in_one_folder_did_not_move() -> None:
    assert matched([arrival(1)], [twin(SENT, 7)], sent=UidSet.of([7])) == {}


def test_an_equal_mark_is_no_evidence() -> None:
    other = twin(INBOX, 7)._replace(evidence=("another@example.org", 900, 1_700_000_000))
    assert matched([arrival(1)], [other], inbox=UidSet.of([7])) == {}


def test_what_only_an_old_numbering_holds_did_not_leave() -> None:
    assert matched([arrival(1)], [twin(INBOX, 7, former=True)], inbox=UidSet.of([7])) == {}


def test_a_message_without_evidence_is_new_and_asks_for_nothing() -> None:
    assert matched([arrival(1, NAMELESS)], [twin(INBOX, 7)], inbox=UidSet.of([7])) == {}
    assert moves.marks([arrival(1, NAMELESS)]) == []


def test_many_messages_are_each_matched() -> None:
    letters = [LETTER._replace(message_id=f"{number}@example.org") for number in range(1, 51)]
    twins = [twin(INBOX, 100 - number, letter) for number, letter in enumerate(letters, 1)]
    found = matched(
        [arrival(number, letter) for number, letter in enumerate(letters, 1)],
        twins,
        inbox=UidSet.span(50, 99),
    )
    assert found == {number: (INBOX, 100 - number) for number in range(1, 51)}


def test_the_evidence_is_named_after_what_the_server_gives() -> None:
    assert moves.evidence_kind(LETTER, gmail=True) is MoveEvidence.MESSAGE_ID_SIZE_DATE
    assert moves.evidence_kind(OBJECT, gmail=False) is MoveEvidence.EMAIL_ID
    assert moves.evidence_kind(OBJECT, gmail=True) is MoveEvidence.GMAIL_MESSAGE_ID


def test_the_folder_moved_from_has_the_messages_no_more() -> None:
    before = FolderProgress(stored=9, leaving=UidSet.of([3, 4, 7]), expected_exists=6)
    assert moves.departed(before, [4, 7]) == replace(before, stored=7, leaving=UidSet.of([3]))


# What is withheld


def test_an_arrival_is_suspect_when_another_synced_folder_holds_its_twin() -> None:
    news = [arrival(1), arrival(2, NAMELESS)]
    assert moves.suspects(news, [twin(INBOX, 7)], {INBOX}) == [news[0]]
    for harmless in (twin(SENT, 7), twin(WORK, 7), twin(INBOX, 7, former=True)):
        assert moves.suspects(news, [harmless], {INBOX}) == []


def test_marks_that_were_withheld_twice_are_known_until_all_is_decided() -> None:
    transit = Transit()
    transit.withhold([arrival(1), arrival(2, OBJECT)])
    assert not transit.repeated
    transit.withhold([arrival(3)])
    assert transit.repeated == {arrival(1).envelope_id[:MARK_BYTES]}
    transit.close()
    assert not transit.repeated


# When enough was seen


def test_folders_looked_at_before_a_half_was_seen_are_due_for_one_more_look() -> None:
    transit = Transit()
    transit.note_look(INBOX)
    transit.note_look(SENT)
    transit.open(SENT)
    transit.note_look(WORK)
    assert [folder for folder in (INBOX, SENT, WORK) if transit.due(folder)] == [INBOX]
    transit.note_look(INBOX)
    assert not transit.due(INBOX)


def test_a_half_seen_in_the_second_look_asks_for_a_look_at_the_first_folder() -> None:
    transit = Transit()
    for folder in (INBOX, SENT):
        transit.note_look(folder)
        transit.open(folder)
    assert transit.due(INBOX)
    assert not transit.due(SENT)


def test_a_half_seen_in_a_look_that_failed_asks_for_looks_at_all_others() -> None:
    transit = Transit()
    transit.note_look(INBOX)
    transit.open(SENT)
    assert transit.due(INBOX)


def test_what_a_dead_process_left_open_asks_for_looks_at_all_others_once() -> None:
    transit = Transit()
    transit.resume(INBOX)
    assert transit.due(SENT)
    assert not transit.due(INBOX)
    transit.note_look(SENT)
    transit.resume(INBOX)
    assert not transit.due(SENT)


def test_a_look_opens_a_move_when_something_more_leaves_or_is_withheld() -> None:
    before = FolderProgress(leaving=UidSet.of([1]), arriving=UidSet.of([9]))
    assert not moves.opens(before, before)
    assert not moves.opens(before, replace(before, leaving=UidSet(), pending=UidSet.of([3])))
    assert moves.opens(before, replace(before, leaving=UidSet.of([1, 2])))
    assert moves.opens(before, replace(before, arriving=UidSet.of([10])))


# Renumbered folders


def rebound(messages: list[NewEnvelope], twins: list[Twin]) -> list[int]:
    """The UIDs of the messages that keep the id of their twin."""
    ids = {each.envelope_id for each in twins}
    return [message.uid for message in moves.rebound(messages, twins, INBOX) if message.envelope_id in ids]


def test_a_renumbered_message_keeps_its_id() -> None:
    message, before = arrival(1), twin(INBOX, 7, former=True)
    assert moves.rebound([message], [before], INBOX) == [message._replace(envelope_id=before.envelope_id)]


def test_a_renumbered_message_gets_a_new_id_where_several_could_be_meant() -> None:
    before = twin(INBOX, 7, former=True)
    assert rebound([arrival(1), arrival(2)], [before]) == [], "two alike now"
    assert rebound([arrival(1)], [before, twin(INBOX, 8, former=True)]) == [], "two alike before"
    assert rebound([arrival(1)], [before, twin(INBOX, 8)]) == [], "another has the id already"
    assert rebound([arrival(1)], [twin(SENT, 7, former=True)]) == [], "another folder's"
    assert rebound([arrival(1, NAMELESS)], [before]) == []
