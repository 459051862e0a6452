"""Names are shown as users know them, and two folders never by one name."""

import pytest

from mailsync_grpc.imap.folder_names import decode_name
from mailsync_grpc.imap.listing import ListedFolder, Namespaces
from mailsync_grpc.sync.naming import known_as

COURIER = Namespaces(((b"INBOX.", "."),), (), ((b"#shared.", "."),))
CYRUS = Namespaces(((b"INBOX.", "."),), ((b"user.", "."),), ((b"", "."),))
DOVECOT = Namespaces(((b"", "/"), (b"#mh/", "/")), ((b"Users/", "/"),), ((b"Public/", "/"),))


def shown(namespaces: Namespaces | None, *names: bytes, delimiter: str = ".") -> dict[bytes, str]:
    listed = [ListedFolder(raw, decode_name(raw), delimiter) for raw in names]
    return {naming.entry.raw_name: naming.path for naming in known_as(listed, namespaces)}


def own(namespaces: Namespaces, *names: bytes, delimiter: str = ".") -> list[bool]:
    return [naming.own for naming in known_as([ListedFolder(n, "", delimiter) for n in names], namespaces)]


def test_inbox_prefix_is_not_shown() -> None:
    assert shown(COURIER, b"INBOX", b"INBOX.Sent", b"INBOX.Entw&APw-rfe.Alt", b"#shared.Team") == {
        b"INBOX": "INBOX",
        b"INBOX.Sent": "Sent",
        b"INBOX.Entw&APw-rfe.Alt": "Entwürfe.Alt",
        b"#shared.Team": "#shared.Team",
    }


@pytest.mark.parametrize("prefix", [b"INBOX.", b"Inbox.", b"INBOX"])
def test_inbox_prefix_is_known_in_any_case_and_without_its_delimiter(prefix: bytes) -> None:
    assert shown(Namespaces(((prefix, "."),), (), ()), b"Inbox.Sent") == {b"Inbox.Sent": "Sent"}


def test_inbox_prefix_stays_where_the_rest_would_be_another_folders_name() -> None:
    names = (
        b"INBOX",
        b"INBOX.INBOX",
        b"INBOX.inbox.Old",
        b"INBOX.Team",
        b"INBOX.Team.A",
        b"Team.B",
        b"INBOX.C",
    )
    assert shown(CYRUS, *names) == {
        b"INBOX": "INBOX",
        b"INBOX.INBOX": "INBOX.INBOX",
        b"INBOX.inbox.Old": "INBOX.inbox.Old",
        b"INBOX.Team": "INBOX.Team",
        b"INBOX.Team.A": "INBOX.Team.A",
        b"Team.B": "Team.B",
        b"INBOX.C": "C",
    }


def test_folders_inside_inbox_keep_their_place_where_the_namespace_has_no_prefix() -> None:
    for namespaces in (DOVECOT, None):
        assert shown(namespaces, b"INBOX", b"INBOX/A", b"#mh/x", delimiter="/") == {
            b"INBOX": "INBOX",
            b"INBOX/A": "INBOX/A",
            b"#mh/x": "#mh/x",
        }


def test_whose_a_folder_is_the_longest_prefix_says() -> None:
    assert own(CYRUS, b"INBOX", b"INBOX.Sent", b"user.ann.Sent", b"Sent") == [True, True, False, False]
    assert own(DOVECOT, b"INBOX", b"Sent", b"Users", b"Users/ann", b"Public/Sent", delimiter="/") == [
        *(True, True, False, False, False),
    ]
    assert own(Namespaces((), (), ()), b"Sent") == [True]
