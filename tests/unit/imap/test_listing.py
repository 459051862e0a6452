import pytest

from mailsync_grpc.errors import ImapProtocolError
from mailsync_grpc.imap.listing import (
    FolderStatus,
    ListedFolder,
    Selected,
    parse_examine,
    parse_list,
    parse_namespaces,
    parse_search,
    parse_server,
    parse_status,
    parse_vanished,
    parse_words,
)
from mailsync_grpc.model.uidset import UidSet


def names(answer: bytes) -> list[tuple[bytes, str]]:
    return [(folder.raw_name, folder.name) for folder in parse_list(answer)]


def test_bad_mutf7() -> None:
    answer = b'* LIST () "/" INBOX\r\n* LIST () "/" "a&b"\r\n* LIST () "/" "Entw&APw-rfe"\r\n'
    assert names(answer) == [(b"INBOX", "INBOX"), (b"a&b", "a&b"), (b"Entw&APw-rfe", "Entwürfe")]


def test_raw_utf8_name() -> None:
    raw = "Éléments".encode()
    assert names(b'* LIST () "/" "' + raw + b'"\r\n') == [(raw, "Éléments")]


@pytest.mark.parametrize(
    ("wire", "raw"),
    [
        (b'"a \\"quoted\\" \\\\ name"', b'a "quoted" \\ name'),
        (b'"100%"', b"100%"),
        (b'"*"', b"*"),
        (b'".."', b".."),
        (b'"../../etc/passwd"', b"../../etc/passwd"),
        (b'"a (b) c"', b"a (b) c"),
        (b"plain.atom]", b"plain.atom]"),
        (b"NIL", b"NIL"),
        (b'{8}\r\na\r\n"(\x01\xff)', b'a\r\n"(\x01\xff)'),
        (b'" leading and trailing "', b" leading and trailing "),
    ],
)
def test_folder_name_torture(wire: bytes, raw: bytes) -> None:
    ((found, shown), (following, _)) = names(b'* LIST () "/" ' + wire + b'\r\n* LIST () "/" next\r\n')
    assert (found, following) == (raw, b"next")
    shown.encode("utf-8")
    assert not set(shown) & {"\r", "\n", "\x00"}


def test_list_extended() -> None:
    answer = (
        b'* LIST (\\Subscribed) "/" "Foo" ("CHILDINFO" ("SUBSCRIBED"))\r\n'
        b'* LIST () "/" bar (OLDNAME ("x"))\r\n* LIST () "/" "Baz (1)"\r\n'
    )
    assert [folder.raw_name for folder in parse_list(answer)] == [b"Foo", b"bar", b"Baz (1)"]


def test_list_attrs() -> None:
    answer = (
        b'* list (\\noselect \\HASCHILDREN) "." top\r\n* LIST (\\SENT \\X-Own) "." "Envoy&AOk-s"\r\n'
        b'* LIST (\\NonExistent) NIL gone\r\n* LIST () "\\\\" inbox\r\n'
    )
    top, sent, gone, inbox = parse_list(answer)
    assert (top.attributes, top.selectable) == (frozenset({"\\Noselect", "\\HasChildren"}), False)
    assert sent == ListedFolder(b"Envoy&AOk-s", "Envoyés", ".", frozenset({"\\Sent", "\\X-Own"}), "\\Sent")
    assert (gone.selectable, gone.delimiter) == (False, None)
    assert (inbox.raw_name, inbox.name, inbox.delimiter) == (b"INBOX", "INBOX", "\\")


def test_a_name_listed_twice_is_one_folder_and_nonsense_is_none() -> None:
    answer = (
        b'* LIST () "/" a\r\n* LIST (\\Marked) "/" a\r\n* LIST what\r\n* LIST () "/" ""\r\n* 3 EXISTS\r\n'
    )
    (folder,) = parse_list(answer)
    assert folder.attributes == {"\\Marked"}


def test_status_counters_are_read_by_name_and_zero_is_unusable() -> None:
    assert parse_status(b'* STATUS "a (b)" (UIDNEXT 5 MESSAGES 3 UIDVALIDITY 9 HIGHESTMODSEQ 7)\r\n') == (
        FolderStatus(3, 5, 9, 7)
    )
    assert parse_status(
        b"* STATUS {3}\r\na\r\n (MESSAGES 0 UIDNEXT 0 UIDVALIDITY 0 HIGHESTMODSEQ 0)\r\n"
    ) == (FolderStatus(0, None, None, None))


def test_a_mailbox_id_is_told_apart_from_the_counters_and_from_the_name() -> None:
    assert parse_status(b"* STATUS x (MESSAGES 3 MAILBOXID (F22-a_1) UIDVALIDITY 9)\r\n") == (
        FolderStatus(3, None, 9, None, "F22-a_1")
    )
    assert parse_status(b'* STATUS "a (MAILBOXID (no)) b" (MESSAGES 3 MailboxId (yes))\r\n') == (
        FolderStatus(3, None, None, None, "yes")
    )


def test_uidnext_missing_is_none_and_a_status_without_messages_is_no_status() -> None:
    assert parse_status(b"* STATUS x (MESSAGES 3)\r\n") == FolderStatus(3, None, None, None)
    assert parse_status(b"* STATUS x (UIDNEXT 3)\r\n") is None
    assert parse_status(b"") is None


