r"""What may be sent to change a mailbox, what may not, and what is made of the server's word about it."""

from collections.abc import Callable

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from mailsync_grpc.errors import ImapProtocolError, ImapRefusedError, UnsafeArgumentError
from mailsync_grpc.imap import changes
from mailsync_grpc.imap.changing import ChangingConnection
from mailsync_grpc.imap.fetch import parse_labelled
from mailsync_grpc.imap.receive import Answer
from mailsync_grpc.imap.told import Appended, Copied, append_limit, parse_appended, parse_copied, parse_stored
from mailsync_grpc.model.uidset import UidSet
from tests.unit.imap.scripted import EXAMINED, ScriptedServer, offering

ASKED = UidSet.parse("1:5")


@pytest.mark.parametrize(
    "command",
    [
        *(
            b"EXPUNGE",
            b"CLOSE",
            b"UID EXPUNGE",
            b"UID EXPUNGE 1:*",
            b"STORE 1 +FLAGS.SILENT (a)",
            b"COPY 1 x",
        ),
        *(b"UID STORE 1 FLAGS.SILENT (a)", b"UID STORE 1 +FLAGS (a)", b"UID STORE 1:* +FLAGS.SILENT (a)"),
        *(b'UID STORE 1 X-GM-LABELS ("a")', b"UID STORE 1 +X-GM-LABELS ()", b"UID STORE 1 +X-GM-LABELS (a)"),
        *(
            b'UID STORE 1 +X-GM-LABELS ("")',
            b'STORE 1 +X-GM-LABELS ("a")',
            b'UID STORE 1:* -X-GM-LABELS ("a")',
        ),
        *(
            b'UID STORE 1 +X-GM-LABELS ("a") x',
            b'UID STORE 1 +X-GM-LABELS ("a"" b")',
            b'UID STORE 1 +X-GM-LABELS ("\xc3")',
        ),
        *(b'UID STORE 1 +X-GM-LABELS ("a") +FLAGS.SILENT (b)', b'UID STORE 1 +X-GM-LABELS ("a\\")'),
        *(b"UID STORE 1 +FLAGS.SILENT (a) x", b'UID COPY 1 "x" y', b'UID COPY 1 "x" "y"', b"UID COPY 1 x"),
        *(b'CREATE "x" (USE (Archive))', b'RENAME "x"', b'DELETE "x" "y"', b'SELECT "x" (CONDSTORE)'),
        *(
            b'APPEND "x" () {3+}',
            b'APPEND "x" (\\Seen) "\\"" {3}',
            b'SETACL "x" y z',
            b"IDLE",
            b'SELECT "x\\y"',
        ),
        *(b"UID FETCH 1 (BODY[])", b'UID STORE 1 +FLAGS.SILENT (a")', b'UID MOVE 1 "x"\r\nx EXPUNGE'),
    ],
)
def test_wire_read_only_but_for_explicit_changes(command: bytes) -> None:
    with ScriptedServer({}) as server, server.connect() as connection:
        changing = ChangingConnection(connection)
        with pytest.raises(UnsafeArgumentError):
            changing._channel.run(command)
        changing.noop()
    assert not server.sent(command)


def test_a_reading_connection_refuses_every_change_that_a_changing_one_sends() -> None:
    lines = [
        changes.select(b"a"),
        changes.uid_store("1:3,5", "+", ["\\Seen", "$x"], 7),
        changes.uid_label("1:3,5", "-", ["\\Inbox", 'a "b" \\c & é'], 7),
        changes.uid_copy("1", b'a "b" \\c'),
        changes.uid_move("1", b"a"),
        changes.uid_expunge("1:3"),
        changes.create(b"a", "\\Archive"),
        changes.rename(b"a", b"b"),
        changes.delete(b"a"),
        changes.subscribe(b"a", on=True),
        changes.subscribe(b"a", on=False),
        changes.append(b"a", ["\\Draft"], 1_500_000_000, 3),
    ]
    with ScriptedServer({}) as server, server.connect() as connection:
        for line in lines:
            with pytest.raises(UnsafeArgumentError):
                connection._channel.run(line)
        connection.noop()
    for line in lines:
        assert changes.check_line(b"M1 " + line + b"\r\n") in line.decode("latin-1")


