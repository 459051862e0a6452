"""The forms mail comes in: each function makes a draft into one whole message; ``KINDS`` says how common each is."""

import base64
import html
from collections.abc import Callable
from dataclasses import replace

from mailsync_grpc.cli.demo.draft import Draft, assemble, header
from mailsync_grpc.cli.demo.mime import base64_lines, multipart, parameter, part, text_part
from mailsync_grpc.cli.demo.texts import ATTACHMENT_NAMES, OWNER

Kind = Callable[[Draft], bytes]

# The smallest PNG: one transparent pixel.
_PNG = base64_lines(
    base64.b64decode(
        "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
    )
)
_PDF = (
    b"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n"
    b"2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj\n"
    b"3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]>>endobj\n"
)
_BROKEN_DATES = (
    b"Fri, 31 Dec 9999 23:59:59 +9900",
    b"yesterday afternoon",
    b"2025-11-03T10:00:00Z",
    b"Mon, 32 Foo 2024 25:61:00",
    b"Tue, 4 Mar 25 09:15 PM",
)
_PARAMETER_STYLES = ("rfc2231", "continued", "rfc2047", "raw")


def plain(draft: Draft) -> bytes:
    """A text part alone."""
    return assemble(header(draft), text_part(draft.text(), draft.charset))


def html_only(draft: Draft) -> bytes:
    """An HTML part alone, as newsletters and shops send it."""
    fields = header(draft) | {
        b"List-Id": b"<news.weekly.example>",
        b"List-Unsubscribe": b"<https://weekly.example/unsubscribe?u=%08x>" % draft.rng.getrandbits(32),
        b"Reply-To": b"Weekly <reply@weekly.example>",
    }
    return assemble(fields, text_part(_html(draft.text()), draft.charset, "html"))


def alternative(draft: Draft) -> bytes:
    """Text and HTML of the same."""
    return assemble(header(draft), _alternative(draft))


def attached(draft: Draft) -> bytes:
    """Text and HTML with one to four attachments."""
    files = [_attachment(draft) for _ in range(draft.rng.choice((1, 1, 1, 2, 2, 4)))]
    return assemble(header(draft), multipart("mixed", draft.boundary(), [_alternative(draft), *files]))


def inline_image(draft: Draft) -> bytes:
    """HTML that shows an image of its own message by Content-ID (RFC 2392)."""
    content_id = b"image%08x@demo.example" % draft.rng.getrandbits(32)
    page = _html(draft.text()).replace("</body>", f'<img src="cid:{content_id.decode()}"></body>')
    image = part(
        b'image/png; name="logo.png"',
        _PNG,
        b"base64",
        b"Content-ID: <%b>" % content_id,
        b'Content-Disposition: inline; filename="logo.png"',
    )
    page_part = text_part(page, draft.charset, "html")
    return assemble(
        header(draft), multipart('related; type="text/html"', draft.boundary(), [page_part, image])
    )


def raw_8bit(draft: Draft) -> bytes:
    """Headers with bytes above 127 and no encoding: UTF-8 from careless programs, Latin-1 from old ones."""
    charset = draft.rng.choice(("utf-8", "iso-8859-1"))
    name, address = draft.sender
    fields = header(draft) | {
        b"Subject": draft.subject.encode(charset, "replace"),
        b"From": f'"{name.replace(chr(34), "")}" <{address}>'.encode(charset, "replace"),
    }
    return assemble(fields, text_part(draft.text(), draft.charset))


def missing_headers(draft: Draft) -> bytes:
    """Without some of Subject, To, Date and Message-ID; sometimes to undisclosed recipients."""
    fields = header(draft)
    for name in draft.rng.sample((b"Subject", b"To", b"Date", b"Message-ID"), k=draft.rng.randint(1, 3)):
        fields.pop(name)
    if b"To" not in fields:
        fields |= {b"To": b"undisclosed-recipients:;"} if draft.rng.random() < 0.5 else {}
    return assemble(fields, text_part(draft.text(), draft.charset))


def broken_date(draft: Draft) -> bytes:
    """A Date field that is none."""
    return assemble(
        header(draft) | {b"Date": draft.rng.choice(_BROKEN_DATES)}, text_part(draft.text(), draft.charset)
    )


def blind_copy(draft: Draft) -> bytes:
    """One of the owner's own, with Bcc and a Sender, as the Sent folder keeps it."""
    fields = header(draft) | {
        b"Sender": b"assistant@demo.example",
        b"Bcc": b"Archive <archive@demo.example>, boss@demo.example",
    }
    return assemble(fields, text_part(draft.text(), draft.charset))


