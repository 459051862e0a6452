"""What every engine promises about reading: pages, flag blocks, the log and its retention, waiting, replay."""

import threading
import time
from dataclasses import replace

import pytest

from mailsync_grpc.errors import RevisionCompactedError, RevisionInFutureError
from mailsync_grpc.model.account import AccountState
from mailsync_grpc.model.changes import (
    AccountChanged,
    AccountRemoved,
    Backfilled,
    EnvelopesRemoved,
    EventKind,
    FolderChanged,
    FolderChangeKind,
    FolderRemoved,
    FolderReset,
    FolderSynced,
    SyncRunChanged,
)
from mailsync_grpc.model.flags import NO_FLAGS, Flags
from mailsync_grpc.model.folder import FolderProgress, MirrorNo, Selection
from mailsync_grpc.model.ids import Revision
from mailsync_grpc.model.uidset import UidSet
from mailsync_grpc.store import flagblocks
from mailsync_grpc.store.base import KEPT_LOG, Batch, Counter, Store
from mailsync_grpc.store.values import Trimmed
from mailsync_grpc.v1 import event_pb2
from tests.support.replay import Replayer, listed
from tests.support.store import EVERYTHING, Mailbox, ManualClock, message_of, run_of

UIDS = (1, 2, 127, 128, 129, 500, 4_294_967_295)
ORIGIN = Revision(0)


@pytest.mark.parametrize("newest_first", [True, False])
@pytest.mark.parametrize("size", [1, 2, 3, 7, 50])
def test_pages_cover_the_folder_once_in_either_direction(
    inbox: Mailbox, newest_first: bool, size: int
) -> None:
    Mailbox.make(inbox.store, name="Before").backfill(message_of(9))
    inbox.backfill(*map(message_of, UIDS))
    Mailbox.make(inbox.store, name="After").backfill(message_of(9))
    seen: list[int] = []
    more = True
    while more:
        after = seen[-1] if seen else None
        page = inbox.store.page(inbox.folder, after, size, EVERYTHING, newest_first)
        assert page.read_revision == inbox.store.stats().log_head
        seen += [row.uid for row in page.rows]
        more = page.more
    assert seen == sorted(UIDS, reverse=newest_first)


def test_a_page_holds_at_least_one_row_then_no_more_than_the_bound(inbox: Mailbox) -> None:
    inbox.backfill(*map(message_of, UIDS))
    sizes = [row.octets for row in inbox.rows()]
    for bound, expected in ((1, 1), (sum(sizes[:2]), 2), (sum(sizes[:3]) - 1, 2)):
        page = inbox.store.page(inbox.folder, None, 10, bound, newest_first=False)
        assert (len(page.rows), page.more) == (expected, True)


def test_a_page_beyond_the_last_message_is_empty(inbox: Mailbox) -> None:
    inbox.backfill(*map(message_of, UIDS))
    for after, newest_first in ((UIDS[0], True), (UIDS[-1], False)):
        page = inbox.store.page(inbox.folder, after, 10, EVERYTHING, newest_first)
        assert (page.rows, page.more) == ([], False)


def test_known_messages_come_in_the_order_asked_for(inbox: Mailbox) -> None:
    inbox.backfill(*map(message_of, UIDS))
    assert [known.uid for known in inbox.store.known(inbox.folder, [500, 3, 1])] == [500, 1]


def test_flag_blocks_are_what_packing_the_folder_gives(inbox: Mailbox) -> None:
    seen = Flags.of(["\\Seen"])
    inbox.backfill(*(message_of(uid, "\\Seen") for uid in UIDS))
    packed = flagblocks.pack(UIDS, [seen.hash] * len(UIDS))
    blocks = inbox.store.flag_blocks(inbox.account.no, inbox.folder.mirror, 0, 100)
    assert dict(blocks) == packed
    assert [block.number for block in blocks] == sorted(packed)
    assert inbox.store.flag_blocks(inbox.account.no, inbox.folder.mirror, 1, 1) == blocks[1:2]
    for count in (0, 1, 3, 7, 100):
        newest = inbox.store.newest_uids(inbox.account.no, inbox.folder.mirror, count)
        assert newest == list(UIDS[max(len(UIDS) - count, 0) :])


