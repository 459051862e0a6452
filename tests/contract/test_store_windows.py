"""What every engine promises about windows: what they leave out, what leaves them, and what is looked at to decide."""

from dataclasses import replace

import pytest

from mailsync_grpc.model.changes import EnvelopesEvicted, EventKind, FolderReset, NewEnvelope
from mailsync_grpc.model.envelope import Envelope, Partial, PartialReason
from mailsync_grpc.model.flags import NO_FLAGS
from mailsync_grpc.model.folder import FolderKey, FolderProgress, MirrorNo
from mailsync_grpc.model.ids import FolderNo, Revision
from mailsync_grpc.model.uidset import UidSet
from mailsync_grpc.store.base import Batch, ConflictError, Counter
from mailsync_grpc.store.values import Summary
from mailsync_grpc.v1 import event_pb2
from tests.support.store import EVERYTHING, Mailbox, message_of

FAR = 4_294_967_295


def leave_out(inbox: Mailbox, uids: str, folder: FolderKey | None = None) -> None:
    inbox.store.apply(Batch(inbox.account.key, outside=((folder or inbox.folder.key, UidSet.parse(uids)),)))


def outside(inbox: Mailbox) -> str:
    return str(inbox.store.outside(inbox.account.no, inbox.folder.mirror))


def test_what_a_window_leaves_out_is_replaced_as_a_whole(inbox: Mailbox) -> None:
    sent = Mailbox.make(inbox.store, name="Sent")
    head = inbox.store.stats().log_head
    assert outside(inbox) == ""
    leave_out(inbox, f"1:5,9,{FAR}")
    leave_out(sent, "7")
    assert (outside(inbox), outside(sent)) == (f"1:5,9,{FAR}", "7")
    leave_out(inbox, "2:3")
    assert outside(inbox) == "2:3"
    leave_out(inbox, "")
    assert (outside(inbox), outside(sent)) == ("", "7")
    assert inbox.store.stats().log_head == head


def test_what_a_window_leaves_out_goes_with_its_mirror(inbox: Mailbox) -> None:
    leave_out(inbox, "1:5")
    before = inbox.folder.key
    mirror = MirrorNo(inbox.store.allocate(Counter.MIRROR))
    inbox.folder = replace(inbox.folder, version=2, mirror=mirror)
    inbox.store.apply(Batch(inbox.account.key, (FolderReset(inbox.folder, before),)))
    assert outside(inbox) == ""
    with pytest.raises(ConflictError):
        leave_out(inbox, "1:5", before)


def test_what_a_window_leaves_out_of_another_account_is_refused(inbox: Mailbox) -> None:
    other = Mailbox.make(inbox.store, "other")
    with pytest.raises(ValueError, match="batch refused"):
        leave_out(inbox, "1", other.folder.key)


def test_a_refused_batch_leaves_the_window_as_it_was(inbox: Mailbox) -> None:
    leave_out(inbox, "1")
    unknown = inbox.folder.key._replace(no=inbox.folder.no, mirror=MirrorNo(99))
    change = ((inbox.folder.key, UidSet.of([2])), (unknown, UidSet.of([3])))
    with pytest.raises(ConflictError):
        inbox.store.apply(Batch(inbox.account.key, outside=change))
    assert outside(inbox) == "1"


def test_what_left_the_window_is_gone_and_told_as_evicted(inbox: Mailbox) -> None:
    inbox.backfill(*map(message_of, (1, 5, 128, 4_000)))
    evicted = EnvelopesEvicted(inbox.folder.key, UidSet.parse("1:128"))
    progress = ((inbox.folder.key, FolderProgress(cursor=4_000, stored=1)),)
    inbox.store.apply(
        Batch(inbox.account.key, (evicted,), progress, ((inbox.folder.key, UidSet.parse("1,5,128")),))
    )
    assert [row.uid for row in inbox.rows()] == [4_000]
    assert inbox.store.locate(inbox.account.no, message_of(5).envelope_id) is None
    record = inbox.store.log(Revision(inbox.store.stats().log_head - 1), 1, EVERYTHING).records[0]
    told = event_pb2.Event.FromString(record.event).envelopes_evicted
    assert record.kind is EventKind.ENVELOPES_EVICTED
    assert (record.folder, record.other_folder) == (inbox.folder.no, FolderNo(0))
    assert [(one.first, one.last) for one in told.uids] == [(1, 128)]
    assert told.uid_validity == 77


@pytest.mark.parametrize(
    "date", [0, 1, -1, 1 << 28, (1 << 35) - 1, 1 << 35, 253_402_300_799, -(1 << 40), None]
)
def test_a_summary_tells_any_date(inbox: Mailbox, date: int | None) -> None:
    inbox.add(NewEnvelope(7, bytes(10), NO_FLAGS, Envelope(internal_date=date, size=3, subject="x")))
    inbox.add(NewEnvelope(8, bytes(range(10)), NO_FLAGS, Envelope(internal_date=date)))
    assert inbox.store.summaries(inbox.account.no, inbox.folder.mirror, 0, 9) == [
        Summary(7, date, None),
        Summary(8, date, None),
    ]


def test_a_summary_tells_why_a_record_is_partial(inbox: Mailbox) -> None:
    # The tag of a partial record's field may stand in text too.
    whole = Envelope(5, references=("\u0092\x02", "x" * 274))
    inbox.add(NewEnvelope(1, bytes(10), NO_FLAGS, whole))
    for uid, reason in enumerate(PartialReason, 2):
        partial = whole._replace(partial=Partial(reason, "why"), truncated=True)
        inbox.add(NewEnvelope(uid, uid.to_bytes(10, "big"), NO_FLAGS, partial))
    found = inbox.store.summaries(inbox.account.no, inbox.folder.mirror, 0, 9)
    assert [summary.partial for summary in found] == [None, *PartialReason]


def test_summaries_come_by_pages_in_order_of_uid(inbox: Mailbox) -> None:
    store, account, mirror = inbox.store, inbox.account.no, inbox.folder.mirror
    inbox.backfill(*map(message_of, (1, 5, 300, FAR)))
    assert [one.uid for one in store.summaries(account, mirror, 0, 2)] == [1, 5]
    assert [one.uid for one in store.summaries(account, mirror, 5, 2)] == [300, FAR]
    assert [one.uid for one in store.summaries(account, mirror, 4, 1)] == [5]
    assert store.summaries(account, mirror, FAR, 9) == []
