"""What every engine promises about finding a message again: in another folder, or under another numbering."""

from dataclasses import replace

import pytest

from mailsync_grpc.model.changes import (
    AccountRemoved,
    Backfilled,
    Change,
    EnvelopeMoved,
    FolderChanged,
    FolderChangeKind,
    FolderRemoved,
    FolderReset,
    FolderSynced,
    NewEnvelope,
)
from mailsync_grpc.model.envelope import Envelope
from mailsync_grpc.model.evidence import MARK_BYTES, MoveEvidence, envelope_id, evidence_of
from mailsync_grpc.model.flags import NO_FLAGS
from mailsync_grpc.model.folder import Folder, MirrorNo
from mailsync_grpc.model.ids import ID_BYTES
from mailsync_grpc.model.uidset import UidSet
from mailsync_grpc.store.base import Batch, ConflictError, Counter
from mailsync_grpc.store.values import EnvelopePlace, Twin
from tests.support.store import EVERYTHING, Mailbox, copy_of, message_of


def apply(inbox: Mailbox, *changes: Change) -> None:
    inbox.store.apply(Batch(inbox.account.key, changes))


def mark(message: NewEnvelope) -> bytes:
    return message.envelope_id[:MARK_BYTES]


def twin(folder: Folder, message: NewEnvelope, *, former: bool = False) -> Twin:
    evidence = evidence_of(message.envelope)
    assert evidence is not None
    return Twin(folder.no, folder.mirror, message.uid, message.envelope_id, evidence, former)


def twins(inbox: Mailbox, *messages: NewEnvelope) -> list[Twin]:
    return inbox.store.twins(inbox.account.no, [mark(message) for message in messages])


def renumbered(inbox: Mailbox, folder: Folder) -> Folder:
    """The folder's next record, with a mirror of its own."""
    mirror = MirrorNo(inbox.store.allocate(Counter.MIRROR))
    return replace(folder, version=folder.version + 1, mirror=mirror, uid_validity=folder.uid_validity + 1)


def reset(inbox: Mailbox) -> Folder:
    """Give the folder another numbering and return the record before."""
    before, inbox.folder = inbox.folder, renumbered(inbox, inbox.folder)
    apply(inbox, FolderReset(inbox.folder, before.key))
    return before


def purge(inbox: Mailbox) -> None:
    while inbox.store.purge(3):
        pass


def test_the_same_message_is_found_in_every_folder_of_the_account(inbox: Mailbox) -> None:
    archive, other = Mailbox.make(inbox.store, name="Archive"), Mailbox.make(inbox.store, "other")
    message, copy = message_of(7), copy_of(message_of(7), 3)
    inbox.add(message, message_of(8))
    archive.backfill(copy)
    other.add(message)
    found = twins(inbox, message, message_of(9))
    assert sorted(found) == sorted([twin(inbox.folder, message), twin(archive.folder, copy)])
    assert twins(inbox, message_of(8)) == [twin(inbox.folder, message_of(8))]


def test_the_servers_own_id_of_a_message_is_its_evidence(inbox: Mailbox) -> None:
    envelope = Envelope(email_id="M1", message_id="1@example.org", internal_date=5)
    message = NewEnvelope(1, envelope_id(envelope, bytes(ID_BYTES)), NO_FLAGS, envelope)
    inbox.add(message)
    assert [found.evidence for found in twins(inbox, message)] == [("M1",)]


def test_a_message_without_evidence_is_nobodys_twin(inbox: Mailbox) -> None:
    message = NewEnvelope(1, bytes(ID_BYTES), NO_FLAGS, Envelope(message_id="1@example.org"))
    inbox.add(message)
    assert twins(inbox, message) == []


