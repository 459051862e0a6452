import pytest

from mailsync_grpc.imap.metadata import parse_metadata
from mailsync_grpc.model.envelope import (
    MAX_ADDRESSES,
    Address,
    BodyPart,
    Envelope,
    FetchedMessage,
    PartialReason,
)
from mailsync_grpc.model.flags import Flags
from mailsync_grpc.model.report import Report, ReportKind
from mailsync_grpc.model.uidset import UidSet
from tests.unit.imap.answers import ATTRIBUTES, answer, response

GRAY = Address("Terry Gray", "gray@cac.washington.edu")
WHOLE = FetchedMessage(
    uid=7,
    flags=Flags.of(["\\Seen", "$Forwarded"]),
    envelope=Envelope(
        internal_date=837596665,
        size=4286,
        subject="Résumé",
        from_=(GRAY,),
        sender=(GRAY,),
        reply_to=(GRAY,),
        to=(Address("", "imap@cac.washington.edu"),),
        cc=(Address("", "minutes@CNRI.Reston.VA.US"), Address('John "J" Klensin', "KLENSIN@MIT.EDU")),
        message_id="B27397-0100000@cac.washington.edu",
        in_reply_to=("first@mail.example", "second@mail.example"),
        header_date=837595405,
        header_date_raw="Wed, 17 Jul 1996 02:23:25 -0700 (PDT)",
        references=("r1@mail.example", "r2@x.y"),
        text_parts=(BodyPart("1", "text", "plain", "us-ascii", "7bit", 3028, 92),),
    ),
)


def one(data: bytes) -> FetchedMessage:
    (message,) = parse_metadata(data)
    return message


def test_a_whole_answer_becomes_an_envelope() -> None:
    assert parse_metadata(answer()) == [WHOLE]


@pytest.mark.parametrize(
    "order", [list(reversed(ATTRIBUTES)), sorted(ATTRIBUTES), [*list(ATTRIBUTES)[1:], "UID"]]
)
def test_attributes_in_any_order_mean_the_same(order: list[str]) -> None:
    assert one(response({name: ATTRIBUTES[name] for name in order})) == WHOLE


def test_mixed_case_is_understood() -> None:
    data = answer().replace(b"FETCH", b"Fetch").replace(b"UID", b"Uid").replace(b"ENVELOPE", b"Envelope")
    assert one(data) == WHOLE


def test_literals_are_read_wherever_a_string_may_stand() -> None:
    literal = answer().replace(b'"=?utf-8?q?R=C3=A9sum=C3=A9?="', b"{8}\r\nR\xc3\xa9sum\xc3\xa9")
    literal = literal.replace(b'"Terry Gray"', b"{10}\r\nTerry Gray").replace(b'"plain"', b"{5}\r\nplain")
    assert one(literal.replace(b"{8}", b"{%d}" % len("Résumé".encode()))) == WHOLE


def test_literals_of_one_answer_do_not_leak_into_the_next() -> None:
    for name in (b"Ann", b"Bob"):
        message = one(answer().replace(b'"Terry Gray"', b"{3}\r\n" + name))
        assert message.envelope.from_[0].display_name == name.decode()


@pytest.mark.parametrize(
    ("replaced", "detail"),
    [
        ({"ENVELOPE": "NIL"}, "ENVELOPE"),
        ({"ENVELOPE": '("date" "subject")'}, "ENVELOPE"),
        ({"BODYSTRUCTURE": "()"}, "BODYSTRUCTURE"),
        ({"BODYSTRUCTURE": "NIL"}, "BODYSTRUCTURE"),
        ({"BODYSTRUCTURE": "(())"}, "BODYSTRUCTURE"),
        ({"ENVELOPE": '("unclosed)'}, "ENVELOPE"),
        ({"BODYSTRUCTURE": '("text" "plain"'}, "ENVELOPE"),
    ],
)
def test_malformed_envelope(replaced: dict[str, str], detail: str) -> None:
    good = answer().replace(b"UID 7", b"UID 8")
    bad, neighbour = parse_metadata(answer(**replaced) + good)
    assert bad.uid == 7
    assert bad.envelope.partial is not None
    assert bad.envelope.partial.reason is PartialReason.MALFORMED
    assert detail in bad.envelope.partial.detail
    assert neighbour == WHOLE._replace(uid=8)


def test_malformed_envelope_keeps_what_else_is_sound() -> None:
    message = one(answer(ENVELOPE="NIL"))
    assert (message.envelope.size, message.envelope.internal_date) == (4286, 837596665)
    assert message.envelope.text_parts == WHOLE.envelope.text_parts
    assert message.envelope.references == WHOLE.envelope.references


def test_fetch_without_flags() -> None:
    data = response({name: value for name, value in ATTRIBUTES.items() if name != "FLAGS"})
    assert one(data) == WHOLE._replace(flags=Flags())


def test_unsolicited_no_uid_is_no_data() -> None:
    data = b"* 4 FETCH (FLAGS (\\Deleted))\r\n" + answer() + b"* 9 EXPUNGE\r\n* 3 EXISTS\r\n"
    assert parse_metadata(data) == [WHOLE]


def test_unsolicited_flags_of_another_message_are_no_message() -> None:
    assert parse_metadata(b"* 4 FETCH (UID 12 FLAGS (\\Deleted))\r\n" + answer()) == [WHOLE]


def test_a_flag_change_amid_the_answer_counts() -> None:
    data = answer() + b"* 1 FETCH (UID 7 FLAGS (\\Deleted))\r\n"
    assert parse_metadata(data) == [WHOLE._replace(flags=Flags.of(["\\Deleted"]))]