def test_the_log_tells_each_change_as_it_was_committed(inbox: Mailbox, clock: ManualClock) -> None:
    clock.now += 0.25
    message = message_of(7, "\\Seen")
    batch = Batch(inbox.account.key, (Backfilled(inbox.folder.key, (message,)),), request_id="request-1")
    revision = inbox.store.apply(batch).last
    (record,) = inbox.store.log(Revision(revision - 1), 10, EVERYTHING).records
    assert record[:6] == (
        revision, round(clock.now * 1000), EventKind.BACKFILLED, inbox.account.no, inbox.folder.no, 0
    )  # fmt: skip
    event = event_pb2.Event.FromString(record.event)
    assert event.revision == revision
    assert event.commit_time.ToMilliseconds() == record.commit_time
    assert (event.account, event.folder) == (inbox.account.name, inbox.folder.name)
    assert event.request_id == "request-1"
    assert event.backfilled.count == 1
    assert record.check == inbox.store.log_check(revision) != 0


def test_commit_times_never_go_back(inbox: Mailbox, clock: ManualClock) -> None:
    inbox.add(message_of(1))
    clock.now -= 1_000
    inbox.add(message_of(2))
    times = [record.commit_time for record in inbox.store.log(ORIGIN, 10, EVERYTHING).records]
    assert times == sorted(times)


def test_the_log_is_read_in_slices_of_at_least_one_record(inbox: Mailbox) -> None:
    inbox.add(*map(message_of, range(1, 6)))
    whole = inbox.store.log(ORIGIN, 100, EVERYTHING)
    assert (whole.floor, whole.head) == (0, 7)
    assert [record.revision for record in whole.records] == list(range(1, 8))
    assert inbox.store.log(Revision(2), 2, EVERYTHING).records == whole.records[2:4]
    assert inbox.store.log(Revision(2), 100, 1).records == whole.records[2:3]
    two = sum(len(record.event) for record in whole.records[2:4])
    assert inbox.store.log(Revision(2), 100, two).records == whole.records[2:4]
    assert inbox.store.log(Revision(7), 100, EVERYTHING).records == []


def test_revision_zero_and_future(inbox: Mailbox) -> None:
    assert inbox.store.log_check(ORIGIN) == 0
    for read in (lambda: inbox.store.log(Revision(3), 1, 1), lambda: inbox.store.log_check(Revision(3))):
        with pytest.raises(RevisionInFutureError):
            read()


def test_old_events_are_dropped_and_their_positions_compacted(inbox: Mailbox, clock: ManualClock) -> None:
    inbox.add(*map(message_of, range(1, 4)))
    clock.now += 2 * KEPT_LOG
    inbox.add(message_of(4))
    checks = {revision: inbox.store.log_check(Revision(revision)) for revision in range(7)}
    assert inbox.store.trim_log(2 * KEPT_LOG - 1, EVERYTHING, 2) == Trimmed(2, 0, more=True)
    assert inbox.store.trim_log(2 * KEPT_LOG - 1, EVERYTHING, 100) == Trimmed(3, 0, more=False)
    kept = inbox.store.log(Revision(5), 10, EVERYTHING)
    assert (kept.floor, kept.head, [record.revision for record in kept.records]) == (5, 6, [6])
    assert [inbox.store.log_check(Revision(revision)) for revision in (5, 6)] == [checks[5], checks[6]]
    for read in (lambda: inbox.store.log(Revision(4), 1, 1), lambda: inbox.store.log_check(Revision(4))):
        with pytest.raises(RevisionCompactedError) as caught:
            read()
        assert (caught.value.floor, caught.value.head) == (5, 6)