def test_a_message_that_moved_is_found_where_it_is_now_only(inbox: Mailbox) -> None:
    archive, message = Mailbox.make(inbox.store, name="Archive"), message_of(7)
    inbox.add(message)
    there = message._replace(uid=3)
    apply(
        inbox,
        EnvelopeMoved(inbox.folder.key, 7, archive.folder.key, there, MoveEvidence.MESSAGE_ID_SIZE_DATE),
    )
    assert twins(inbox, message) == [twin(archive.folder, there)]


def test_what_an_old_numbering_held_is_found_as_former_and_in_no_other_way(inbox: Mailbox) -> None:
    message = message_of(7, "\\Seen")
    inbox.add(message)
    inbox.store.apply(Batch(inbox.account.key, outside=((inbox.folder.key, UidSet.span(1, 5)),)))
    before = reset(inbox)
    assert twins(inbox, message) == [twin(before, message, former=True)]
    store, account = inbox.store, inbox.account.no
    assert not store.outside(account, before.mirror)
    assert store.summaries(account, before.mirror, 0, 9) == []
    assert store.page(before, None, 9, EVERYTHING).rows == []
    assert store.envelope(before, 7) is None
    assert store.known(before, [7]) == []
    assert store.locate(account, message.envelope_id) is None
    assert store.flag_blocks(account, before.mirror, 0, 9) == []
    assert store.newest_uids(account, before.mirror, 9) == []
    with pytest.raises(ConflictError):
        apply(inbox, Backfilled(before.key, (message_of(8),)))


def test_an_id_that_was_rebound_is_found_under_the_new_numbering(inbox: Mailbox) -> None:
    message, lost = message_of(7), message_of(8)
    inbox.add(message, lost)
    before = reset(inbox)
    bound = message._replace(uid=1)
    inbox.backfill(bound)
    assert twins(inbox, message, lost) == [twin(inbox.folder, bound), twin(before, lost, former=True)]
    assert inbox.store.locate(inbox.account.no, message.envelope_id) == EnvelopePlace(inbox.folder.no, 1)


def test_the_former_mirrors_of_a_folder_are_dropped_when_it_is_synced(inbox: Mailbox) -> None:
    """However often it was renumbered meanwhile, and no other folder's."""
    archive = Mailbox.make(inbox.store, name="Archive")
    kept, first, second = message_of(6), message_of(7), message_of(8)
    archive.add(kept)
    old_archive = reset(archive)
    inbox.add(first)
    reset(inbox)
    inbox.add(second)
    before = reset(inbox)
    assert [found.former for found in twins(inbox, first, second)] == [True, True]
    inbox.backfill(message_of(9))
    apply(inbox, FolderSynced(inbox.folder.key, 1))
    assert twins(inbox, first, second) == []
    purge(inbox)
    assert inbox.store.stats().envelopes == 2
    assert twins(inbox, kept) == [twin(old_archive, kept, former=True)]
    assert [row.uid for row in inbox.rows()] == [9]
    assert inbox.store.page(before, None, 9, EVERYTHING).rows == []


@pytest.mark.parametrize("end", ["removed", "deselected", "account-removed"])
def test_former_mirrors_go_with_their_folder(inbox: Mailbox, end: str) -> None:
    message = message_of(7)
    inbox.add(message)
    reset(inbox)
    inbox.add(message_of(8))
    ends: dict[str, Change] = {
        "removed": FolderRemoved(inbox.folder),
        "deselected": FolderChanged(renumbered(inbox, inbox.folder), FolderChangeKind.DESELECTED),
        "account-removed": AccountRemoved(inbox.account.key),
    }
    apply(inbox, ends[end])
    assert twins(inbox, message, message_of(8)) == []
    purge(inbox)
    assert inbox.store.stats().envelopes == 0


def test_a_folder_renamed_before_it_is_synced_again_keeps_its_former_mirror(inbox: Mailbox) -> None:
    inbox.add(message_of(7))
    before = reset(inbox)
    inbox.rename("Renamed")
    assert twins(inbox, message_of(7)) == [twin(before, message_of(7), former=True)]
