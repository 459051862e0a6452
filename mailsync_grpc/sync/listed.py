"""Minimal mode's history where a listing of flags says all that is stored: taken from the listing, not fetched again."""

from mailsync_grpc.imap.minimal import listed_messages
from mailsync_grpc.model.changes import Backfilled
from mailsync_grpc.model.uidset import UidSet
from mailsync_grpc.sync.commit import Committer

SLICE = 5.0
"""Seconds for which the look may go on storing; what is left then is fetched by `backfill` as any history."""


def store_listed(state: Committer) -> None:
    """Store pending messages that the look's listing shows, newest first; nothing where a listing does not say all."""
    listing, end = state.listing, state.clock() + SLICE
    if listing is None:
        return
    while state.clock() < end:
        batch = state.progress.pending.highest(state.account.settings.batch_size)
        found = tuple(state.identified(listed_messages(listing, batch)))
        if not found:
            return
        state.commit(
            [Backfilled(state.folder.key, found)],
            len(found),
            pending=state.progress.pending - UidSet.of(message.uid for message in found),
            stored=state.progress.stored + len(found),
        )
