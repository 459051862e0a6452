"""What every engine promises about batches: what they store, what they refuse, and that they do it wholly."""

import threading
from dataclasses import replace

import pytest

from mailsync_grpc.errors import FolderNotFoundError
from mailsync_grpc.model.changes import (
    AccountChanged,
    Backfilled,
    Change,
    EnvelopeAdded,
    EnvelopesRemoved,
    FolderChanged,
    FolderChangeKind,
    FolderRemoved,
    FolderReset,
    FolderSynced,
)
from mailsync_grpc.model.flags import NO_FLAGS, Flags
from mailsync_grpc.model.folder import FolderProgress, MirrorNo
from mailsync_grpc.model.ids import FolderNo, Revision
from mailsync_grpc.model.uidset import UidSet
from mailsync_grpc.store.base import Batch, ConflictError, Counter
from mailsync_grpc.store.values import EnvelopePlace, RecordedAnswer
from tests.support.store import (
    EVERYTHING,
    Mailbox,
    folder_of,
    message_of,
)


def apply(inbox: Mailbox, *changes: Change) -> None:
    inbox.store.apply(Batch(inbox.account.key, changes))


def test_a_refused_batch_leaves_no_trace(inbox: Mailbox) -> None:
    """Rows, events, progress, runs and the answer of a batch are all there or none is."""
    store = inbox.store
    head = store.log(Revision(0), 100, EVERYTHING).head
    batch = Batch(
        inbox.account.key,
        (EnvelopeAdded(inbox.folder.key, message_of(1)), FolderChanged(inbox.folder, FolderChangeKind.STATE)),
        ((inbox.folder.key, FolderProgress(cursor=9)),),
        answer=RecordedAnswer("scope", "id", b"f", b"r"),
    )
    with pytest.raises(ConflictError):
        store.apply(batch)
    assert store.log(Revision(0), 100, EVERYTHING).head == head
    assert inbox.rows() == []
    assert store.flag_blocks(inbox.account.no, inbox.folder.mirror, 0, 10) == []
    assert store.folder_by_no(inbox.account.no, inbox.folder.no) == (inbox.folder, FolderProgress())
    assert store.recorded_answer("scope", "id") is None


def test_revisions_are_dense_over_batches(inbox: Mailbox) -> None:
    before = inbox.store.log(Revision(0), 1, EVERYTHING).head
    first = inbox.add(message_of(1), message_of(2))
    empty = inbox.store.apply(Batch(inbox.account.key, (), ((inbox.folder.key, FolderProgress(cursor=2)),)))
    second = inbox.add(message_of(3))
    assert first == (before + 1, before + 2)
    assert empty == (before + 3, before + 2)
    assert second == (before + 3, before + 3)


def test_folders_and_their_progress_are_read_back(inbox: Mailbox) -> None:
    sent = Mailbox.make(inbox.store, name="Sent")
    progress = FolderProgress(
        cursor=7, pending=UidSet.parse("1:3,5"), expected_exists=3, stored=2, synced=True
    )
    inbox.store.apply(Batch(inbox.account.key, (), ((sent.folder.key, progress),)))
    assert inbox.store.folders(inbox.account.no) == [
        (inbox.folder, FolderProgress()),
        (sent.folder, progress),
    ]
    assert inbox.store.folder(inbox.account.no, sent.folder.id) == (sent.folder, progress)
    assert inbox.store.folder(inbox.account.no, bytes(10)) is None


def test_progress_of_an_unknown_folder_is_refused(inbox: Mailbox) -> None:
    unknown = inbox.folder.key._replace(no=FolderNo(99), mirror=MirrorNo(99))
    with pytest.raises(FolderNotFoundError):
        inbox.store.apply(Batch(inbox.account.key, (), ((unknown, FolderProgress()),)))


def test_touch_records_the_last_look_without_an_event(inbox: Mailbox) -> None:
    head = inbox.store.stats().log_head
    inbox.store.touch([(inbox.account.no, inbox.folder.no, 5_000), (inbox.account.no, FolderNo(99), 1)])
    found = inbox.store.folder_by_no(inbox.account.no, inbox.folder.no)
    assert found is not None
    assert found[1] == FolderProgress(as_of=5_000)
    assert inbox.store.folder_by_no(inbox.account.no, FolderNo(99)) is None
    assert inbox.store.stats().log_head == head


