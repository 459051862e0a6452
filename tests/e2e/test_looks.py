"""What a poll asks, writes and tells: nothing but counters where all is quiet, what changed where it is not."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from prometheus_client import REGISTRY

from mailsync_grpc.cli.demo.mailbox import messages
from mailsync_grpc.cli.demo.second_client import Delivery
from mailsync_grpc.model.account import SyncSettings
from mailsync_grpc.store.lmdb import LmdbStore, open_store
from tests.e2e.conftest import SHARP
from tests.support.agreement import added, assert_agreed, removed
from tests.support.fault_proxy import FaultProxy, ProxiedMailbox
from tests.support.hostile import HostileServer
from tests.support.hostile_faults import Fault, omitting, refusing, rewriting
from tests.support.hostile_session import CONDSTORE, FULL, PLAIN
from tests.support.mail import Mailbox
from tests.support.mirror import Mirror
from tests.support.store_process import environment_of

COUNTERS = [
    f'STATUS "{name}" (MESSAGES UIDNEXT UIDVALIDITY HIGHESTMODSEQ)'.encode() for name in ("INBOX", "Sent")
]
SETTINGS = SyncSettings(batch_size=10, flags_window=10)


@pytest.fixture
def synced(hostile_mirror: Mirror) -> Mirror:
    """A mirror of 30 messages, synced."""
    hostile_mirror.mailbox.deliver(messages(30))
    hostile_mirror.settle()
    return hostile_mirror


# Quiet folders


@pytest.fixture
def watched(mailbox: Mailbox, tmp_path: Path) -> Iterator[tuple[Mirror, FaultProxy, LmdbStore]]:
    """A mirror in LMDB of 30 messages on Dovecot, synced, and the proxy that sees its commands."""
    mailbox.deliver(messages(30))
    store = open_store(tmp_path, exclusive=True)
    with FaultProxy(mailbox) as proxy:
        mirror = Mirror(ProxiedMailbox(mailbox.server, mailbox.user, proxy=proxy), SETTINGS, store)
        mirror.settle()
        yield mirror, proxy, store
        mirror.close()


def test_a_poll_of_a_quiet_account_is_one_round_trip_and_writes_nothing(
    watched: tuple[Mirror, FaultProxy, LmdbStore],
) -> None:
    mirror, proxy, store = watched
    head, commits = mirror.head, environment_of(store).env.info()["last_txnid"]
    as_of, sent = dict(mirror.sync.as_of), len(proxy.received)
    for _ in range(2):
        mirror.poll()
    assert proxy.received[sent:] == [b"UNSELECT", *COUNTERS, *COUNTERS], "no folder is open the second time"
    assert (mirror.head, environment_of(store).env.info()["last_txnid"]) == (head, commits)
    assert len(as_of) == 2
    assert all(mirror.sync.as_of[folder] > before for folder, before in as_of.items())


def test_a_restarted_worker_opens_no_folder_that_is_as_it_was(
    watched: tuple[Mirror, FaultProxy, LmdbStore],
) -> None:
    mirror, proxy, _ = watched
    mirror.restart()
    sent, head = len(proxy.received), mirror.head
    mirror.poll()
    assert proxy.received[-2:] == COUNTERS
    assert not [command for command in proxy.received[sent:] if b"EXAMINE" in command]
    assert mirror.head == head


@pytest.mark.parametrize("hostile", [CONDSTORE.replace(" UNSELECT", "")], indirect=True, ids=["no_unselect"])
def test_without_unselect_the_open_folder_is_opened_anew(synced: Mirror, hostile: HostileServer) -> None:
    sent = len(hostile.received)
    synced.poll()
    assert hostile.received[sent:] == [COUNTERS[1], b'EXAMINE "INBOX"'], "and nothing is fetched of it"
    synced.mailbox.deliver(messages(1, seed=2), "Sent")
    synced.poll()
    sent = len(hostile.received)
    synced.poll()
    assert hostile.received[sent:] == [COUNTERS[0], b'EXAMINE "Sent"']
    assert_agreed(synced)


@pytest.mark.parametrize("hostile", [FULL], indirect=True)
def test_a_folder_whose_counters_are_refused_is_looked_at(synced: Mirror, hostile: HostileServer) -> None:
    hostile.always(b'STATUS "INBOX"', refusing())
    sent = len(hostile.received)
    synced.poll()
    assert b'EXAMINE "INBOX"' in hostile.received[sent:]
    assert_agreed(synced)


# Changed folders


@pytest.mark.parametrize("mirror", SHARP, indirect=True)
def test_enable_condstore(mirror: Mirror) -> None:
    """Dovecot tells HIGHESTMODSEQ in EXAMINE only once it was enabled."""
    mirror.mailbox.deliver(messages(3))
    mirror.settle()
    (connection,) = mirror.connections
    assert connection.condstore
    told = connection.examine(b"INBOX")
    assert told.highest_modseq is not None
    assert (mirror.folder()[1].modseq, mirror.folder()[1].uid_next) == (told.highest_modseq, told.uid_next)


@pytest.mark.parametrize(
    ("hostile", "asked"),
    [
        pytest.param(FULL, rb"CHANGEDSINCE \d+ VANISHED\)", id="vanished"),
        pytest.param(CONDSTORE, rb"UID SEARCH RETURN \(ALL\) ALL", id="esearch"),
        pytest.param(PLAIN, b"UID SEARCH ALL", id="search"),
    ],
    indirect=["hostile"],
)
def test_old_deletions_are_found_without_comparing_the_whole_folder(
    synced: Mirror, hostile: HostileServer, asked: bytes
) -> None:
    sent, verified = len(hostile.received), synced.folder()[1].verified_at
    synced.mailbox.expunge("3,7:9")
    synced.poll()
    assert_agreed(synced)
    assert removed(synced) == 1
    assert len([command for command in hostile.received[sent:] if re.search(asked, command)]) == 1
    assert synced.folder()[1].verified_at == verified


SEARCHES: dict[str, Fault] = {
    "finds_nothing": rewriting(rb"^\* (E?SEARCH).*", rb"* \1"),
    "finds_half": rewriting(rb"(,| )15\b.*", b""),
    "refused": refusing(),
}


@pytest.mark.parametrize("fault", SEARCHES.values(), ids=SEARCHES)
@pytest.mark.parametrize("hostile", [CONDSTORE, PLAIN], indirect=True, ids=["esearch", "search"])
def test_a_search_that_does_not_add_up_is_no_proof(
    synced: Mirror, hostile: HostileServer, fault: Fault
) -> None:
    hostile.always(b"UID SEARCH", fault)
    synced.mailbox.expunge("3")
    synced.poll()
    assert_agreed(synced)
    (event,) = (event for event in synced.events() if event.HasField("envelopes_removed"))
    assert [(span.first, span.last) for span in event.envelopes_removed.uids] == [(3, 3)]


@pytest.mark.parametrize("hostile", [FULL, CONDSTORE], indirect=True, ids=["qresync", "condstore"])
def test_changes_that_are_refused_are_found_the_plain_way(synced: Mirror, hostile: HostileServer) -> None:
    hostile.always(b"CHANGEDSINCE", refusing(b"[CANNOT] no mod-sequences here"))
    synced.mailbox.deliver(messages(2, seed=2))
    synced.mailbox.expunge("3,29")
    synced.mailbox.store("28", r"+FLAGS (\Flagged)")
    synced.poll()
    assert_agreed(synced)
    assert added(synced) == [31, 32]


def test_a_server_that_counts_what_it_never_lists_is_not_compared_whole_in_each_poll(
    hostile_mirror: Mirror, hostile: HostileServer
) -> None:
    mirror = hostile_mirror
    mirror.mailbox.deliver(messages(30))
    hostile.always(b"UID (?:FETCH|SEARCH)", omitting(4))
    hostile.always(b"UID SEARCH", rewriting(rb"\b4\b[ ,]?", b""))
    mirror.settle()
    for _ in range(3):
        mirror.poll()
    whole = len(hostile.sent(rb"UID FETCH 1:\* \(UID FLAGS\)$"))
    mirror.mailbox.store("30", r"+FLAGS (\Flagged)")
    for _ in range(3):
        mirror.poll()
    newest = len(hostile.sent(rb"UID FETCH 1:\* \(UID FLAGS\)$"))
    assert newest - whole <= 3, "Sent, which is empty, on a plain server"
    assert mirror.flags()[30] == {r"\Flagged"}
    hostile.heal()
    mirror.clock.skipped += mirror.settings.full_interval
    mirror.poll()
    assert_agreed(mirror)
    assert added(mirror) == [4]


# What is measured


def test_the_delay_of_detection_is_measured_of_mail_that_came_just_now(mirror: Mirror) -> None:
    mirror.settle()
    before = measured()
    today, long_ago = datetime.now(UTC), datetime(2020, 5, 17, tzinfo=UTC)
    mirror.mailbox.deliver(
        Delivery(raw, (), date) for raw, date in zip(messages(2), (today, long_ago), strict=True)
    )
    mirror.poll()
    count, seconds = (after - then for after, then in zip(measured(), before, strict=True))
    assert count == 1, "what was moved here years later is not late"
    assert 2 * mirror.settings.poll_interval - 1 <= seconds < 600


def measured() -> tuple[float, float]:
    """How often the delay was observed, and the sum of it."""
    name = "mailsync_sync_detection_delay_seconds"
    count, total = (REGISTRY.get_sample_value(f"{name}_{part}") for part in ("count", "sum"))
    return count or 0.0, total or 0.0