@pytest.mark.parametrize("unsafe", ["\r\n", "\n", "\r", "\x00"])
def test_crlf_injection_in_changes(unsafe: str) -> None:
    name = f"x{unsafe}y EXPUNGE"
    attacks: list[Callable[[], object]] = [
        lambda: changes.select(name.encode()),
        lambda: changes.uid_copy("1", name.encode()),
        lambda: changes.create(name.encode()),
        lambda: changes.rename(b"a", name.encode()),
        lambda: changes.uid_store("1", "+", [name]),
        lambda: changes.uid_label("1", "-", ["a", name]),
        lambda: changes.append(b"a", [name], None, 1),
        lambda: changes.create(b"a", f"\\A{unsafe}"),
    ]
    for attack in attacks:
        with pytest.raises(UnsafeArgumentError):
            attack()


@pytest.mark.parametrize("flag", ["\\Seen", "$Forwarded", "123", "NIL", "\\Junk", "a.b-c"])
def test_atoms_are_flags(flag: str) -> None:
    assert changes.is_flag(flag)


@pytest.mark.parametrize(
    "flag", ["", "\\", "a b", "a)", "{3}", "a%", "*", '"', "\\Recent", "é", "a\\b", "]", "\\*"]
)
def test_others_are_not(flag: str) -> None:
    assert not changes.is_flag(flag)


@pytest.mark.parametrize(
    ("label", "sent"),
    [
        ("foo", b'"foo"'),
        ("Muy Importante", b'"Muy Importante"'),
        ("\\Inbox", rb'"\\Inbox"'),
        ('a "b"', rb'"a \"b\""'),
        ("a\\b", rb'"a\\b"'),
        ("R&D (é)", b'"R&-D (&AOk-)"'),
        ("日本語/[x]*%", b'"&ZeVnLIqe-/[x]*%"'),
        ("x" * changes.MAX_LABEL, b'"' + b"x" * changes.MAX_LABEL + b'"'),
    ],
)
def test_labels_are_quoted_in_modified_utf7(label: str, sent: bytes) -> None:
    assert changes.uid_label("1:3", "+", [label]) == b"UID STORE 1:3 +X-GM-LABELS (" + sent + b")"


@pytest.mark.parametrize(
    "label",
    ["", " ", " a", "a\t", "a\rb", "a\nb", "a\0b", "\x7f", "\ud800", "x" * 226, "\\", "\\a b", "\\\\a", "\\é"],
)  # fmt: skip
def test_what_is_no_label_is_not_sent(label: str) -> None:
    assert not changes.is_label(label)
    with pytest.raises(UnsafeArgumentError):
        changes.uid_label("1", "+", ["a", label])


@given(st.lists(st.text(min_size=1, max_size=12) | st.text('\\"&,-/{}()* aé', max_size=12), min_size=1))
def test_every_label_that_is_sent_is_one_argument_and_comes_back_as_it_was(texts: list[str]) -> None:
    labels = sorted({text for text in texts if changes.is_label(text)})
    assume(labels)
    assert changes.check_line(b"M1 " + changes.uid_label("1", "-", labels) + b"\r\n") == "UID STORE"
    told = b"* 1 FETCH (UID 1 FLAGS () X-GM-LABELS %s)\r\n" % changes.label_list(labels)
    (flags,) = parse_labelled(told, ASKED).table.values()
    assert list(flags.labels) == labels


def test_dates_are_in_utc_whatever_the_machines_language_and_zone() -> None:
    assert changes.date_time(1_500_000_000) == b'"14-Jul-2017 02:40:00 +0000"'
    assert changes.date_time(0) == b'"01-Jan-1970 00:00:00 +0000"'
    with pytest.raises(UnsafeArgumentError):
        changes.date_time(1 << 50)


def completed(completion: bytes, *lines: bytes) -> Answer:
    return Answer(b"".join(line + b"\r\n" for line in lines), completion)


@pytest.mark.parametrize(
    ("answer", "copied"),
    [
        (completed(b"OK [COPYUID 7 1:2,4 10,12:13] done"), Copied(((1, 10), (2, 12), (4, 13)), 7)),
        (completed(b"OK done", b"* OK [COPYUID 7 1 10] moved", b"* 1 EXPUNGE"), Copied(((1, 10),), 7)),
        (completed(b"OK [copyuid 7 1 10] done"), Copied(((1, 10),), 7)),
        (completed(b"OK [COPYUID 7 9 10] done"), Copied()),
        (completed(b"OK done"), Copied()),
        (completed(b"OK [COPYUID 7 1:2 10] done"), Copied()),
        (completed(b"OK [COPYUID 7 1:4294967295 1:4294967295] done"), Copied()),
        (completed(b"OK [COPYUID 7 0 10] done"), Copied()),
        (completed(b"OK [COPYUID 0 1 10] done"), Copied()),
        (completed(b"OK [COPYUID 4294967296 1 10] done"), Copied()),
        (completed(b"OK [COPYUID 7 1: 10] done"), Copied()),
        (completed(b"OK [COPYUID 7 %s 10] done" % (b"1" * 5_000)), Copied()),
        (completed(b"OK [COPYUID 7 :1 10] done"), Copied()),
        (completed(b"OK done", b"* 1 FETCH (X {30}", b"* OK [COPYUID 7 1 10] forged", b")"), Copied()),
    ],
)  # fmt: skip
def test_copyuid_is_read_where_it_makes_sense(answer: Answer, copied: Copied) -> None:
    assert parse_copied(answer, ASKED) == copied


