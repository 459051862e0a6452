"""The replica's rules: the newer of page and event wins, what is gone stays gone, what is not carried is read."""

from typing import Any

import pytest

from mailsync_grpc.v1 import account_pb2, envelope_pb2, event_pb2, folder_pb2
from mailsync_grpc.v1 import event_service_pb2 as pb
from tests.support.replica import ReadEnvelope, ReadUids, Replica, differences, state_hash
from tests.support.stream_filter import Wanted

ACCOUNT = "accounts/a"
INBOX, SENT = f"{ACCOUNT}/folders/inbox", f"{ACCOUNT}/folders/sent"
SEEN = envelope_pb2.Flags(seen=True)


def envelope(
    uid: int, folder: str = INBOX, uid_validity: int = 7, subject: str = ""
) -> envelope_pb2.Envelope:
    name = f"{folder}/envelopes/{uid_validity}.{uid}"
    return envelope_pb2.Envelope(name=name, uid=uid, uid_validity=uid_validity, subject=subject)


def event(revision: int, folder: str = INBOX, **payload: Any) -> event_pb2.Event:
    return event_pb2.Event(revision=revision, account=ACCOUNT, folder=folder, **payload)


def removed(revision: int, first: int, last: int, folder: str = INBOX) -> event_pb2.Event:
    uids = [envelope_pb2.UidRange(first=first, last=last)]
    gone = event_pb2.EnvelopesRemoved(uid_validity=7, uids=uids)
    return event(revision, folder, envelopes_removed=gone)


def flagged(revision: int, uid: int) -> event_pb2.Event:
    name = f"{INBOX}/envelopes/7.{uid}"
    changed = event_pb2.FlagsChanged(name=name, uid=uid, uid_validity=7, flags=SEEN)
    return event(revision, flags_changed=changed)


@pytest.fixture
def replica() -> Replica:
    """A replica of an account, read at revision 10."""
    replica = Replica(Wanted.of(pb.EventFilter()))
    folders = [folder_pb2.Folder(name=name, uid_validity=7) for name in (INBOX, SENT)]
    replica.put([account_pb2.Account(name=ACCOUNT), *folders, envelope(1), envelope(2)], 10)
    return replica


def uids(replica: Replica, folder: str = INBOX) -> list[int]:
    return sorted(replica.flags(folder))


def test_an_event_older_than_the_page_changes_nothing(replica: Replica) -> None:
    replica.apply(removed(9, 1, 2))
    replica.apply(flagged(10, 1))
    assert uids(replica) == [1, 2]
    assert not replica.flags(INBOX)[1].seen


def test_a_newer_event_changes_what_was_read(replica: Replica) -> None:
    replica.apply(flagged(11, 1))
    replica.apply(removed(12, 2, 5))
    assert uids(replica) == [1]
    assert replica.flags(INBOX)[1].seen


def test_a_page_older_than_an_event_brings_nothing_back(replica: Replica) -> None:
    replica.apply(removed(14, 1, 1))
    replica.apply(flagged(15, 2))
    replica.put([envelope(1), envelope(2), envelope(3)], 13)
    assert uids(replica) == [2, 3]
    assert replica.flags(INBOX)[2].seen


def test_tombstones_last_until_events_have_passed_every_page(replica: Replica) -> None:
    replica.put([], 20)
    replica.apply(removed(14, 1, 1))
    replica.advance("t", 14)
    replica.put([envelope(1)], 13)
    assert uids(replica) == [2]
    replica.advance("t", 20)
    replica.put([envelope(1)], 21)
    assert uids(replica) == [1, 2]


def test_flags_of_an_unknown_envelope_are_read(replica: Replica) -> None:
    assert replica.apply(flagged(11, 3)) == [ReadEnvelope(f"{INBOX}/envelopes/7.3")]


def test_history_is_read(replica: Replica) -> None:
    spans = [envelope_pb2.UidRange(first=1, last=9)]
    told = event_pb2.Backfilled(uid_validity=7, uids=spans, count=4)
    assert replica.apply(event(11, backfilled=told)) == [ReadUids(INBOX, tuple(spans))]


def test_a_folder_that_is_renumbered_is_read_anew(replica: Replica) -> None:
    reset = event_pb2.FolderReset(old_uid_validity=7, new_uid_validity=8)
    assert replica.apply(event(11, folder_reset=reset)) == [ReadUids(INBOX)]
    assert uids(replica) == []
    replica.put([envelope(1, uid_validity=8)], 12)
    replica.put([envelope(1)], 10)
    assert uids(replica) == [1]
    assert b"\x08" in replica.state()[INBOX]


def test_a_move_takes_and_gives(replica: Replica) -> None:
    moved = event_pb2.EnvelopeMoved(
        from_folder=INBOX, from_name=envelope(1).name, from_uid=1, envelope=envelope(5, SENT)
    )
    replica.apply(event(11, SENT, envelope_moved=moved))
    assert (uids(replica), uids(replica, SENT)) == ([2], [5])


@pytest.mark.parametrize(
    ("payload", "left"),
    [
        (
            {
                "folder_changed": event_pb2.FolderChanged(
                    folder=folder_pb2.Folder(name=INBOX), change=event_pb2.FOLDER_CHANGE_DESELECTED
                )
            },
            {ACCOUNT, INBOX, SENT},
        ),
        ({"folder_removed": event_pb2.FolderRemoved()}, {ACCOUNT, SENT}),
        ({"account_removed": event_pb2.AccountRemoved(account=ACCOUNT)}, set()),
    ],
)
def test_what_a_folder_or_account_held_goes_with_it(
    replica: Replica, payload: dict[str, Any], left: set[str]
) -> None:
    replica.apply(event(11, **payload))
    replica.put([envelope(3)], 10)
    assert replica.state().keys() == left


def test_what_is_out_of_sight_is_forgotten(replica: Replica) -> None:
    replica.drop(ACCOUNT)
    assert replica.state() == {}


def test_a_replica_holds_no_more_than_its_filter_passes() -> None:
    replica = Replica(Wanted.of(pb.EventFilter(folders=[SENT])))
    accounts = [account_pb2.Account(name=name) for name in (ACCOUNT, "accounts/b")]
    replica.put([*accounts, folder_pb2.Folder(name=INBOX), envelope(1), envelope(2, SENT)], 3)
    assert replica.state().keys() == {ACCOUNT, envelope(2, SENT).name}


def test_states_are_compared_item_by_item(replica: Replica) -> None:
    before = replica.state()
    replica.apply(flagged(11, 1))
    replica.apply(removed(12, 2, 2))
    after = replica.state()
    assert state_hash(before) != state_hash(after)
    gone, changed = differences(before, after)
    assert gone == f"only the left has {envelope(2).name}"
    assert changed.startswith(envelope(1).name)
