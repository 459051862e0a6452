r"""The sync core against a mail server: after every quiet point the store holds what the server holds.

Each test runs on a Dovecot with all extensions, on one that announces none, and on the honest half of the hostile
server, with all extensions and without QRESYNC, which is thereby held to be a server that other tests may learn from.
"""

import random

import pytest

from mailsync_grpc.cli.demo.mailbox import deliveries, messages
from mailsync_grpc.model.run import RunKind, RunState
from mailsync_grpc.store.base import Applied, Batch
from tests.e2e.conftest import SHARP
from tests.support.agreement import assert_agreed
from tests.support.mail import AnyMailbox, letters
from tests.support.mirror import Mirror, kinds


def test_history_is_stored_newest_first_and_told_as_ranges(mirror: Mirror) -> None:
    mirror.mailbox.deliver(deliveries(250))
    mirror.settle()
    assert mirror.same_as_server()
    told = mirror.events()
    ranges = [[(r.first, r.last) for r in e.backfilled.uids] for e in told if e.HasField("backfilled")]
    assert ranges == [[(151, 250)], [(51, 150)], [(1, 50)]]
    assert "envelope_added" not in kinds(told)
    synced = [event for event in told if event.HasField("folder_synced")]
    assert {event.folder_synced.messages for event in synced} == {250, 0}


def test_the_first_run_counts_its_messages_and_succeeds(mirror: Mirror) -> None:
    mirror.mailbox.deliver(messages(120))
    mirror.settle()
    (run,) = mirror.store.runs(mirror.account.no)
    assert (run.state, run.messages_done, run.messages_total) == (RunState.SUCCEEDED, 120, 120)
    assert (run.folders_done, run.folders_total) == (2, 2)


def test_empty_account(mirror: Mirror) -> None:
    mirror.settle()
    assert kinds(mirror.events()).count("folder_synced") == 2, "INBOX and Sent, each complete once"
    mirror.mailbox.deliver(messages(1))
    mirror.poll()
    assert kinds(mirror.events()).count("envelope_added") == 1
    mirror.poll()
    assert kinds(mirror.events()).count("folder_synced") == 2


def test_new_mail_is_announced_message_by_message_with_its_envelope(mirror: Mirror) -> None:
    mirror.mailbox.deliver(messages(3))
    mirror.settle()
    before = mirror.head
    mirror.mailbox.deliver(messages(2, seed=9))
    mirror.poll()
    added = [event.envelope_added.envelope for event in mirror.events(before)]
    assert [envelope.uid for envelope in added] == [4, 5]
    stored = {envelope.uid: envelope for envelope in mirror.envelopes()}
    for envelope in added:
        assert envelope.subject == stored[envelope.uid].subject
        assert len(envelope.envelope_id) == 16
    assert mirror.same_as_server()


def test_a_poll_without_changes_writes_nothing(mirror: Mirror) -> None:
    mirror.mailbox.deliver(messages(30))
    mirror.settle()
    before, progress = mirror.head, mirror.folder()[1]
    mirror.poll()
    assert mirror.head == before
    assert mirror.folder()[1] == progress


def test_flag_changes_of_the_newest_are_seen_by_the_next_poll(mirror: Mirror) -> None:
    mirror.mailbox.deliver(messages(30))
    mirror.settle()
    before = mirror.head
    mirror.mailbox.store("25,30", r"+FLAGS.SILENT (\Seen work)")
    mirror.poll()
    changed = [event.flags_changed for event in mirror.events(before)]
    assert [change.uid for change in changed] == [25, 30]
    assert all("work" in change.flags.keywords and "work" in change.added.keywords for change in changed)
    assert mirror.same_as_server()


@pytest.mark.parametrize("mirror", ["mailbox_plain"], indirect=True)
def test_flag_changes_of_old_messages_are_seen_by_the_next_full_comparison(mirror: Mirror) -> None:
    mirror.mailbox.deliver(messages(30))
    mirror.settle()
    mirror.mailbox.store("2", r"+FLAGS.SILENT (\Flagged)")
    mirror.poll()
    assert not mirror.same_as_server(), "what polling the newest cannot see"
    mirror.clock.skipped += mirror.settings.full_interval
    mirror.poll()
    assert mirror.same_as_server()
    assert [run.kind for run in mirror.store.runs(mirror.account.no)] == [RunKind.SCHEDULED, RunKind.INITIAL]


@pytest.mark.parametrize("mirror", SHARP, indirect=True)
def test_a_server_with_modseq_tells_all_flag_changes_to_the_next_poll(mirror: Mirror) -> None:
    mirror.mailbox.deliver(messages(400))
    mirror.settle()
    before = mirror.head
    mirror.mailbox.store("2,150:160,400", r"+FLAGS.SILENT (\Flagged)")
    mirror.poll()
    assert [event.flags_changed.uid for event in mirror.events(before)] == [2, *range(150, 161), 400]
    assert mirror.same_as_server()


@pytest.mark.parametrize("uids", ["28,30", "1,3", "1:30"])
def test_deletions_are_seen_by_the_next_poll_wherever_they_are(mirror: Mirror, uids: str) -> None:
    mirror.mailbox.deliver(messages(30))
    mirror.settle()
    before = mirror.head
    mirror.mailbox.expunge(uids)
    mirror.poll()
    assert mirror.same_as_server()
    removed = [event.envelopes_removed for event in mirror.events(before)]
    gone = {uid for event in removed for r in event.uids for uid in range(r.first, r.last + 1)}
    assert gone == set(range(1, 31)) - set(mirror.flags())
    assert all(known.subject or known.message_id for event in removed for known in event.known)


