r"""Between the engine and a real Dovecot anything may happen to an answer; two cycles later the mirror is right again.

Every fault meets every kind of answer, once during the first sync and once while the mailbox changes.
"""

import re
from collections.abc import Iterator
from dataclasses import replace

import pytest

from mailsync_grpc.cli.demo.mailbox import messages
from mailsync_grpc.model.account import SyncSettings
from tests.support.agreement import added, assert_agreed, removed
from tests.support.fault_proxy import FaultProxy, ProxiedMailbox
from tests.support.hostile import FLAGS, LOGIN, METADATA
from tests.support.hostile_faults import (
    Fault,
    cut,
    cut_in_literal,
    doubled,
    dripping,
    hanging,
    leaving,
    refusing,
    saying,
    short_literal,
    shuffled,
    split,
    stalling,
)
from tests.support.mail import Mailbox
from tests.support.mirror import POLICY, Mirror
from tests.support.reports import raw

IMPATIENT = replace(POLICY, command_deadline=0.5, min_bytes_per_second=1 << 30)
COMMANDS = {
    "login": LOGIN,
    "list": b"LIST",
    "examine": b'EXAMINE "INBOX"',
    "flags": FLAGS,
    "metadata": METADATA,
    "report": rb"UID FETCH \d+ \(BODY\.PEEK\[\d",
}
FAULTS: dict[str, Fault] = {
    "cut_at_once": cut(0.0),
    "cut_in_the_middle": cut(0.5),
    "cut_before_the_end": cut(0.99),
    "cut_in_literal": cut_in_literal,
    "short_literal": short_literal,
    "split": split,
    "doubled": doubled,
    "out_of_order": shuffled,
    "foreign_lines": saying(
        b"* 3 FETCH (FLAGS (\\Deleted))", b"* OK [ALERT] hi", b"", b"\xff\x00", b"M1 OK stray"
    ),
    "bye": leaving(b"[UNAVAILABLE] going down", 2),
    "refused": refusing(b"[SERVERBUG] internal error"),
}
SLOW: dict[str, Fault] = {"hung": hanging, "stalled": stalling, "dripped": dripping}

# What a reader of mail may send (RFC 3501, 2971, 3691, 5161, 7162), written down here once more, apart from the code's own list.
READS_ONLY = re.compile(
    rb"CAPABILITY|NOOP|LOGOUT|NAMESPACE|AUTHENTICATE PLAIN|LOGIN \"[^\r\n]*\"|ID \([^\r\n]*\)"
    rb"|ENABLE CONDSTORE QRESYNC|UNSELECT|UID SEARCH (?:RETURN \(ALL\) )?ALL"
    rb'|LIST "" "\*"(?: RETURN \([A-Z -]+\))?|EXAMINE "[^\r\n]*"|STATUS "[^\r\n]*" \([A-Z ]+\)'
    rb"|UID FETCH [\d:,*]+ \((?:(?:UID|FLAGS|INTERNALDATE|RFC822\.SIZE|ENVELOPE|BODYSTRUCTURE"
    rb"|BODY\.PEEK\[HEADER\.FIELDS \(REFERENCES AUTO-SUBMITTED\)\]|BODY\.PEEK\[[\d.]+\]<0\.65536>) ?)+\)"
    rb"(?: \(CHANGEDSINCE \d+ VANISHED\))?"
)


@pytest.fixture(params=["mailbox", "mailbox_plain"])
def proxied(request: pytest.FixtureRequest) -> Iterator[Mirror]:
    """A mirror of 40 messages behind a proxy, not yet synced."""
    mailbox: Mailbox = request.getfixturevalue(request.param)
    mailbox.deliver(messages(40))
    with FaultProxy(mailbox) as proxy:
        mirror = Mirror(
            ProxiedMailbox(mailbox.server, mailbox.user, proxy=proxy),
            SyncSettings(batch_size=15, flags_window=10),
        )
        yield mirror
        mirror.close()
        proxy.heal()


def proxy_of(mirror: Mirror) -> FaultProxy:
    assert isinstance(mirror.mailbox, ProxiedMailbox)
    assert mirror.mailbox.proxy is not None
    return mirror.mailbox.proxy


@pytest.mark.parametrize("proxied", ["mailbox"], indirect=True)
@pytest.mark.parametrize("commands", COMMANDS.values(), ids=COMMANDS)
@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_two_cycles_after_a_fault_the_mirror_is_right(proxied: Mirror, commands: bytes, fault: Fault) -> None:
    proxy = proxy_of(proxied)
    proxy.once(commands, fault)
    proxied.settle()
    proxied.poll()
    assert_agreed(proxied)
    before = proxied.head
    proxied.mailbox.deliver([*messages(2, seed=2), raw("postfix")])
    proxied.mailbox.store("38:39", r"+FLAGS.SILENT (\Seen work)")
    proxied.mailbox.expunge("5,40")
    proxied.restart()
    proxy.once(commands, fault)
    proxied.poll()
    proxied.poll()
    assert_agreed(proxied)
    assert sorted(added(proxied, before)) == [41, 42, 43]
    assert len(added(proxied)) == 3


@pytest.mark.parametrize("proxied", ["mailbox"], indirect=True)
@pytest.mark.parametrize("commands", COMMANDS.values(), ids=COMMANDS)
@pytest.mark.parametrize("fault", SLOW.values(), ids=SLOW)
def test_two_cycles_after_a_stall_the_mirror_is_right(proxied: Mirror, commands: bytes, fault: Fault) -> None:
    proxied.policy = IMPATIENT
    proxy_of(proxied).once(commands, fault)
    proxied.settle()
    assert not proxied.connections or proxied.connections[-1].closed
    proxied.policy = POLICY
    proxied.poll()
    assert_agreed(proxied)
    assert removed(proxied) == 0


def test_wire_read_only(proxied: Mirror) -> None:
    before = proxied.mailbox.flags_by_uid()
    proxied.settle()
    proxied.mailbox.expunge("7,39")
    proxied.mailbox.deliver(messages(3, seed=2))
    proxied.clock.skipped += proxied.settings.full_interval
    proxied.poll()
    proxied.restart()
    proxied.poll()
    assert_agreed(proxied)
    sent = proxy_of(proxied).received
    assert len(sent) > 15
    assert [command for command in sent if not READS_ONLY.fullmatch(command)] == []
    after = proxied.mailbox.flags_by_uid()
    assert {uid: flags for uid, flags in after.items() if uid <= 40} == {
        uid: flags for uid, flags in before.items() if uid not in {7, 39}
    }, r"no \Seen set, nothing changed"