def forwarded(draft: Draft) -> bytes:
    """Another message as an attachment (message/rfc822)."""
    inner = replace(
        draft, sender=OWNER, to=(draft.sender,), references=(), message_id=b"<inner-" + draft.message_id[1:]
    )
    original = part(b"message/rfc822", attached(inner), b"8bit", b"Content-Disposition: attachment")
    fields = header(replace(draft, subject="Fwd: " + draft.subject))
    return assemble(
        fields, multipart("mixed", draft.boundary(), [text_part(draft.text(), draft.charset), original])
    )


def bounce(draft: Draft) -> bytes:
    """A delivery status notification (RFC 3462, 3464) about a message of the owner's."""
    original = replace(draft, sender=OWNER, to=(draft.sender,), references=())
    recipient = draft.sender[1].encode("ascii")
    status = (
        b"Reporting-MTA: dns; mail.demo.example\r\n\r\nFinal-Recipient: rfc822; %b\r\nAction: failed\r\nStatus: 5.1.1\r\n"
        b"Diagnostic-Code: smtp; 550 5.1.1 <%b>: user unknown\r\n" % (recipient, recipient)
    )
    parts = [
        part(b"text/plain; charset=us-ascii", b"Your message could not be delivered.\r\n", b"7bit"),
        part(b"message/delivery-status", status, b"7bit"),
        part(b"message/rfc822", plain(original), b"8bit"),
    ]
    report = multipart("report; report-type=delivery-status", draft.boundary(), parts)
    return assemble(_automatic(draft, b"auto-replied", "Undelivered Mail Returned to Sender"), report)


def complaint(draft: Draft) -> bytes:
    """An abuse report of a mail provider (ARF, RFC 5965)."""
    original = replace(draft, sender=OWNER, to=(draft.sender,), references=())
    feedback = b"Feedback-Type: abuse\r\nUser-Agent: Demo-FBL/1.0\r\nVersion: 1\r\n"
    parts = [
        part(b"text/plain; charset=us-ascii", b"This is an email abuse report.\r\n", b"7bit"),
        part(b"message/feedback-report", feedback, b"7bit"),
        part(b"message/rfc822", plain(original), b"8bit"),
    ]
    report = multipart("report; report-type=feedback-report", draft.boundary(), parts)
    return assemble(_automatic(draft, b"auto-generated", "Complaint about message"), report)


def auto_reply(draft: Draft) -> bytes:
    """An out-of-office answer (RFC 3834)."""
    fields = header(replace(draft, subject="Automatic reply: " + draft.subject))
    fields |= {b"Auto-Submitted": b"auto-replied (vacation)", b"X-Autoreply": b"yes", b"Precedence": b"bulk"}
    return assemble(fields, text_part("I am out of the office until Monday.\r\n", "us-ascii"))


# Kinds and how many of each there are in about a hundred messages.
KINDS: dict[Kind, int] = {
    plain: 32,
    alternative: 24,
    attached: 15,
    html_only: 11,
    inline_image: 4,
    raw_8bit: 2,
    missing_headers: 2,
    broken_date: 2,
    forwarded: 3,
    bounce: 2,
    complaint: 1,
    auto_reply: 2,
}
# The same for what the owner of the mailbox wrote.
OWN_KINDS: dict[Kind, int] = {plain: 45, alternative: 30, attached: 15, forwarded: 5, blind_copy: 5}


def _html(text: str) -> str:
    paragraphs = html.escape(text).replace("\r\n\r\n", "</p>\r\n<p>")
    return f"<html><body><p>{paragraphs}</p>\r\n</body></html>\r\n"


def _alternative(draft: Draft) -> bytes:
    text = draft.text()
    parts = [text_part(text, draft.charset), text_part(_html(text), draft.charset, "html")]
    return multipart("alternative", draft.boundary(), parts)


def _attachment(draft: Draft) -> bytes:
    name = draft.rng.choice(ATTACHMENT_NAMES)
    style = draft.rng.choice(_PARAMETER_STYLES)
    disposition = b"Content-Disposition: attachment" + parameter("filename", name, style)
    if name.endswith(".pdf"):
        raw = _PDF + b"%" + draft.rng.randbytes(draft.rng.randint(200, 4000)).hex().encode() + b"\n%%EOF\n"
        # Many programs repeat the name here, in the older of the two encodings.
        media_type = b"application/pdf" + parameter("name", name, "rfc2047")
        return part(media_type, base64_lines(raw), b"base64", disposition)
    media_type = b"text/csv" if name.endswith(".csv") else b"text/plain; charset=utf-8"
    return part(media_type, base64_lines(draft.text().encode()), b"base64", disposition)


def _automatic(draft: Draft, submitted: bytes, subject: str) -> dict[bytes, bytes]:
    daemon = ("Mail Delivery System", "MAILER-DAEMON@mail.demo.example")
    fields = header(replace(draft, sender=daemon, to=(OWNER,), cc=(), subject=subject))
    return {b"Return-Path": b"<>"} | fields | {b"Auto-Submitted": submitted}