@pytest.mark.parametrize("announced", [True, False], ids=["added", "backfilled"])
def test_a_stored_message_is_found_in_every_way(inbox: Mailbox, announced: bool) -> None:
    message = message_of(300, "\\Seen", "work")
    (inbox.add if announced else inbox.backfill)(message)
    store, account, mirror = inbox.store, inbox.account.no, inbox.folder.mirror
    row = store.envelope(inbox.folder, 300)
    assert row is not None
    assert inbox.rows() == [row]
    assert store.locate(account, message.envelope_id) == EnvelopePlace(inbox.folder.no, 300)
    known = store.known(inbox.folder, [299, 300, 301])
    assert known == [(300, message.envelope_id, message.envelope.message_id, message.envelope.subject)]
    assert store.newest_uids(account, mirror, 5) == [300]
    assert store.flag_table(account, mirror) == {message.flags.hash: message.flags}


def test_a_uid_stored_again_replaces_what_was_there(inbox: Mailbox) -> None:
    old, new = message_of(4, text="old"), message_of(4, "\\Seen", text="new")
    inbox.add(old)
    inbox.backfill(new, message_of(5))
    assert [row.envelope_id for row in inbox.rows()] == [new.envelope_id, message_of(5).envelope_id]
    assert inbox.store.locate(inbox.account.no, old.envelope_id) is None
    assert inbox.store.locate(inbox.account.no, new.envelope_id) == EnvelopePlace(inbox.folder.no, 4)


def test_changed_flags_are_what_is_read_from_then_on(inbox: Mailbox) -> None:
    inbox.add(message_of(1), message_of(2))
    before, flagged = inbox.rows()[0], Flags.of(["\\Flagged"])
    inbox.flag(2, NO_FLAGS, flagged)
    untouched, row = inbox.rows()
    assert untouched == before
    assert row.flags != untouched.flags
    assert flagged in inbox.store.flag_table(inbox.account.no, inbox.folder.mirror).values()


def test_flags_of_a_message_that_is_not_stored_conflict(inbox: Mailbox) -> None:
    inbox.add(message_of(1))
    with pytest.raises(ConflictError):
        inbox.flag(2, NO_FLAGS, Flags.of(["\\Seen"]))


def test_removed_messages_are_gone_whatever_the_ranges_span(inbox: Mailbox) -> None:
    inbox.backfill(*(message_of(uid) for uid in (1, 5, 127, 128, 129, 4_000_000_000)))
    apply(inbox, EnvelopesRemoved(inbox.folder.key, UidSet.parse("2:128,4294967295")))
    assert [row.uid for row in inbox.rows()] == [1, 129, 4_000_000_000]
    assert inbox.store.locate(inbox.account.no, message_of(5).envelope_id) is None
    assert inbox.store.newest_uids(inbox.account.no, inbox.folder.mirror, 2) == [129, 4_000_000_000]


def test_an_id_that_is_somewhere_else_by_now_stays_there(inbox: Mailbox) -> None:
    """A message stored in its new folder keeps its place when the old one is removed, replaced, reset or dropped."""
    message, moved = message_of(1), Mailbox.make(inbox.store, name="Moved")
    place = EnvelopePlace(moved.folder.no, 1)

    def move() -> None:
        inbox.add(message)
        moved.add(message)

    move()
    apply(inbox, EnvelopesRemoved(inbox.folder.key, UidSet.of([1])))
    assert inbox.store.locate(inbox.account.no, message.envelope_id) == place
    move()
    inbox.add(message_of(1, text="another"))
    assert inbox.store.locate(inbox.account.no, message.envelope_id) == place
    move()
    apply(inbox, FolderRemoved(inbox.folder))
    while inbox.store.purge(10):
        pass
    assert inbox.store.locate(inbox.account.no, message.envelope_id) == place


def test_within_one_batch_too_a_replaced_mirror_takes_no_more(inbox: Mailbox) -> None:
    key = inbox.folder.key
    new = replace(inbox.folder, version=2, mirror=MirrorNo(inbox.store.allocate(Counter.MIRROR)))
    with pytest.raises(ConflictError):
        apply(
            inbox, EnvelopeAdded(key, message_of(1)), FolderReset(new, key), EnvelopeAdded(key, message_of(2))
        )
    assert len(inbox.rows()) == 0


def test_all_changes_of_a_batch_are_made_in_order(inbox: Mailbox) -> None:
    key = inbox.folder.key
    apply(
        inbox,
        Backfilled(key, (message_of(2), message_of(1))),
        EnvelopesRemoved(key, UidSet.parse("1:2")),
        EnvelopeAdded(key, message_of(1, text="again")),
    )
    assert [row.envelope_id for row in inbox.rows()] == [message_of(1, text="again").envelope_id]


