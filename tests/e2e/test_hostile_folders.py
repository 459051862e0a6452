r"""What a mail server says of folders and numbers may be wrong, and it may refuse, stall or turn us away.

Nothing is taken for gone that is only not shown, one folder's trouble is not another's, no server is hammered, no
thread is held for ever, and once the server is well the log, the store and the server agree.
"""

from dataclasses import replace

import pytest

from mailsync_grpc.cli.demo.mailbox import messages
from mailsync_grpc.model.account import AccountState
from mailsync_grpc.model.changes import FolderChanged, FolderChangeKind
from mailsync_grpc.model.folder import Selection
from mailsync_grpc.store.base import Batch
from tests.support.agreement import added, assert_agreed, removed
from tests.support.hostile import LOGIN, HostileServer
from tests.support.hostile_faults import (
    Fault,
    cut,
    dripping,
    empty,
    hanging,
    leaving,
    refusing,
    rewriting,
    saying,
    silent_of,
    stalling,
)
from tests.support.mirror import POLICY, Mirror, kinds

IMPATIENT = replace(POLICY, command_deadline=0.3, connect_timeout=0.3, min_bytes_per_second=1 << 30)


@pytest.fixture
def mirror(hostile_mirror: Mirror) -> Mirror:
    """A mirror of 30 messages in INBOX and five in Work, synced."""
    hostile_mirror.mailbox.create_folders("Work", "Private")
    hostile_mirror.mailbox.deliver(messages(30))
    hostile_mirror.mailbox.deliver(messages(5, seed=7), "Work")
    hostile_mirror.settle()
    folder, _ = hostile_mirror.folder("Work")
    chosen = replace(folder, version=folder.version + 1, selection=Selection.SELECTED)
    hostile_mirror.store.apply(Batch(folder.account, (FolderChanged(chosen, FolderChangeKind.SELECTED),)))
    hostile_mirror.settle()
    return hostile_mirror


def state(mirror: Mirror) -> AccountState:
    account = mirror.store.account("test")
    assert account is not None
    return account.state


# UIDVALIDITY and UIDNEXT


@pytest.mark.parametrize(
    "fault",
    [silent_of(b"UIDVALIDITY"), rewriting(rb"UIDVALIDITY \d+", b"UIDVALIDITY 0")],
    ids=["absent", "zero"],
)
def test_no_uidvalidity(mirror: Mirror, hostile: HostileServer, fault: Fault) -> None:
    before = mirror.head
    hostile.always(b'EXAMINE "INBOX"', fault)
    mirror.mailbox.deliver(messages(1, seed=2))
    mirror.mailbox.deliver(messages(1, seed=2), "Sent")
    mirror.poll()
    assert mirror.folder()[0].error_reason == "FOLDER_NOT_SELECTABLE"
    assert len(mirror.flags()) == 30
    assert_agreed(mirror, "Sent")
    hostile.heal()
    mirror.poll()
    assert_agreed(mirror)
    assert added(mirror, before) == [1, 31]


@pytest.mark.parametrize("validity", [1, 4_000_000_000])
def test_uidvalidity_up_or_down_is_one_reset(mirror: Mirror, hostile: HostileServer, validity: int) -> None:
    mirror.mailbox.expunge("1:10")
    mirror.poll()
    before = mirror.head
    hostile.mail.renumber("INBOX", validity)
    mirror.poll()
    assert_agreed(mirror)
    assert sum(event.HasField("folder_reset") for event in mirror.events(before)) == 1
    assert added(mirror, before) == []
    assert mirror.folder()[0].uid_validity == validity


@pytest.mark.parametrize("shown", [b"UIDNEXT 1", b"UIDNEXT 4294967295"])
def test_uidnext_rewind(mirror: Mirror, hostile: HostileServer, shown: bytes) -> None:
    hostile.always(b"EXAMINE|STATUS", rewriting(rb"UIDNEXT \d+", shown))
    mirror.mailbox.deliver(messages(2, seed=2))
    mirror.poll()
    assert added(mirror) == [31, 32]
    assert_agreed(mirror)


