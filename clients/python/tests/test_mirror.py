"""The mirror's rules, case by case, and as a property: however reads and events interleave, the end is the same."""

from random import Random

import pytest
from mailsync_client.mirror import Mirror, ReadEnvelope, ReadFolder
from mailsync_client.v1 import event_pb2 as pb
from mailsync_client.v1.envelope_pb2 import UidRange
from mailsync_client.v1.event_service_pb2 import WatchEventsResponse
from written_mailbox import (
    ACCOUNT,
    INBOX,
    SENT,
    Mailbox,
    added,
    caught_up,
    holding,
    message,
    name,
    removed,
    seen,
    uids,
)


def test_an_event_older_than_what_was_read_changes_nothing() -> None:
    mirror = holding(1, revision=10)
    assert mirror.apply(seen(10, 1)) == []
    assert not mirror.items[name(1)].envelope.flags.seen
    mirror.apply(removed(9, 1, 1))
    assert uids(mirror) == {1}


def test_a_newer_event_changes_the_item_and_moves_it_to_its_revision() -> None:
    mirror = holding(1, revision=10)
    mirror.apply(seen(12, 1))
    mirror.apply(seen(11, 1, is_seen=False))
    assert mirror.items[name(1)].envelope.flags.seen
    assert mirror.items[name(1)].revision == 12


def test_applying_an_event_twice_does_no_harm() -> None:
    mirror = holding(1)
    for event in (added(11, 2), seen(12, 2), removed(13, 1, 1)) * 2:
        assert mirror.apply(event) == []
    assert uids(mirror) == {2}
    assert mirror.items[name(2)].envelope.flags.seen


def test_a_removal_takes_every_uid_of_its_range_and_no_other_folder() -> None:
    mirror = holding(1, 2, 3, 9)
    mirror.put([message(2, SENT)], 10)
    mirror.apply(removed(11, 2, 5))
    assert set(mirror.items) == {name(1), name(9), name(2, SENT)}


def test_what_was_removed_does_not_come_back_by_an_older_page() -> None:
    mirror = holding(1, revision=10)
    mirror.apply(removed(20, 1, 3))
    mirror.put([message(1), message(2)], 15)
    assert uids(mirror) == set()
    mirror.put([message(2)], 25)
    assert uids(mirror) == {2}


def test_tombstones_go_once_events_have_passed_every_read_revision() -> None:
    mirror = holding(1, revision=30)
    mirror.apply(removed(20, 5, 5))
    assert not caught_up(mirror, 29)
    mirror.put([message(5)], 15)
    assert uids(mirror) == {1}
    assert caught_up(mirror, 30)
    assert mirror.token == "t30"
    mirror.put([message(5)], 15)
    assert uids(mirror) == {1, 5}


def test_flags_of_an_unknown_message_ask_for_the_message() -> None:
    assert holding().apply(seen(11, 7)) == [ReadEnvelope(name(7))]


def test_flags_of_a_message_removed_since_ask_for_nothing() -> None:
    mirror = holding()
    mirror.apply(removed(20, 7, 7))
    assert mirror.apply(seen(11, 7)) == []


def test_backfilled_history_asks_for_its_uids() -> None:
    stored = pb.Backfilled(uid_validity=1, uids=[UidRange(first=1, last=9), UidRange(first=20, last=20)])
    event = pb.Event(revision=11, folder=INBOX, backfilled=stored)
    assert holding().apply(event) == [ReadFolder(INBOX, ((1, 9), (20, 20)))]


def test_a_folder_reset_voids_the_old_uids_and_asks_for_the_folder() -> None:
    mirror = holding(1, 2)
    mirror.put([message(1, uid_validity=2)], 15)
    event = pb.Event(
        revision=12, folder=INBOX, folder_reset=pb.FolderReset(old_uid_validity=1, new_uid_validity=2)
    )
    assert mirror.apply(event) == [ReadFolder(INBOX)]
    assert set(mirror.items) == {name(1, uid_validity=2)}


