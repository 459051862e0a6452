import pytest

from mailsync_grpc.imap.bodystructure import (
    MAX_DEPTH,
    MAX_PARTS,
    Parts,
    TooDeepError,
    parts_of,
    read_parts,
    read_structure,
)
from mailsync_grpc.imap.metadata import parse_metadata
from mailsync_grpc.model.envelope import Attachment, BodyPart, PartialReason
from mailsync_grpc.model.report import ReportKind, ReportPart, ReportParts
from tests.unit.imap.answers import answer

PLAIN = '("text" "plain" ("charset" "utf-8") NIL NIL "8bit" 10 2 NIL NIL NIL NIL)'
HTML = '("TEXT" "HTML" ("charset" "utf-8") NIL NIL "quoted-printable" 20 3 NIL NIL NIL NIL)'
PDF = (
    '("application" "pdf" ("name" "a.pdf") "<c@x>" NIL "base64" 99 NIL'
    ' ("attachment" ("filename" "r\xe9sum\xe9.pdf" "size" "70")) NIL NIL)'
)
LOGO = '("image" "png" NIL "<logo@x>" NIL "base64" 50 NIL NIL NIL NIL)'
MESSAGE = (
    '("message" "rfc822" NIL NIL NIL "7bit" 400 (NIL "subject" NIL NIL NIL NIL NIL NIL NIL NIL)'
    f' ({PLAIN}{PDF} "mixed" NIL NIL NIL NIL) 12 NIL ("attachment" ("filename" "m.eml")) NIL NIL)'
)


def read(text: str, literals: list[bytes] | None = None) -> Parts:
    return parts_of(read_structure(text, literals or []))


def multipart(subtype: str, *children: str) -> str:
    return f'({"".join(children)} "{subtype}" ("boundary" "b") NIL NIL NIL)'


def test_a_single_part_is_part_one() -> None:
    assert read(PLAIN) == Parts(
        (BodyPart("1", "text", "plain", "utf-8", "8bit", 10, 2),), (), truncated=False
    )


def test_parts_are_numbered_as_fetch_counts_them() -> None:
    parts = read(
        multipart("mixed", multipart("alternative", PLAIN, multipart("related", HTML, LOGO)), MESSAGE, PDF)
    )
    assert [part.section for part in parts.text_parts] == ["1.1", "1.2.1"]
    assert [part.section for part in parts.attachments] == ["1.2.2", "2", "3"]


def test_an_attached_message_is_one_attachment() -> None:
    (attachment,) = read(multipart("mixed", PLAIN, MESSAGE)).attachments
    assert attachment == Attachment("2", "m.eml", "message", "rfc822", 400, "", False, "7bit", "")


def test_an_attachment_has_its_name_size_and_content_id() -> None:
    (attachment,) = read(PDF).attachments
    assert attachment == Attachment("1", "résumé.pdf", "application", "pdf", 99, "c@x", False, "base64", "")


def test_an_image_of_the_html_is_inline() -> None:
    (attachment,) = read(multipart("related", HTML, LOGO)).attachments
    assert (attachment.inline, attachment.content_id) == (True, "logo@x")


@pytest.mark.parametrize(
    "text",
    [
        PLAIN.replace("NIL NIL NIL NIL)", 'NIL ("attachment" NIL) NIL NIL)'),
        PLAIN.replace("NIL NIL NIL NIL)", 'NIL ("inline" ("filename" "notes.txt")) NIL NIL)'),
        PLAIN.replace('("charset" "utf-8")', '("charset" "utf-8" "name" "notes.txt")'),
        PLAIN.replace('"plain"', '"calendar"'),
    ],
)
def test_a_text_that_is_attached_named_or_not_shown_is_an_attachment(text: str) -> None:
    parts = read(text)
    assert parts.text_parts == ()
    assert len(parts.attachments) == 1