@pytest.mark.parametrize(
    "fault", [silent_of(b"UIDNEXT"), rewriting(rb"UIDNEXT \d+", b"UIDNEXT 0")], ids=["absent", "zero"]
)
def test_uidnext_missing(mirror: Mirror, hostile: HostileServer, fault: Fault) -> None:
    hostile.always(b"EXAMINE", fault)
    mirror.mailbox.deliver(messages(2, seed=2))
    mirror.poll()
    assert added(mirror) == [31, 32]
    assert_agreed(mirror)


def test_uidnext_gap(mirror: Mirror, hostile: HostileServer) -> None:
    for uid in (1_000, 70_000, 4_294_967_290):
        hostile.mail.deliver(messages(1, seed=uid), uid=uid)
        mirror.poll()
    assert added(mirror) == [1_000, 70_000, 4_294_967_290]
    hostile.mail.deliver(messages(1, seed=5))
    mirror.poll()
    assert_agreed(mirror)
    assert removed(mirror) == 0


@pytest.mark.parametrize("late", [100, 40])
def test_late_low_uid(mirror: Mirror, hostile: HostileServer, late: int) -> None:
    for uid in (*range(90, 100), *range(101, 106)):
        hostile.mail.deliver(messages(1, seed=uid), uid=uid)
    mirror.poll()
    before = mirror.head
    hostile.mail.deliver(messages(1, seed=9), uid=late)
    mirror.poll()
    assert added(mirror, before) == [late], "below the cursor, in the newest or far below them"
    assert_agreed(mirror)


# LIST


def poll_with_listing(mirror: Mirror) -> None:
    mirror.clock.skipped += 600
    mirror.poll()


def folder_names(mirror: Mirror) -> set[str]:
    return {folder.display_name for folder, _ in mirror.store.folders(mirror.account.no)}


GLITCHES: dict[str, Fault] = {
    "empty": empty,
    "without_a_folder": silent_of(b"Work"),
    "without_inbox": silent_of(b"INBOX"),
    "serverbug": refusing(b"[SERVERBUG] internal error"),
    "truncated": cut(0.5),
    "bye": leaving(b"[UNAVAILABLE] going down", 2),
}


@pytest.mark.parametrize("fault", GLITCHES.values(), ids=GLITCHES)
def test_list_glitch(mirror: Mirror, hostile: HostileServer, fault: Fault) -> None:
    before, names = mirror.head, folder_names(mirror)
    hostile.once(b"LIST", fault)
    poll_with_listing(mirror)
    poll_with_listing(mirror)
    assert folder_names(mirror) == names
    assert "folder_removed" not in kinds(mirror.events(before))
    assert_agreed(mirror, "INBOX", "Sent", "Work")


def test_two_listings_that_lack_different_folders_remove_none(mirror: Mirror, hostile: HostileServer) -> None:
    before = mirror.head
    for name in (b"Work", b"Private", b"Work"):
        hostile.once(b"LIST", silent_of(name))
        poll_with_listing(mirror)
    assert "folder_removed" not in kinds(mirror.events(before))


def test_a_listing_with_lines_that_make_no_sense_keeps_the_others(
    mirror: Mirror, hostile: HostileServer
) -> None:
    before, names = mirror.head, folder_names(mirror)
    nonsense = (b'* LIST (\\Noselect "/" Broken', b"* LIST", b'* LIST () "/" ""', b"* \xff\xfe")
    hostile.always(b"LIST", saying(*nonsense))
    poll_with_listing(mirror)
    poll_with_listing(mirror)
    assert folder_names(mirror) == names
    assert "folder_removed" not in kinds(mirror.events(before))


# A folder's own trouble