@pytest.mark.parametrize(
    ("completion", "appended"),
    [
        (b"OK [APPENDUID 7 10] done", Appended(7, 10)),
        (b"OK [APPENDUID 7 10:11] done", Appended()),
        (b"OK [APPENDUID 7 0] done", Appended()),
        (b"OK [APPENDUID 0 10] done", Appended()),
        (b"OK [APPENDUID 4294967296 10] done", Appended()),
        (b"OK done", Appended()),
    ],
)
def test_appenduid_is_read_where_it_makes_sense(completion: bytes, appended: Appended) -> None:
    assert parse_appended(completed(completion)) == appended


def test_the_limit_of_a_message_is_read_where_it_holds_for_every_folder() -> None:
    assert append_limit(["IMAP4REV1", "APPENDLIMIT=1000"]) == 1_000
    for capability in ("APPENDLIMIT", "APPENDLIMIT=x", "APPENDLIMIT=", f"APPENDLIMIT={'9' * 5_000}"):
        assert append_limit([capability]) is None


def test_a_conditional_store_tells_what_was_left_alone() -> None:
    told = completed(b"OK [MODIFIED 7,9:10] Conditional STORE failed")
    assert parse_stored(told).modified == UidSet.parse("7,9:10")
    assert parse_stored(completed(b"NO [MODIFIED 7] none")).modified == UidSet.parse("7")
    assert parse_stored(completed(b"OK [MODIFIED ,:] x")).modified == UidSet()
    assert parse_stored(completed(b"OK done")).modified == UidSet()


def test_what_a_message_may_have_next_is_the_mod_sequence_it_was_given_or_the_one_it_might_have_before() -> (
    None
):
    stored = parse_stored(
        completed(
            b"OK [MODIFIED 7] Conditional STORE failed",
            b"* 1 FETCH (UID 4 MODSEQ (90))",
            b"* 2 FETCH (MODSEQ (90) UID 5 FLAGS (\\Seen))",
            b"* 2 FETCH (UID 5 FLAGS (theirs) MODSEQ (91))",
            b"* 3 FETCH (UID 6 MODSEQ ())",
            b"* 4 FETCH (MODSEQ (92))",
            b"* 7 EXISTS",
        )
    )
    assert stored.allowed(UidSet.parse("4:8"), 80) == {90: UidSet.parse("4:5"), 80: UidSet.parse("6,8")}
    assert stored.allowed(UidSet.parse("4:8"), 0) == {0: UidSet.parse("4:6,8")}, "asked for unconditionally"


def test_a_folder_that_was_selected_is_left_by_examine_or_logout() -> None:
    script = {**offering(b"UIDPLUS"), b"SELECT": EXAMINED, b"EXAMINE": EXAMINED}
    with ScriptedServer(script) as server, ChangingConnection(server.connect()) as changing:
        changing.select(b"INBOX")
        changing.store(UidSet.parse("1"), "+", ["\\Deleted"]).read()
        changing.examine(b"Other")
    sent = b"".join(server.received)
    assert b"CLOSE" not in sent
    assert sent.rstrip().endswith(b"LOGOUT")


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"<tag> NO [OVERQUOTA] full\r\n", ImapRefusedError),
        (b"* 1 EXISTS\r\n<tag> NO [TRYCREATE] no folder\r\n", ImapRefusedError),
        (b"<tag> OK done\r\n", ImapProtocolError),
        (b"* 1 EXISTS\r\n" * 20_000 + b"+ go on\r\n", ImapProtocolError),
    ],
)
def test_a_message_the_server_does_not_want_is_not_sent(answer: bytes, error: type[Exception]) -> None:
    with ScriptedServer({b"APPEND": answer}) as server:
        changing = ChangingConnection(server.connect())
        with pytest.raises(error):
            changing.append(b"a", [], None, 5, iter([b"HELLO"]))
        changing.close()
    assert not any(b"HELLO" in line for line in server.received)
