"""What the watch says beside events: snapshots, resets, accounts that come into sight and go out of it."""

from random import Random

import pytest
from mailsync_client.mirror import Mirror, ReadAccount
from mailsync_client.v1.envelope_pb2 import Envelope
from mailsync_client.v1.event_service_pb2 import (
    AccountHidden,
    AccountVisible,
    Reset,
    SnapshotChunk,
    SnapshotEnd,
    WatchEventsResponse,
)
from written_mailbox import ACCOUNT, Mailbox, caught_up, holding, message, name, removed, seen, uids


def chunk(read_revision: int, *envelopes: Envelope) -> WatchEventsResponse:
    return WatchEventsResponse(
        snapshot_chunk=SnapshotChunk(read_revision=read_revision, envelopes=envelopes),
        from_revision=10,
        through_revision=10,
        resume_token=f"chunk at {read_revision}",
    )


def take(mirror: Mirror, *responses: WatchEventsResponse) -> None:
    for response in responses:
        assert mirror.heed(response) == []
        for event in response.events:
            mirror.apply(event)
        mirror.advance(response)


END = WatchEventsResponse(
    snapshot_end=SnapshotEnd(), from_revision=10, through_revision=10, resume_token="ended"
)


def test_a_snapshot_is_put_at_each_chunks_revision_and_is_no_state_before_its_end() -> None:
    mirror = Mirror(ACCOUNT)
    mirror.reset(partial=True)
    take(mirror, chunk(10, message(1)))
    # No change came between: only the missing end tells that this is not all.
    assert not mirror.caught_up
    take(mirror, chunk(12, message(2)), END)
    assert {item.envelope.uid: item.revision for item in mirror.items.values()} == {1: 10, 2: 12}
    assert not mirror.caught_up
    assert caught_up(mirror, 12)


def test_events_after_a_snapshot_change_only_what_was_read_before_them() -> None:
    mirror = Mirror(ACCOUNT)
    take(mirror, chunk(10, message(1)), chunk(14, message(2, seen=True)), END)
    mirror.apply(seen(12, 2, is_seen=False))
    mirror.apply(removed(13, 1, 2))
    assert uids(mirror) == {2}
    assert mirror.items[name(2)].envelope.flags.seen


def test_a_snapshot_goes_on_after_a_restart_and_still_knows_that_it_is_partial() -> None:
    old = Mirror(ACCOUNT)
    old.reset(partial=True)
    take(old, chunk(11, message(1)))
    again = Mirror(
        ACCOUNT, old.token, old.through, old.items, read_revision=old.read_revision, partial=old.partial
    )
    assert again.token == "chunk at 11"
    assert not caught_up(again, 11)
    take(again, chunk(10, message(2)), END)
    assert uids(again) == {1, 2}
    assert caught_up(again, 11)


def test_a_reset_forgets_everything_and_a_snapshot_follows() -> None:
    mirror = holding(1, 2, revision=90)
    mirror.apply(removed(95, 2, 2))
    mirror.through = {0: 95, 1: 4}
    reset = WatchEventsResponse(reset=Reset(), from_revision=10, through_revision=10, resume_token="anew")
    take(mirror, reset)
    assert (mirror.items, mirror.through, mirror.token) == ({}, {0: 10}, "anew")
    assert mirror.partial
    # The new store counts from lower revisions; neither old items nor old tombstones may stand in their way.
    take(mirror, chunk(10, message(2)), END)
    assert uids(mirror) == {2}
    assert mirror.caught_up


def test_a_hidden_account_is_forgotten_and_a_visible_one_is_listed() -> None:
    mirror = holding(1)
    take(mirror, WatchEventsResponse(account_hidden=AccountHidden(account="accounts/other")))
    assert uids(mirror) == {1}
    take(mirror, WatchEventsResponse(account_hidden=AccountHidden(account=ACCOUNT)))
    assert uids(mirror) == set()
    shown = WatchEventsResponse(account_visible=AccountVisible(account=ACCOUNT))
    assert mirror.heed(shown) == [ReadAccount(ACCOUNT)]
    assert mirror.heed(WatchEventsResponse(account_visible=AccountVisible(account="accounts/other"))) == []


def test_what_was_removed_while_an_account_was_hidden_does_not_stay() -> None:
    mirror = holding(1, 2)
    mirror.heed(WatchEventsResponse(account_visible=AccountVisible(account=ACCOUNT)))
    mirror.put([message(2)], 20)
    assert uids(mirror) == {2}


@pytest.mark.parametrize("seed", range(200))
def test_a_snapshot_cut_off_and_gone_on_with_from_what_was_kept_gives_the_mailbox(seed: int) -> None:
    random = Random(seed)
    mailbox = Mailbox(random, length=60)
    start = at = random.randrange(60)
    mirror = Mirror(ACCOUNT)
    mirror.reset(partial=True)
    first = 1
    while first <= 60:
        held = mailbox.states[at]
        piece = [message(uid, seen=held[uid]) for uid in held if first <= uid <= first + 9]
        response = chunk(at, *piece)
        response.from_revision = response.through_revision = start
        # Killed after a chunk was put and before it was kept: it comes again, read later.
        kept = Mirror(
            ACCOUNT,
            mirror.token,
            mirror.through,
            mirror.items,
            read_revision=mirror.read_revision,
            partial=mirror.partial,
        )
        take(mirror, response)
        assert not mirror.caught_up
        if random.random() < 0.3:
            mirror = kept
        else:
            first += 10
        at = min(60, at + random.randrange(8))
    take(mirror, WatchEventsResponse(snapshot_end=SnapshotEnd(), through_revision=start))
    for event in mailbox.events[start:]:
        # In a snapshot nothing is unknown: what flags changed of is in it, or was removed since.
        mirror.apply(event)
        mirror.advance(WatchEventsResponse(through_revision=event.revision))
    assert {envelope.uid: envelope.flags.seen for envelope in mirror.envelopes()} == mailbox.states[-1]
    assert mirror.caught_up