def test_refused_folder(mirror: Mirror, hostile: HostileServer) -> None:
    connections = hostile.connections
    hostile.always(b'(EXAMINE|STATUS) "Work"', refusing(b"[NOPERM] not yours"))
    asked = len(hostile.sent(b'EXAMINE "Work"'))
    for number in range(12):
        mirror.mailbox.deliver(messages(1, seed=number))
        mirror.poll()
    assert mirror.folder("Work")[0].error_reason == "IMAP_REFUSED"
    assert len(hostile.sent(b'EXAMINE "Work"')) - asked < 10, "it backs off"
    assert hostile.connections == connections, "no reconnect storm"
    assert state(mirror) is AccountState.ACTIVE
    assert_agreed(mirror, "INBOX", "Sent")
    hostile.heal()
    mirror.mailbox.deliver(messages(2), "Work")
    mirror.clock.skipped += 600
    mirror.poll()
    assert_agreed(mirror, "INBOX", "Sent", "Work")


def test_stale_exists(mirror: Mirror, hostile: HostileServer) -> None:
    before = mirror.head
    mirror.mailbox.store("1", r"+FLAGS (\Flagged)", "Work")
    hostile.once(b'EXAMINE "Work"', silent_of(b"EXISTS"))
    mirror.poll()
    mirror.poll()
    assert removed(mirror, before) == 0, "another folder's EXISTS is nobody's"
    assert_agreed(mirror, "INBOX", "Sent", "Work")


# An account's trouble


THROTTLES: dict[str, Fault] = {
    "unavailable": refusing(b"[UNAVAILABLE] try later"),
    "limit": refusing(b"[LIMIT] too many logins"),
    "inuse": refusing(b"[INUSE] locked"),
    "bye": leaving(b"Too many connections"),
    "bye_unavailable": leaving(b"[UNAVAILABLE] shutting down"),
}


@pytest.mark.parametrize("fault", THROTTLES.values(), ids=THROTTLES)
def test_login_throttled(hostile_mirror: Mirror, hostile: HostileServer, fault: Fault) -> None:
    mirror = hostile_mirror
    mirror.mailbox.deliver(messages(3))
    hostile.always(LOGIN, fault)
    for _ in range(12):
        mirror.poll()
    assert state(mirror) is AccountState.UNREACHABLE, "and not AUTH_FAILED: the password is right"
    told = [event for event in mirror.events() if event.HasField("account_changed")]
    assert len(told) == 2, "created, then unreachable, once"
    assert len(hostile.sent(LOGIN)) < 10, "it backs off"
    hostile.heal()
    mirror.clock.skipped += 600
    mirror.poll()
    assert state(mirror) is AccountState.ACTIVE
    assert_agreed(mirror)


def test_a_server_that_takes_the_login_and_then_fails_is_not_hammered(
    hostile_mirror: Mirror, hostile: HostileServer
) -> None:
    hostile.always(b"LIST", leaving(b"internal error"))
    for _ in range(12):
        hostile_mirror.poll()
    assert hostile.connections < 10, "a login alone is no success"


# Time


@pytest.mark.parametrize("fault", [hanging, stalling])
@pytest.mark.parametrize("commands", [LOGIN, b"LIST", b"EXAMINE", b"UID FETCH"])
def test_dead_noop(hostile_mirror: Mirror, hostile: HostileServer, commands: bytes, fault: Fault) -> None:
    hostile_mirror.policy = IMPATIENT
    hostile_mirror.mailbox.deliver(messages(30))
    hostile.once(commands, fault)
    hostile_mirror.settle()
    hostile_mirror.policy = POLICY
    hostile_mirror.poll()
    assert_agreed(hostile_mirror)
    assert hostile.connections == 2


@pytest.mark.parametrize("commands", [b"LIST", b"UID FETCH"])
def test_slow_drip(hostile_mirror: Mirror, hostile: HostileServer, commands: bytes) -> None:
    hostile_mirror.policy = IMPATIENT
    hostile_mirror.mailbox.deliver(messages(30))
    hostile.once(commands, dripping)
    hostile_mirror.settle()
    hostile_mirror.policy = POLICY
    hostile_mirror.poll()
    assert_agreed(hostile_mirror)
    assert hostile.connections == 2, "the slow one was given up"
