"""Minimal mode's messages: flags and, where the server has it, what identifies a message wherever it lies; no more.

Where there is no such id (EMAILID of RFC 8474, Gmail's X-GM-MSGID) a listing of flags says all there is to know.
"""

from mailsync_grpc.imap.answer import Node, split_answer
from mailsync_grpc.imap.fetch import FlagListing, email_id_of, fetch_attributes, flags_in, uid_of
from mailsync_grpc.model.envelope import Envelope, FetchedMessage, Partial, PartialReason
from mailsync_grpc.model.flags import NO_FLAGS
from mailsync_grpc.model.uidset import UidSet

NOT_FETCHED = Partial(PartialReason.NOT_FETCHED, "minimal mode: fetched when it is asked for")


def parse_minimal(answer: bytes, asked: UidSet) -> list[FetchedMessage]:
    """Return the `asked` messages of a FETCH answer with flags and ids, by ascending UID."""
    lines, literals = split_answer(answer)
    found: dict[int, dict[str, Node]] = {}
    for line in lines:
        attributes = fetch_attributes(line, literals)
        uid = uid_of(attributes)
        if uid is not None and uid in asked:
            found.setdefault(uid, {}).update(attributes)
    return [
        FetchedMessage(uid, flags_in(found[uid]) or NO_FLAGS, _unfetched(email_id_of(found[uid])))
        for uid in sorted(found)
    ]


def listed_messages(listing: FlagListing, wanted: UidSet) -> list[FetchedMessage]:
    """Return those of the `wanted` messages that a listing of flags shows, ascending."""
    envelope = _unfetched("")
    return [
        FetchedMessage(uid, listing.table[flags], envelope)
        for uid, flags in zip(listing.uids, listing.hashes, strict=True)
        if uid in wanted
    ]


def _unfetched(email_id: str) -> Envelope:
    return Envelope(email_id=email_id, partial=NOT_FETCHED)