@pytest.mark.parametrize(
    "text",
    [
        '("text" "plain" ("charset" "utf-8" "x" "a \\"b\\" \\\\") NIL NIL "8bit" 10 2 NIL NIL NIL NIL)',
        '("text" "plain" ("charset" "\x000") NIL NIL "8bit" 10 2 NIL NIL NIL NIL)',
        '("text" "plain" ("charset" utf-8) NIL NIL "8bit" 010 2 nil nil nil nil)',
        '("text" "plain" ("charset" "utf-8") NIL NIL "8bit" 10 2)',
        ' ("text"  "plain" ("charset" "utf-8") NIL NIL "8bit" 10 2 )',
        '("text" "plain" ("charset" "utf-8") NIL NIL "8bit" "10" "2")',
    ],
)
def test_escapes_literals_atoms_and_odd_spaces_are_read_too(text: str) -> None:
    assert read(text, [b"utf-8"]).text_parts == read(PLAIN).text_parts


def test_a_quoted_bracket_or_nil_is_text() -> None:
    (attachment,) = read(PDF.replace("r\xe9sum\xe9.pdf", ") (NIL )( .pdf")).attachments
    assert attachment.file_name == ") (NIL )( .pdf"


@pytest.mark.parametrize("depth", [MAX_DEPTH + 1, 600, 5_000])
def test_deep_body(depth: int) -> None:
    structure = "(" * depth + PLAIN + ' "mixed")' * depth
    with pytest.raises(TooDeepError):
        read(structure)
    (message,) = parse_metadata(answer(BODYSTRUCTURE=structure))
    assert message.envelope.partial is not None
    assert message.envelope.partial.reason is PartialReason.TOO_DEEP
    assert message.envelope.subject == "Résumé"


def test_a_body_of_the_allowed_depth_is_whole() -> None:
    (part,) = read("(" * MAX_DEPTH + PLAIN + ' "mixed")' * MAX_DEPTH).text_parts
    assert part.section == ".".join(["1"] * MAX_DEPTH)


def test_a_mime_bomb_is_cut_and_marked() -> None:
    parts = read(multipart("mixed", *[PLAIN] * 10_000))
    assert len(parts.text_parts) == MAX_PARTS
    assert parts.truncated


def test_sizes_that_are_none_are_zero() -> None:
    for size in ("NIL", "-5", "x", "9" * 5_000):
        (part,) = read(PLAIN.replace(" 10 2 ", f" {size} 2 ")).text_parts
        assert part.size == 0


BOUNCE = ReportKind.BOUNCE
STATUS = '("message" "delivery-status" NIL NIL NIL "7bit" 300 NIL NIL NIL NIL)'
HEADER = '("text" "rfc822-headers" ("charset" "us-ascii") NIL NIL "quoted-printable" 90 2 NIL NIL NIL NIL)'
RFC822 = MESSAGE.replace("NIL NIL)", 'NIL "<o@x>")', 1)


def report(*children: str, report_type: str = "delivery-status") -> str:
    return f'({"".join(children)} "REPORT" ("boundary" "b" "Report-Type" "{report_type}") NIL NIL NIL)'


@pytest.mark.parametrize(
    ("structure", "expected"),
    [
        (report(PLAIN, STATUS, RFC822), (BOUNCE, "o@x", ReportParts(ReportPart("2", "7bit"), None))),
        (
            report(multipart("alternative", PLAIN, HTML), STATUS, HEADER),
            (BOUNCE, "", ReportParts(ReportPart("2", "7bit"), ReportPart("3", "quoted-printable"))),
        ),
        (report(PLAIN, STATUS), (BOUNCE, "", ReportParts(ReportPart("2", "7bit"), None))),
        (report(PLAIN), (BOUNCE, "", ReportParts(None, None))),
        (
            report(PLAIN, STATUS.replace("delivery-status", "Feedback-Report"), report_type="x"),
            (ReportKind.COMPLAINT, "", ReportParts(ReportPart("2", "7bit"), None)),
        ),
        (
            multipart("mixed", report(PLAIN, STATUS, HEADER), PDF),
            (BOUNCE, "", ReportParts(ReportPart("1.2", "7bit"), ReportPart("1.3", "quoted-printable"))),
        ),
        (report(PLAIN, report_type="disposition-notification"), None),
        (multipart("mixed", PLAIN, STATUS), None),
        (STATUS, None),
        (PLAIN, None),
    ],
)
def test_a_report_is_told_by_its_type_and_its_parts(
    structure: str, expected: tuple[ReportKind, str, ReportParts] | None
) -> None:
    assert read(structure).report == expected
    assert read_parts(structure, []).report == expected
    assert read_parts(structure.replace(" 300 ", " 301 "), []).report == expected