def test_arrival_plus_expunge(mirror: Mirror) -> None:
    mirror.mailbox.deliver(messages(30))
    mirror.settle()
    mirror.mailbox.expunge("1")
    mirror.mailbox.deliver(messages(1, seed=3))
    mirror.poll()
    mirror.poll()
    assert mirror.same_as_server(), "EXISTS is what it was, the UIDs are not"


def test_recreate_folder(mirror: Mirror) -> None:
    """Another folder under an old name: its messages are other ones, and no new mail."""
    mirror.mailbox.create_folders("Projects")
    mirror.mailbox.deliver(messages(5), "Projects")
    mirror.settle()
    mirror.select("Projects")
    mirror.settle()
    before, known = mirror.head, mirror.ids("Projects")
    mirror.mailbox.delete_folder("Projects")
    mirror.mailbox.create_folders("Projects")
    mirror.mailbox.deliver(messages(3, seed=2), "Projects")
    mirror.poll()
    assert mirror.same_as_server("Projects")
    told = kinds(mirror.events(before))
    assert told.count("folder_reset") == 1
    assert "envelope_added" not in told, "a renumbered folder is no new mail"
    assert not {*known.values()} & {*mirror.ids("Projects").values()}


def test_uidvalidity_epoch(mirror: Mirror) -> None:
    """The same messages under other numbers, as after a restore: each keeps its id, and none is new mail."""
    mirror.mailbox.create_folders("Projects", "Aside")
    mirror.mailbox.deliver(letters(120), "Projects")
    mirror.settle()
    mirror.select("Projects")
    mirror.settle()
    before, known = mirror.head, mirror.ids("Projects")
    mirror.mailbox.copy("30:*", "Aside", "Projects")
    mirror.mailbox.delete_folder("Projects")
    mirror.mailbox.create_folders("Projects")
    mirror.mailbox.copy("1:*", "Projects", "Aside")
    mirror.poll()
    assert mirror.same_as_server("Projects")
    told = kinds(mirror.events(before))
    assert told.count("folder_reset") == told.count("folder_synced") == 1
    assert told.count("backfilled") == 1
    assert "envelope_added" not in told
    assert mirror.ids("Projects") == {uid - 29: known[uid] for uid in range(30, 121)}
    place = mirror.store.locate(mirror.account.no, known[120])
    assert place is not None
    assert place.uid == 91
    while mirror.store.purge(50):
        pass
    assert len(mirror.store.twins(mirror.account.no, [known[120][:5]])) == 1
    mirror.mailbox.deliver(messages(1), "Projects")
    mirror.poll()
    assert_agreed(mirror, "INBOX", "Sent", "Projects")


def test_a_killed_worker_resumes_its_backfill_without_loss_or_repetition(mirror: Mirror) -> None:
    mirror.mailbox.deliver(messages(250))
    stop = _CrashAfter(mirror, batches=1)
    with pytest.raises(_Crash):
        mirror.settle()
    stop.heal()
    assert 0 < len(mirror.flags()) < 250
    mirror.mailbox.deliver(messages(2, seed=5))
    mirror.restart()
    mirror.settle()
    mirror.poll()
    assert mirror.same_as_server()
    told = mirror.events()
    stored = [
        uid
        for e in told
        if e.HasField("backfilled")
        for r in e.backfilled.uids
        for uid in range(r.first, r.last + 1)
    ]
    assert sorted(stored) == list(range(1, 251))
    assert kinds(told).count("envelope_added") == 2


def test_a_few_hundred_random_changes_end_in_the_servers_state(mirror: Mirror) -> None:
    rng = random.Random(7)
    mirror.mailbox.deliver(deliveries(60))
    mirror.settle()
    for round_ in range(12):
        for _ in range(10):
            _change(mirror.mailbox, rng)
        mirror.poll()
        if round_ % 4 == 3:
            mirror.clock.skipped += mirror.settings.full_interval
            mirror.poll()
            assert mirror.same_as_server()
            assert mirror.same_as_server("Sent")


def _change(mailbox: AnyMailbox, rng: random.Random) -> None:
    uids = sorted(mailbox.flags_by_uid())
    match (
        rng.choice(["deliver", "flag", "unflag", "expunge", "move", "copy"]) if len(uids) > 5 else "deliver"
    ):
        case "deliver":
            mailbox.deliver(messages(rng.randint(1, 3), seed=rng.randrange(10_000)))
        case "flag":
            mailbox.store(str(rng.choice(uids)), rf"+FLAGS.SILENT ({rng.choice(['work', chr(92) + 'Seen'])})")
        case "unflag":
            mailbox.store(str(rng.choice(uids)), r"-FLAGS.SILENT (\Seen)")
        case "expunge":
            mailbox.expunge(str(rng.choice(uids)))
        case "move":
            mailbox.move(str(rng.choice(uids)), "Sent")
        case "copy":
            mailbox.copy(str(rng.choice(uids)), "Sent")


class _Crash(BaseException):
    """Stands for the end of the process: nothing in the sync may catch it."""


class _CrashAfter:
    """Lets the store's `apply` die after so many batches that store messages."""

    def __init__(self, mirror: Mirror, batches: int) -> None:
        self._store, self._apply, self._left = mirror.store, mirror.store.apply, batches
        mirror.store.apply = self._dying  # type: ignore[method-assign]

    def _dying(self, batch: Batch) -> Applied:
        applied = self._apply(batch)
        self._left -= any(progress.stored for _, progress in batch.progress)
        if self._left < 0:
            raise _Crash
        return applied

    def heal(self) -> None:
        """Let batches pass again."""
        self._store.apply = self._apply  # type: ignore[method-assign]