def test_a_move_takes_the_message_from_one_folder_to_the_other() -> None:
    mirror = holding(1, 2)
    moved = pb.EnvelopeMoved(
        from_folder=INBOX, from_name=name(1), from_uid=1, from_uid_validity=1, envelope=message(7, SENT)
    )
    mirror.apply(pb.Event(revision=11, folder=SENT, envelope_moved=moved))
    assert set(mirror.items) == {name(2), name(7, SENT)}


@pytest.mark.parametrize(
    "event",
    [
        pb.Event(revision=11, folder=INBOX, folder_removed=pb.FolderRemoved()),
        pb.Event(
            revision=11,
            folder=INBOX,
            folder_changed=pb.FolderChanged(change=pb.FOLDER_CHANGE_DESELECTED),
        ),
    ],
)
def test_a_folder_that_is_gone_or_deselected_is_forgotten_with_its_envelopes(event: pb.Event) -> None:
    mirror = holding(1, 2)
    mirror.put([message(2, SENT)], 10)
    mirror.apply(event)
    assert set(mirror.items) == {name(2, SENT)}


def test_another_change_of_a_folder_leaves_its_envelopes() -> None:
    mirror = holding(1)
    renamed = pb.FolderChanged(change=pb.FOLDER_CHANGE_RENAMED)
    mirror.apply(pb.Event(revision=11, folder=INBOX, folder_changed=renamed))
    assert uids(mirror) == {1}


def test_evicted_envelopes_are_dropped_and_an_erased_event_says_nothing() -> None:
    mirror = holding(1, 2)
    evicted = pb.EnvelopesEvicted(uid_validity=1, uids=[UidRange(first=1, last=1)])
    mirror.apply(pb.Event(revision=11, folder=INBOX, envelopes_evicted=evicted))
    assert mirror.apply(pb.Event(revision=12)) == []
    assert uids(mirror) == {2}


def test_a_removed_account_leaves_nothing() -> None:
    mirror = holding(1)
    mirror.put([message(2, SENT)], 10)
    mirror.apply(pb.Event(revision=11, account_removed=pb.AccountRemoved(account=ACCOUNT)))
    assert mirror.items == {}


def test_a_mirror_made_of_kept_state_goes_on_where_the_old_one_stood() -> None:
    old = holding(1)
    old.advance(WatchEventsResponse(through_revision=10, resume_token="t10"))
    again = Mirror(ACCOUNT, old.token, old.through, old.items)
    again.apply(seen(10, 1))
    again.apply(seen(11, 1))
    assert again.items[name(1)].revision == 11
    assert again.token == "t10"


def test_a_mirror_made_of_kept_state_knows_that_it_was_not_caught_up() -> None:
    old = Mirror(ACCOUNT)
    # Read at 30, when nothing was there any more: no item tells of that revision.
    old.put([], 30)
    caught_up(old, 20)
    again = Mirror(ACCOUNT, old.token, old.through, old.items, read_revision=old.read_revision)
    assert not again.caught_up
    assert caught_up(again, 30)


@pytest.mark.parametrize("seed", range(200))
def test_a_list_read_while_the_mailbox_changes_then_its_events_give_the_mailbox(seed: int) -> None:
    random = Random(seed)
    mailbox = Mailbox(random, length=60)
    mirror = Mirror(ACCOUNT)
    start = random.randrange(60)
    at = start
    for first in range(1, 61, 10):
        mailbox.read(mirror, at, first, first + 9)
        at = min(60, at + random.randrange(8))
    for event in mailbox.events[start:]:
        if mirror.apply(event):
            head = random.randint(event.revision, 60)
            mailbox.read(mirror, head, event.flags_changed.uid, event.flags_changed.uid)
    held = {envelope.uid: envelope.flags.seen for envelope in mirror.envelopes()}
    assert held == mailbox.states[-1]
