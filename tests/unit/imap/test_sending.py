from collections.abc import Callable

import pytest

from mailsync_grpc.errors import (
    UnsafeArgumentError,
)
from mailsync_grpc.imap.auth import Password
from mailsync_grpc.imap.connection import connect
from mailsync_grpc.model.uidset import UidSet
from tests.unit.imap.scripted import EXAMINED, POLICY, ScriptedServer, offering


@pytest.mark.parametrize("unsafe", ["\r\n", "\n", "\r", "\x00"])
def test_crlf_injection(unsafe: str) -> None:
    with ScriptedServer({}) as server:
        for credentials in (Password("a" + unsafe, "b"), Password("a", "b" + unsafe)):
            with pytest.raises(UnsafeArgumentError):
                connect(server.endpoint(), POLICY, credentials)
        connection = server.connect()
        before = connection.bytes_sent
        attacks: list[Callable[[], object]] = [
            lambda: connection.examine(f"INBOX{unsafe}x DELETE INBOX".encode()),
            lambda: connection.uid_search(f"ALL{unsafe}x DELETE INBOX"),
            lambda: connection.fetch_section(1, f"1{unsafe}", 0, 1),
            lambda: connection.fetch_flags(f"1:*{unsafe}"),
        ]
        for attack in attacks:
            with pytest.raises(UnsafeArgumentError):
                attack()
        assert connection.status([f"x{unsafe}".encode()]) == [None]
        assert connection.bytes_sent == before
        connection.noop()
        connection.close()


@pytest.mark.parametrize(
    "command",
    [
        *(
            b"SELECT INBOX",
            b"STORE 1 +FLAGS (\\Seen)",
            b"UID STORE 1 FLAGS ()",
            b"EXPUNGE",
            b"CLOSE",
            b"DELETE x",
        ),
        *(
            b"CREATE x",
            b"RENAME x y",
            b"APPEND x {1}",
            b"COPY 1 x",
            b"UID MOVE 1 x",
            b"UID COPY 1 x",
            b"SUBSCRIBE x",
        ),
        *(
            b"UID FETCH 1 (BODY[])",
            b"UID FETCH 1 (UID BODY[HEADER])",
            b"UID FETCH 1 (RFC822)",
            b"UID FETCH 1 (BINARY[1])",
            b"UID FETCH 1 (FLAGS) (VANISHED)",
            b"UID FETCH 1 (FLAGS) (CHANGEDSINCE 1) x",
        ),
        *(
            b"UID FETCH 1 (RFC822.TEXT)",
            b"FETCH 1 (FLAGS)",
            b"UID EXPUNGE 1",
            b"SETACL x y z",
            b"IDLE",
            b"select x",
        ),
    ],
)
def test_wire_read_only_refuses_every_other_command_before_the_socket(command: bytes) -> None:
    with ScriptedServer({}) as server, server.connect() as connection:
        with pytest.raises(UnsafeArgumentError):
            connection._channel.run(command)
        connection.noop()
    assert not server.sent(command)


def test_wire_read_only_holds_for_all_that_the_methods_send() -> None:
    script = {
        **offering(
            b"LIST-EXTENDED SPECIAL-USE NAMESPACE OBJECTID X-GM-EXT-1 ESEARCH UNSELECT ENABLE QRESYNC"
        ),
        b"ENABLE": b"* ENABLED QRESYNC\r\n<tag> OK done\r\n",
        b"EXAMINE": EXAMINED,
        b"UID SEARCH": b"* ESEARCH UID ALL 3\r\n<tag> OK done\r\n",
        b"UID FETCH 3 (BODY": b"* 1 FETCH (UID 3 BODY[1.MIME]<5> {2}\r\nab)\r\n<tag> OK done\r\n",
    }
    with ScriptedServer(script) as server, server.connect() as connection:
        connection.list_folders()
        connection.namespaces()
        connection.status([b"INBOX"])
        connection.examine(b"INBOX")
        connection.fetch_flags("5:*")
        connection.fetch_changes(7)
        connection.status([b"INBOX"])
        connection.examine(b"INBOX")
        connection.fetch_metadata(UidSet.span(1, 9))
        assert connection.fetch_section(3, "1.MIME", 5, 10) == b"ab"
        connection.fetch_sections([(3, "2"), (4, "3.1")], 65_536)
        assert connection.uid_search("SINCE 1-Jan-2020") == UidSet.span(3, 3)
    sent = b"".join(server.received)
    assert b"BODY.PEEK[1.MIME]<5.10>" in sent
    assert b"EMAILID X-GM-MSGID X-GM-LABELS THREADID X-GM-THRID" in sent
    assert b"UID FETCH 1:* (UID FLAGS X-GM-LABELS) (CHANGEDSINCE 7 VANISHED)" in sent
    assert b"UNSELECT" in sent
    assert b"BODY[" not in sent
    assert b" SELECT" not in sent
