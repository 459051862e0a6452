"""Minimal mode's answers: flags and ids, from any server, and nothing else."""

from mailsync_grpc.imap.fetch import parse_flags
from mailsync_grpc.imap.minimal import NOT_FETCHED, listed_messages, parse_minimal
from mailsync_grpc.model.envelope import Envelope, FetchedMessage
from mailsync_grpc.model.flags import NO_FLAGS, Flags
from mailsync_grpc.model.uidset import UidSet

ALL = UidSet.span(1, 100)


def message(uid: int, *flags: str, email_id: str = "", labels: tuple[str, ...] = ()) -> FetchedMessage:
    return FetchedMessage(uid, Flags.of(flags, labels), Envelope(email_id=email_id, partial=NOT_FETCHED))


def test_flags_and_the_lasting_id_are_read() -> None:
    answer = (
        b"* 2 FETCH (UID 7 FLAGS (\\Seen work) EMAILID (M6d99))\r\n"
        b"* 1 Fetch (EMAILID (M1) UID 3 FLAGS ())\r\n"
        b'* 3 FETCH (X-GM-MSGID 1278455344230334865 UID 9 FLAGS (\\Draft) X-GM-LABELS ("\\\\Inbox" work))\r\n'
    )
    assert parse_minimal(answer, ALL) == [
        message(3, email_id="M1"),
        message(7, "\\Seen", "work", email_id="M6d99"),
        message(9, "\\Draft", email_id="1278455344230334865", labels=("\\Inbox", "work")),
    ]


def test_a_message_answered_in_pieces_is_one_and_the_last_flags_count() -> None:
    answer = b"* 1 FETCH (UID 3 FLAGS ())\r\n* 1 FETCH (UID 3 EMAILID (M1))\r\n* 1 FETCH (UID 3 FLAGS (\\Seen))\r\n"
    assert parse_minimal(answer, ALL) == [message(3, "\\Seen", email_id="M1")]


def test_what_was_not_asked_for_or_has_no_uid_is_no_message() -> None:
    answer = b"* 1 FETCH (UID 300 FLAGS ())\r\n* 2 FETCH (FLAGS (\\Seen))\r\n* 5 EXISTS\r\n* 3 FETCH (UID 0 FLAGS ())\r\n"
    assert parse_minimal(answer, ALL) == []


def test_a_message_without_flags_or_id_is_there_all_the_same() -> None:
    (found,) = parse_minimal(b"* 1 FETCH (UID 3 EMAILID NIL)\r\n", ALL)
    assert found == FetchedMessage(3, NO_FLAGS, Envelope(partial=NOT_FETCHED))


def test_a_listing_of_flags_gives_the_wanted_ones_among_it() -> None:
    listing = parse_flags(
        b"* 1 FETCH (UID 3 FLAGS (\\Seen))\r\n* 2 FETCH (UID 5 FLAGS ())\r\n* 3 FETCH (UID 8 FLAGS (a))\r\n",
        ALL,
    )
    assert listed_messages(listing, UidSet.of([3, 8, 9])) == [message(3, "\\Seen"), message(8, "a")]
