"""Messages whose content is compared: every charset in every encoding, nested multiparts, and the demo's mail."""

import binascii
import random
from collections.abc import Iterator

from mailsync_grpc.cli.demo import mime
from mailsync_grpc.cli.demo.mailbox import messages

BIG = random.Random(7).randbytes(1_300_000)
TEXTS = {
    "us-ascii": "plain",
    "utf-8": "Grüße, 日本語, Ελλάδα, 🎉",
    "iso-8859-1": "Grüße aus Köln",
    "iso-8859-2": "Příliš žluťoučký kůň",
    "iso-8859-15": "10 € für Œuvre",
    "windows-1251": "Съешь ещё этих мягких булок",
    "windows-1252": "“quoted” — €",
    "koi8-r": "Привет, мир",
    "iso-2022-jp": "日本語のメール",
    "shift_jis": "日本語のメール",
    "euc-jp": "日本語のメール",
    "gb2312": "中文邮件",
    "gb18030": "中文邮件 𠀀",
    "big5": "中文郵件",
    "euc-kr": "한국어 메일",
    "utf-16": "Grüße",
}
HEAD = b"From: a@example.org\r\nTo: b@example.org\r\nSubject: content\r\nMIME-Version: 1.0\r\n"


def text(charset: str, encoding: bytes, subtype: str = "plain") -> bytes:
    raw = "".join(f"{line} {TEXTS[charset]}\r\n" for line in range(30)).encode(charset)
    encoded = {
        b"base64": lambda: mime.base64_lines(raw),
        b"quoted-printable": lambda: binascii.b2a_qp(raw, istext=charset != "utf-16").replace(
            b"=\n", b"=\r\n"
        ),
        b"8bit": lambda: raw,
    }[encoding]()
    return mime.part(f"text/{subtype}; charset={charset}".encode(), encoded, encoding)


def every_charset_and_encoding() -> Iterator[bytes]:
    for charset in TEXTS:
        for encoding in (b"base64", b"quoted-printable", b"8bit"):
            if (charset, encoding) != ("utf-16", b"8bit"):  # NUL octets are no 8bit (RFC 2045 section 2.8)
                yield HEAD + text(charset, encoding)


def multiparts() -> Iterator[bytes]:
    file = mime.part(
        b"application/octet-stream",
        mime.base64_lines(BIG),
        b"base64",
        b'Content-Disposition: attachment; filename="../../etc/passwd"',
    )
    empty = mime.part(b"application/x-empty", b"", b"7bit", b"Content-Disposition: attachment")
    alternative = mime.multipart(
        "alternative", b"alt", [text("koi8-r", b"base64"), text("utf-8", b"quoted-printable", "html")]
    )
    inner = HEAD + mime.multipart("mixed", b"inner", [text("iso-8859-1", b"quoted-printable"), file])
    attached = mime.part(b"message/rfc822", inner, b"7bit")
    yield HEAD + mime.multipart("mixed", b"outer", [alternative, file, empty, attached])
    yield HEAD + mime.multipart(
        "mixed", b"deep", [mime.multipart("related", b"rel", [alternative, empty]), text("utf-8", b"8bit")]
    )
    yield HEAD + b"\r\nno MIME at all\r\n"
    yield HEAD


CORPUS = [*every_charset_and_encoding(), *multiparts(), *messages(60)]