def test_an_emptied_log_still_knows_its_head(inbox: Mailbox, clock: ManualClock) -> None:
    check = inbox.store.log_check(Revision(2))
    clock.now += 100 * KEPT_LOG
    assert not inbox.store.trim_log(KEPT_LOG, EVERYTHING, 100).more
    assert inbox.store.log(Revision(2), 10, EVERYTHING) == ([], 2, 2)
    assert inbox.store.log_check(Revision(2)) == check
    stats = inbox.store.stats()
    assert (stats.log_bytes, stats.log_oldest_time, stats.log_newest_time) == (0, 0, 0)
    assert inbox.add(message_of(1)).first == 3


def test_size_drops_events_too_but_none_younger_than_an_hour(inbox: Mailbox, clock: ManualClock) -> None:
    inbox.add(*map(message_of, range(1, 4)))
    assert inbox.store.trim_log(EVERYTHING, 0, 100) == Trimmed(0, 0, more=False)
    assert inbox.store.stats().log_floor == 0
    clock.now += KEPT_LOG + 1
    inbox.add(message_of(4))
    newest = len(inbox.store.log(Revision(5), 1, EVERYTHING).records[0].event)
    assert inbox.store.trim_log(EVERYTHING, newest, 100) == Trimmed(0, 5, more=False)
    stats = inbox.store.stats()
    assert (stats.log_floor, stats.log_head, stats.log_bytes) == (5, 6, newest)


def test_what_is_too_old_goes_by_age_and_what_is_too_much_then_by_size(
    inbox: Mailbox, clock: ManualClock
) -> None:
    inbox.add(*map(message_of, range(1, 4)))
    clock.now += 2 * KEPT_LOG
    inbox.add(*map(message_of, range(4, 6)))
    clock.now += KEPT_LOG + 1
    assert inbox.store.trim_log(2 * KEPT_LOG, 1, 100) == Trimmed(5, 2, more=False)


def test_the_times_of_the_oldest_and_the_newest_kept_event_are_told(
    inbox: Mailbox, clock: ManualClock
) -> None:
    first = int(clock.now * 1_000)
    clock.now += 60
    inbox.add(message_of(1))
    stats = inbox.store.stats()
    assert (stats.log_oldest_time, stats.log_newest_time) == (first, first + 60_000)


def test_purge_erases_the_payloads_of_a_removed_account_while_coverage_stays(inbox: Mailbox) -> None:
    other = Mailbox.make(inbox.store, "other")
    inbox.add(message_of(1))
    other.add(message_of(1))
    before = inbox.store.log(ORIGIN, 100, EVERYTHING).records
    inbox.store.apply(Batch(inbox.account.key, (AccountRemoved(inbox.account.key),)))
    while inbox.store.purge(2):
        pass
    *after, removal = inbox.store.log(ORIGIN, 100, EVERYTHING).records
    mine = inbox.account.no
    assert after == [record._replace(event=b"") if record.account == mine else record for record in before]
    assert event_pb2.Event.FromString(removal.event).account_removed.account == inbox.account.name
    assert inbox.store.stats().log_bytes == sum(len(record.event) for record in (*after, removal))


def test_no_step_of_a_purge_shows_an_account_half_erased(inbox: Mailbox) -> None:
    inbox.add(*map(message_of, range(1, 6)))
    inbox.store.apply(Batch(inbox.account.key, (AccountRemoved(inbox.account.key),)))
    more = True
    while more:
        *told, removal = inbox.store.log(ORIGIN, 100, EVERYTHING).records
        assert removal.event
        assert not any(record.event for record in told)
        more = inbox.store.purge(1)


def test_purge_works_in_pieces_and_says_when_nothing_is_left(inbox: Mailbox) -> None:
    inbox.backfill(*map(message_of, range(1, 301)))
    assert not inbox.store.purge(10)
    inbox.store.apply(Batch(inbox.account.key, (AccountRemoved(inbox.account.key),)))
    calls = 1
    while inbox.store.purge(10):
        calls += 1
    assert calls > 30
    assert inbox.store.stats().envelopes == inbox.store.stats().accounts == 0