def test_unsorted_uids_are_sorted_and_those_not_asked_for_dropped() -> None:
    data = b"".join(answer(UID=uid) for uid in ("9", "7", "8", "9", "0", "4294967296"))
    assert [message.uid for message in parse_metadata(data)] == [7, 8, 9]
    assert [message.uid for message in parse_metadata(data, UidSet.span(8, 20))] == [8, 9]


@pytest.mark.parametrize(
    "date", ['" 1-Jan-9999 00:00:00 +0000"', '"17-Jul-1996 02:44:25 +9900"', "NIL", '""']
)
def test_broken_dates(date: str) -> None:
    assert one(answer(INTERNALDATE=date)).envelope.internal_date is None


def test_broken_dates_of_the_sender_are_kept_as_sent() -> None:
    envelope = one(answer().replace(b"Wed, 17 Jul 1996 02:23:25 -0700 (PDT)", b"next tuesday")).envelope
    assert (envelope.header_date, envelope.header_date_raw) == (None, "next tuesday")


def test_missing_internaldate_is_absent() -> None:
    data = response({name: value for name, value in ATTRIBUTES.items() if name != "INTERNALDATE"})
    assert one(data).envelope.internal_date is None


def test_address_lists_are_cut_and_marked() -> None:
    people = "".join(f'(NIL NIL "p{number}" "x.example")' for number in range(30_000))
    envelope = one(
        answer().replace(b'((NIL NIL "imap" "cac.washington.edu"))', f"({people})".encode())
    ).envelope
    assert len(envelope.to) == MAX_ADDRESSES
    assert envelope.truncated
    assert envelope.partial is None


def test_groups_and_missing_halves_of_addresses_are_understood() -> None:
    people = (
        '(NIL NIL "friends" NIL)("Ann" NIL "ann" "x.example")(NIL NIL NIL NIL)'
        '("Bob" NIL "bob" "MISSING_DOMAIN")("Cy" NIL "MISSING_MAILBOX" "MISSING_DOMAIN")'
    )
    envelope = one(
        answer().replace(b'((NIL NIL "imap" "cac.washington.edu"))', f"({people})".encode())
    ).envelope
    assert envelope.to == (Address("Ann", "ann@x.example"), Address("Bob", "bob"), Address("Cy", ""))


def test_a_subject_that_looks_like_the_next_attribute_is_only_a_subject() -> None:
    text = b') BODYSTRUCTURE (NIL) BODY[HEADER.FIELDS (REFERENCES)] \\"x\\"'
    assert one(answer().replace(b"=?utf-8?q?R=C3=A9sum=C3=A9?=", text)).envelope.subject == (
        text.replace(b"\\", b"").decode()
    )


def test_email_ids_of_both_kinds_are_kept() -> None:
    assert one(answer(EMAILID="(M6d99ac3275bb4e)")).envelope.email_id == "M6d99ac3275bb4e"
    assert one(answer(**{"X-GM-MSGID": "1278455344230334865"})).envelope.email_id == "1278455344230334865"


def test_thread_ids_of_both_kinds_are_kept() -> None:
    assert one(answer(THREADID="(T64b478a75b7ea9)")).envelope.thread_id == "T64b478a75b7ea9"
    assert one(answer(THREADID="NIL")).envelope.thread_id == ""
    assert one(answer(**{"X-GM-THRID": "1266894439832287888"})).envelope.thread_id == "1266894439832287888"
    regular = answer(EMAILID="(M1)").replace(b"EMAILID (M1)", b"EMAILID (M1) THREADID (T1)")
    assert (one(regular).envelope.email_id, one(regular).envelope.thread_id) == ("M1", "T1")


def test_invalid_utf8_becomes_text() -> None:
    data = answer().replace(b"=?utf-8?q?R=C3=A9sum=C3=A9?=", b"caf\xe9\xff").replace(b"Terry", b"T\xc3rry")
    envelope = one(data).envelope
    assert envelope.subject == "caféÿ"
    envelope.from_[0].display_name.encode("utf-8")


def test_a_message_id_without_brackets_is_kept() -> None:
    assert (
        one(answer().replace(b"<B27397-0100000@cac.washington.edu>", b" bare@id ")).envelope.message_id
        == "bare@id"
    )


@pytest.mark.parametrize(
    ("fields", "references", "submitted"),
    [
        ("Auto-Submitted: auto-replied", (), "auto-replied"),
        (
            "References: <a@b>\r\n <c@d>\r\nAuto-submitted:\r\n auto-replied (x)",
            ("a@b", "c@d"),
            "auto-replied",
        ),
        ("AUTO-SUBMITTED: auto-replied; owner=<o@p>\r\nReferences: <a@b>", ("a@b",), "auto-replied"),
        ("References: <Auto-Submitted@b>", ("Auto-Submitted@b",), ""),
        ("Auto-Submitted: no\r\nReferences: <a@b>", ("a@b",), ""),
        ("auto-submitted: auto-generated", (), ""),
    ],
)
def test_auto_submitted_and_references_are_told_apart(
    fields: str, references: tuple[str, ...], submitted: str
) -> None:
    text = f"{fields}\r\n\r\n"
    replaced = {"BODY[HEADER.FIELDS (REFERENCES AUTO-SUBMITTED)]": f"{{{len(text)}}}\r\n{text}"}
    envelope = one(answer(**replaced)).envelope
    expected = (
        Report(ReportKind.AUTO_REPLY, "first@mail.example", auto_submitted=submitted) if submitted else None
    )
    assert (envelope.references, envelope.report) == (references, expected)
    irregular = answer(**replaced).replace(b" FETCH ", b" Fetch ")
    assert one(irregular).envelope == envelope
