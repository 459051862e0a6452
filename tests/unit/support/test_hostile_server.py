r"""The hostile server is honest until told otherwise: it answers all that a connection asks as RFC 3501 has it."""

from collections.abc import Iterator

import pytest

from mailsync_grpc.cli.demo.mailbox import deliveries, messages
from mailsync_grpc.errors import ImapAuthError, ImapRefusedError
from mailsync_grpc.imap.auth import Password
from mailsync_grpc.imap.connection import Connection, connect
from mailsync_grpc.imap.endpoint import Endpoint, Security
from mailsync_grpc.imap.listing import FolderStatus
from mailsync_grpc.model.uidset import UidSet
from tests.support.hostile import FLAGS, HostileServer
from tests.support.hostile_faults import omitting
from tests.support.hostile_session import FULL, PLAIN
from tests.support.hostile_store import FIRST_VALIDITY
from tests.support.mirror import POLICY


@pytest.fixture(params=[pytest.param(FULL, id="full"), pytest.param(PLAIN, id="plain")])
def server(request: pytest.FixtureRequest) -> Iterator[HostileServer]:
    with HostileServer(request.param) as server:
        yield server


def connected(server: HostileServer, password: str = "secret") -> Connection:
    endpoint = Endpoint(server.host, server.port, Security.PLAINTEXT)
    return connect(endpoint, POLICY, Password(server.mailbox.user, password))


def test_it_counts_lists_and_finds_what_was_delivered(server: HostileServer) -> None:
    server.mailbox.create_folders("Neu/Ärger")
    server.mailbox.deliver(deliveries(5), "Neu/Ärger")
    with connected(server) as connection:
        listed = {folder.name: folder for folder in connection.list_folders()}
        raw = listed["Neu/Ärger"].raw_name
        assert "\\HasChildren" in listed["Neu"].attributes
        assert connection.status([b"INBOX", raw, b"gone"]) == [
            FolderStatus(0, 1, FIRST_VALIDITY, 1 if connection.condstore else None),
            FolderStatus(5, 6, FIRST_VALIDITY + 7, 6 if connection.condstore else None),
            None,
        ]
        assert connection.examine(raw).exists == 5
        assert connection.uid_search("ALL") == UidSet.span(1, 5)
        assert connection.uid_search("SINCE 1-Jan-2037") == UidSet()
        with pytest.raises(ImapRefusedError):
            connection.examine(b"gone")


def test_a_star_range_holds_the_last_message_even_below_its_start(server: HostileServer) -> None:
    server.mailbox.deliver(messages(3))
    with connected(server) as connection:
        connection.examine(b"INBOX")
        assert b"UID 3" in connection._channel.run(b"UID FETCH 9:* (UID FLAGS)")


def test_it_gives_the_octets_that_were_delivered(server: HostileServer) -> None:
    (raw,) = messages(1)
    server.mailbox.deliver([raw])
    with connected(server) as connection:
        connection.examine(b"INBOX")
        assert connection.fetch_section(1, "", 0, 1 << 20) == raw
        assert connection.fetch_section(1, "HEADER", 3, 5) == raw[3:8]


def test_it_tells_at_the_end_of_a_command_what_changed_since_the_last(server: HostileServer) -> None:
    server.mailbox.deliver(messages(5))
    with connected(server) as connection:
        connection.examine(b"INBOX")
        server.mailbox.expunge("2:3")
        server.mailbox.deliver(messages(4))
        connection.noop()
        assert (connection.exists, connection.folder_dirty) == (7, True)
        assert connection.fetch_flags("1:*").uids == [1, 4, 5, 6, 7, 8, 9]


def test_it_admits_nobody_without_the_password(server: HostileServer) -> None:
    with pytest.raises(ImapAuthError):
        connected(server, "wrong")


def test_a_rule_ends_when_it_was_used_or_healed(server: HostileServer) -> None:
    server.mailbox.deliver(messages(3))
    with connected(server) as connection:
        connection.examine(b"INBOX")
        server.once(FLAGS, omitting(2))
        assert [connection.fetch_flags("1:*").uids for _ in range(2)] == [[1, 3], [1, 2, 3]]
        server.always(FLAGS, omitting(2))
        assert [connection.fetch_flags("1:*").uids for _ in range(2)] == [[1, 3], [1, 3]]
        server.heal()
        assert connection.fetch_flags("1:*").uids == [1, 2, 3]