def test_waiting_ends_with_the_commit(inbox: Mailbox) -> None:
    head = inbox.store.stats().log_head
    writer = threading.Thread(target=lambda: inbox.add(message_of(1)))
    started = time.monotonic()
    writer.start()
    assert inbox.store.wait_for_commit(head, 60) == head + 1
    assert time.monotonic() - started < 30
    writer.join()
    assert inbox.store.wait_for_commit(head, 60) == head + 1


def test_waiting_ends_with_its_time(inbox: Mailbox) -> None:
    head = inbox.store.stats().log_head
    assert inbox.store.wait_for_commit(head, 0.05) == head
    assert inbox.store.wait_for_commit(ORIGIN, 0) == head


def test_every_store_has_an_epoch_of_its_own(store: Store) -> None:
    assert len(store.epoch) == 16
    assert store.epoch != bytes(16)


def test_replaying_the_log_gives_the_store(inbox: Mailbox) -> None:
    """Every kind of change, folded from the beginning and, meanwhile, as it comes, gives what the store lists."""
    store, live = inbox.store, Replayer(inbox.store)
    doomed = Mailbox.make(store, name="Doomed")
    doomed.add(message_of(1))
    inbox.backfill(*map(message_of, range(1, 200)))
    live.catch_up()
    inbox.add(message_of(200, "$Label1", "\\Seen"), message_of(201))
    inbox.flag(5, NO_FLAGS, Flags.of(["\\Answered", "x"]))
    inbox.rename("Renamed")
    run, account = run_of(store, inbox.account.key), inbox.account
    mirror = MirrorNo(store.allocate(Counter.MIRROR))
    reset = replace(inbox.folder, version=inbox.folder.version + 1, mirror=mirror, uid_validity=99)
    deselected = replace(
        reset, version=reset.version + 1, mirror=MirrorNo(store.allocate(Counter.MIRROR)), selection=Selection.DESELECTED
    )  # fmt: skip
    for change in (
        EnvelopesRemoved(
            inbox.folder.key, UidSet.parse("3:9,200"), tuple(store.known(inbox.folder, [3, 200]))
        ),
        FolderSynced(inbox.folder.key, 193),
        AccountChanged(account.in_state(AccountState.AUTH_FAILED, 9, "IMAP_AUTH_FAILED", "no")),
        SyncRunChanged(run),
        FolderRemoved(doomed.folder),
        FolderReset(reset, inbox.folder.key),
        Backfilled(reset.key, tuple(map(message_of, (1, 2, 3)))),
    ):
        store.apply(Batch(account.key, (change,)))
    assert live.catch_up() == Replayer(store).catch_up() == listed(store)
    assert [len(envelopes) for envelopes in live.state.envelopes.values()] == [3]
    store.apply(Batch(account.key, (FolderChanged(deselected, FolderChangeKind.DESELECTED),)))
    assert live.catch_up() == Replayer(store).catch_up() == listed(store)
    store.apply(Batch(account.key, (AccountRemoved(account.key),)))
    assert live.catch_up() == listed(store)


def test_the_event_of_a_folder_with_a_new_mirror_tells_nothing_of_the_old_one(inbox: Mailbox) -> None:
    inbox.backfill(message_of(1), progress=FolderProgress(cursor=1, stored=1, as_of=1_000))
    new = replace(inbox.folder, version=2, mirror=MirrorNo(inbox.store.allocate(Counter.MIRROR)))
    change = FolderChanged(new, FolderChangeKind.DESELECTED)
    revision = inbox.store.apply(Batch(inbox.account.key, (change,))).last
    (record,) = inbox.store.log(Revision(revision - 1), 1, EVERYTHING).records
    assert not event_pb2.Event.FromString(record.event).folder_changed.folder.HasField("counts")
