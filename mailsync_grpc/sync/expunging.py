r"""Messages of the open folder removed for good: marked \Deleted, then expunged by UID (RFC 4315), and no others.

What the server will not expunge loses our mark again, and keeps one that somebody else has set.
"""

from contextlib import suppress

from mailsync_grpc.errors import ImapRefusedError
from mailsync_grpc.imap.changing import ChangingConnection
from mailsync_grpc.model.flags import DELETED
from mailsync_grpc.model.uidset import UidSet
from mailsync_grpc.sync.change_messages import pieces
from mailsync_grpc.sync.sending import sent
from mailsync_grpc.sync.tally import Tally

STAYED = "the server took the command and the message is still there"


def expunge(connection: ChangingConnection, uids: UidSet, tally: Tally) -> None:
    """Remove the messages, and tally what became of each."""
    for piece in pieces(uids, 0):
        marked = _marked(connection, piece)
        try:
            sent(connection.store(piece, "+", (DELETED,)))
            sent(connection.expunge(piece))
        except ImapRefusedError as error:
            stayed = connection.present(piece)
            _unmark(connection, stayed - marked)
            tally.refuse(stayed, error)
            continue
        tally.refuse(connection.present(piece), ImapRefusedError, STAYED)
    tally.succeed(tally.left_of(uids))


def _marked(connection: ChangingConnection, uids: UidSet) -> UidSet:
    r"""Return those of `uids` that are marked \Deleted, by whomever."""
    listing = connection.fetch_flags(uids)
    pairs = zip(listing.uids, listing.hashes, strict=True)
    return UidSet.of(uid for uid, number in pairs if DELETED in listing.table[number])


def _unmark(connection: ChangingConnection, uids: UidSet) -> None:
    """Take our mark from what the server would not expunge, so that nobody else's EXPUNGE takes it."""
    if uids:
        with suppress(ImapRefusedError):
            sent(connection.store(uids, "-", (DELETED,)))
