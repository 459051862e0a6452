"""Whatever octets a mail server sends, in headers, names, flags, labels and texts, every client can decode what we send.

A proto3 string must be valid UTF-8, and the generated classes of every language refuse a message that holds another;
one such byte in the log would stop each watch for ever.
"""

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st

from mailsync_grpc.model.account import SyncSettings
from mailsync_grpc.v1 import envelope_pb2
from tests.support.hostile import FLAGS, LOGIN, METADATA, HostileServer
from tests.support.hostile_faults import Fault, leaving, refusing, rewriting, saying
from tests.support.mirror import Mirror
from tests.support.replay import Replayer, listed

TRAPS = [
    b"\xff",
    b"\xc3",  # the beginning of a character
    b"\xed\xa0\x80",  # a surrogate
    b"\xf4\x90\x80\x80",  # beyond the last character
    b"\xc0\xaf",  # longer than need be
    b"=?utf-8?q?=ff=c3?=",
    b"=?utf-16?b?2AA=?=",
    b"=?utf-7?q?+2AA-?=",  # a lone surrogate that Python's codec lets pass
    b"=?unicode_escape?q?=5Cud800?=",
    b"&2AA-",  # the same in a folder's name
    b"&",
    b"%ff%c3",
    b"\x00",
    "grüße".encode(),
]
octets = st.lists(st.binary(max_size=4) | st.sampled_from(TRAPS), max_size=4).map(b"".join)


def line(value: bytes) -> bytes:
    """What can stand in one line."""
    return value.replace(b"\r", b"").replace(b"\n", b"")


def message(value: bytes) -> bytes:
    """A report with an attachment, all of whose texts are `value`."""
    text = line(value)
    return (
        b"From: %b <%b@example.org>\r\nTo: undisclosed: %b;\r\nSubject: %b\r\nMessage-ID: <%b>\r\nDate: %b\r\n"
        b"References: <%b> %b\r\nIn-Reply-To: %b\r\nAuto-Submitted: %b\r\nMIME-Version: 1.0\r\n"
        b'Content-Type: multipart/report; report-type=delivery-status; boundary="b"; x="%b"\r\n\r\n'
        % ((text,) * 11)
        + b"--b\r\nContent-Type: text/%b; charset=%b; name*=utf-8''%b\r\nContent-ID: <%b>\r\n" % ((text,) * 4)
        + b'Content-Disposition: attachment; filename*=%b; filename="%b"\r\n\r\nx\r\n' % ((text,) * 2)
        + b"--b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; %b\r\n\r\n" % text
        + b"Final-Recipient: rfc822; %b\r\nAction: failed\r\nStatus: 5.1.1\r\nDiagnostic-Code: smtp; %b\r\n"
        % (text, text)
        + b"\r\n--b--\r\n"
    )


def flagged(value: bytes) -> Fault:
    """The octets as a flag, and as a label that a server like Gmail gives."""
    flag = bytes(octet for octet in value if octet > 32 and octet not in b'(){"\\%*]')
    labels = b"X-GM-LABELS ({%d}\r\n%b) FLAGS (" % (len(value), value)
    return rewriting(rb"FLAGS \(", (labels + flag + b" ").replace(b"\\", rb"\\"))


def folders(value: bytes) -> Fault:
    """The octets as a folder's name and as the name of its parent."""
    names = (value, value + b"/" + value)
    return saying(*(b'* LIST () "/" {%d}\r\n%b' % (len(name), name) for name in names))


def login_refused(value: bytes) -> Fault:
    return refusing(b"[AUTHENTICATIONFAILED] " + line(value))


def decoded(mirror: Mirror) -> None:
    """Decode, as a client does, every event and every resource."""
    assert Replayer(mirror.store).catch_up() == listed(mirror.store)
    mirror.events()


def test_the_generated_classes_refuse_invalid_utf8() -> None:
    """Else the test below shows nothing."""
    with pytest.raises(DecodeError):
        envelope_pb2.Envelope.FromString(
            envelope_pb2.Envelope(subject="x").SerializeToString().replace(b"x", b"\xff")
        )


@settings(max_examples=60, deadline=None)
@given(octets)
def test_invalid_utf8_never_on_wire(value: bytes) -> None:
    with HostileServer() as server:
        mirror = Mirror(server.mailbox, SyncSettings(batch_size=10))
        server.mailbox.deliver([message(value), message(b"sound")])
        server.always(b"LIST", folders(value))
        server.always(METADATA, flagged(value))
        server.always(FLAGS, flagged(value))
        mirror.settle()
        server.mailbox.deliver([message(value + b"1"), message(value + b"2")])
        mirror.poll()
        decoded(mirror)
        assert len(list(mirror.envelopes())) == 4
        server.heal()
        for fault in (refusing(line(value)), leaving(line(value))):
            server.always(b"EXAMINE|STATUS", fault)
            mirror.clock.skipped += 600
            mirror.poll()
            server.heal()
            decoded(mirror)
        mirror.sync.close()
        server.always(LOGIN, login_refused(value))
        mirror.clock.skipped += 600
        mirror.poll()
        decoded(mirror)
        server.heal()
        mirror.close()