def test_uidvalidity_change_hides_the_old_mirror_at_once(inbox: Mailbox) -> None:
    """A RESET's new mirror is empty, ids may be bound to it, and purging the old one leaves them alone."""
    old, message = inbox.folder, message_of(1)
    inbox.backfill(message, message_of(2), progress=FolderProgress(cursor=2, stored=2))
    mirror = MirrorNo(inbox.store.allocate(Counter.MIRROR))
    new = replace(old, version=2, mirror=mirror, uid_validity=78)
    apply(inbox, FolderReset(new, old.key))
    assert inbox.store.folder_by_no(inbox.account.no, old.no) == (new, FolderProgress())
    for folder in (old, new):
        assert inbox.store.page(folder, None, 10, EVERYTHING).rows == []
        assert inbox.store.known(folder, [1, 2]) == []
        assert inbox.store.flag_table(inbox.account.no, folder.mirror) == {}
    assert inbox.store.locate(inbox.account.no, message.envelope_id) is None
    apply(inbox, Backfilled(new.key, (message,)))
    while inbox.store.purge(2):
        pass
    assert inbox.store.locate(inbox.account.no, message.envelope_id) == EnvelopePlace(old.no, 1)


def test_a_change_to_a_mirror_that_was_replaced_conflicts(inbox: Mailbox) -> None:
    mirror = MirrorNo(inbox.store.allocate(Counter.MIRROR))
    apply(inbox, FolderReset(replace(inbox.folder, version=2, mirror=mirror), inbox.folder.key))
    with pytest.raises(ConflictError):
        inbox.add(message_of(1))
    with pytest.raises(ConflictError):
        inbox.store.apply(Batch(inbox.account.key, (), ((inbox.folder.key, FolderProgress(cursor=1)),)))


def test_a_removed_folder_and_its_mail_are_gone(inbox: Mailbox) -> None:
    message = message_of(1)
    inbox.add(message)
    apply(inbox, FolderRemoved(inbox.folder))
    store = inbox.store
    assert store.folders(inbox.account.no) == []
    assert store.folder(inbox.account.no, inbox.folder.id) is None
    assert store.envelope(inbox.folder, 1) is None
    assert store.locate(inbox.account.no, message.envelope_id) is None
    for change in (
        EnvelopeAdded(inbox.folder.key, message),
        FolderSynced(inbox.folder.key, 1),
        FolderRemoved(inbox.folder),
    ):
        with pytest.raises(FolderNotFoundError):
            apply(inbox, change)


@pytest.mark.parametrize(
    "messages",
    [(), (message_of(1), message_of(1)), (message_of(0),), (message_of(1, envelope_id=b"short"),)],
    ids=["none", "twice", "uid-zero", "short-id"],
)
def test_a_batch_that_breaks_the_protocol_is_refused_before_the_commit(
    inbox: Mailbox, messages: tuple[()]
) -> None:
    with pytest.raises(ValueError, match="batch refused"):
        inbox.backfill(*messages)


def test_a_batch_changes_one_account(inbox: Mailbox) -> None:
    other = Mailbox.make(inbox.store, "other")
    with pytest.raises(ValueError, match="batch refused"):
        apply(inbox, EnvelopeAdded(other.folder.key, message_of(1)))


def test_group_commit_isolation(inbox: Mailbox) -> None:
    """Batches of many threads are committed together, and those that are refused leave the others alone."""
    boxes = [Mailbox.make(inbox.store, name=f"Folder {number}") for number in range(8)]
    refused: list[int] = []

    def write(number: int) -> None:
        for uid in range(1, 21):
            boxes[number].add(message_of(uid))
            with pytest.raises(ConflictError):
                inbox.store.apply(Batch(inbox.account.key, (AccountChanged(inbox.account),)))
            refused.append(number)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(len(boxes))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(refused) == 160
    assert all([row.uid for row in box.rows()] == list(range(1, 21)) for box in boxes)
    revisions = [record.revision for record in inbox.store.log(Revision(0), 1_000, EVERYTHING).records]
    assert revisions == list(range(1, len(revisions) + 1))


def test_a_folder_that_is_new_must_begin_with_its_first_version(inbox: Mailbox) -> None:
    late = replace(folder_of(inbox.store, inbox.account.key, "Late"), version=2)
    with pytest.raises(ConflictError):
        apply(inbox, FolderChanged(late, FolderChangeKind.CREATED))