def test_examine_tells_what_the_folder_holds() -> None:
    answer = (
        b"* FLAGS (\\Seen)\r\n* 3 EXISTS\r\n* 0 RECENT\r\n* OK [UIDVALIDITY 7] ok\r\n* OK [UIDNEXT 9] ok\r\n"
        b"* OK [HIGHESTMODSEQ 12] ok\r\n* OK [MAILBOXID (F2212ea87)] ok\r\n"
    )
    assert parse_examine(answer) == Selected(7, 9, 3, 12, "F2212ea87")


def test_no_uidvalidity_and_no_modseq_are_none() -> None:
    answer = b"* 3 EXISTS\r\n* OK [UIDVALIDITY 0] ok\r\n* OK [NOMODSEQ] no\r\n"
    assert parse_examine(answer) == Selected(None, None, 3, None, None)


def test_stale_exists_of_the_folder_before_does_not_count() -> None:
    answer = (
        b"* 99 EXISTS\r\n* OK [UIDVALIDITY 1] x\r\n* OK [CLOSED] Previous mailbox closed.\r\n* 3 EXISTS\r\n"
    )
    assert parse_examine(answer) == Selected(None, None, 3, None, None)
    with pytest.raises(ImapProtocolError):
        parse_examine(b"* 99 EXISTS\r\n* OK [CLOSED] Previous mailbox closed.\r\n* OK [UIDVALIDITY 7] ok\r\n")


def test_search_absent() -> None:
    with pytest.raises(ImapProtocolError):
        parse_search(b"* 3 EXISTS\r\n")
    assert parse_search(b"* SEARCH\r\n") == UidSet()
    assert parse_search(b'* ESEARCH (TAG "M1") UID\r\n') == UidSet()


def test_what_vanished_is_told_at_once_or_as_it_happens_and_nothing_else_is_taken_for_it() -> None:
    answer = (
        b"* VANISHED (EARLIER) 41,43:116\r\n* 1 FETCH (UID 5 FLAGS (VANISHED) MODSEQ (9))\r\n"
        b"* vanished 7\r\n* VANISHED (LATER) 8\r\n* VANISHED\r\n* 2 EXPUNGE\r\n"
    )
    assert parse_vanished(answer) == UidSet.parse("7,41,43:116")
    assert parse_vanished(b"* VANISHED (EARLIER) 0:4294967299\r\n") == UidSet.span(1, 4_294_967_295)
    with pytest.raises(ImapProtocolError):
        parse_vanished(b"* VANISHED (EARLIER) 1::3\r\n")


def test_search_takes_no_uid_that_cannot_be_one() -> None:
    assert parse_search(b"* SEARCH 0 4294967296 7\r\n* SEARCH 8 (MODSEQ 9)\r\n") == UidSet.span(7, 8)
    with pytest.raises(ImapProtocolError):
        parse_search(b'* ESEARCH (TAG "M1") UID ALL 1:x\r\n')


def test_namespaces_are_told_apart() -> None:
    found = parse_namespaces(b'* NAMESPACE (("INBOX." ".")) NIL (("Shared/" "/" "X" ("y"))("#p" NIL))\r\n')
    assert found is not None
    assert found.personal == ((b"INBOX.", "."),)
    assert found.other == ()
    assert found.shared == ((b"Shared/", "/"), (b"#p", None))
    assert parse_namespaces(b"* NAMESPACE (\r\n") is None


def test_words_of_capability_and_enabled_are_kept_apart() -> None:
    answer = b"* CAPABILITY imap4rev1 Idle\r\n* ENABLED CONDSTORE\r\n"
    assert parse_words(answer, "CAPABILITY") == frozenset({"IMAP4REV1", "IDLE"})
    assert parse_words(answer, "ENABLED") == frozenset({"CONDSTORE"})
    assert parse_words(b"", "ENABLED") is None
    assert parse_words(b"* CAPABILITY IDLE {1}\r\nx\r\n", "CAPABILITY") == frozenset({"IDLE"})


@pytest.mark.parametrize(
    ("answer", "server"),
    [
        (b'* ID ("name" "Dovecot" "version" "2.3.19")\r\n', "Dovecot 2.3.19"),
        (b'* id ("remote-host" "10.0.0.1" "NAME" "GImap" "vendor" NIL)\r\n', "GImap"),
        (b'* ID ("version" {1}\r\n3 "name" NIL)\r\n', "3"),
        (b"* ID NIL\r\n", ""),
        (b"* ID ()\r\n", ""),
        (b"* ID \r\n", None),
        (b'* ID ("name"\r\n', None),
        (b"* ENABLED CONDSTORE\r\n", None),
    ],
)
def test_a_server_is_known_by_what_does_not_differ_between_its_connections(
    answer: bytes, server: str | None
) -> None:
    assert parse_server(answer) == server


def test_a_server_that_hides_its_name_in_lists_has_none() -> None:
    deep = b"(" * 5_000 + b")" * 5_000
    assert parse_server(b'* ID ("name" %s %s "x" "version" "1")\r\n' % (deep, deep)) == "1"


def test_counters_of_several_folders_in_one_answer_are_nobodys() -> None:
    one, other = b"* STATUS INBOX (MESSAGES 3)\r\n", b"* STATUS Sent (MESSAGES 0)\r\n"
    assert parse_status(one) == FolderStatus(3, None, None, None)
    assert parse_status(one + other) is None
    assert parse_status(b"* 3 EXISTS\r\n") is None
