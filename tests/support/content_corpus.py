"""Messages whose content is compared: every charset in every encoding, nested multiparts, and the demo's mail."""

import binascii
import random
from collections.abc import Iterator

from mailsync_grpc.cli.demo import mime
from mailsync_grpc.cli.demo.mailbox import messages
from mailsync_grpc.content.shared import WINDOW

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
    "gbk": "中文邮件",
    "iso-8859-5": "Съешь ещё",
    "iso-8859-7": "Ελληνικά",
    "iso-8859-8": "שלום",
    "iso-8859-9": "İstanbul'da çağr",
    "windows-1250": "Příliš žluťoučký kůň",
    "windows-1253": "Ελληνικά",
    "windows-1254": "İstanbul'da çağr",
    "windows-1255": "שלום",
    "windows-1256": "مرحبا",
    "windows-1257": "Ąžuolas",
    "ibm866": "Привет, мир",
    "tis-620": "ภาษาไทย",
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


def odd() -> Iterator[bytes]:
    """Mail that is right though few would write it so: preambles, long lines, boundaries that look alike, no last line end."""
    boundary = b'multipart/mixed; boundary="=_ (a) b?"'
    leaf = mime.part(b"text/plain; charset=us-ascii", b"text", b"7bit")
    yield (
        HEAD
        + b"Content-Type: "
        + boundary
        + b"\r\n\r\npreamble\r\n--=_ (a) b?\r\n"
        + leaf
        + b"\r\n--=_ (a) b?  \r\n"
        + leaf
        + b"\r\n--=_ (a) b?--\r\nepilogue\r\n"
    )
    inner = mime.multipart("mixed", b"bound", [leaf, leaf])
    yield HEAD + mime.multipart("mixed", b"bound-er", [inner, leaf])
    yield HEAD + mime.part(b"text/plain; charset=utf-8", b"x" * 300_000, b"7bit")
    yield HEAD + mime.part(b"text/plain; charset=utf-8", b"=C3=BC=\r\n=\r\nber=20\r\n", b"quoted-printable")
    yield HEAD + mime.part(b"text/plain; charset=utf-8", b"SGVs\r\nbG8=", b"base64")
    yield HEAD + mime.part(b"text/plain; charset=utf-8", b"  SGVs \r\n\r\n bG8= \r\n", b"base64")
    yield HEAD + mime.part(b'text/plain; format=flowed; charset=UTF-8; x="a;b"', b"flowed \r\n", b"7BIT")


def broken() -> Iterator[bytes]:
    """Mail as no program should write it and many do."""
    leaf = mime.part(b"text/plain", b"text\r\n", b"7bit")
    opened = HEAD + b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n" + leaf
    yield opened
    yield opened + b"--b\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n--c\r\n" + leaf + b"--b--\r\n"
    yield HEAD + b"Content-Type: multipart/mixed\r\n\r\n--b\r\n" + leaf + b"--b--\r\n"
    yield HEAD + b"Content-Type: multipart/mixed; boundary=never\r\n\r\nnothing of that kind\r\n"
    yield HEAD + b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b--\r\n"
    yield HEAD + mime.multipart("mixed", b"same", [mime.multipart("mixed", b"same", [leaf]), leaf])
    yield HEAD + mime.part(b"message/rfc822", mime.base64_lines(HEAD + b"\r\ninner\r\n"), b"base64")
    yield HEAD + mime.part(b"message/rfc822", b"no header at all\r\n", b"7bit")
    yield HEAD + mime.part(b"text/plain; charset=utf-8", b"SGVs*bG8\r\n!!!\r\nQQ\r\n", b"base64")
    yield HEAD + mime.part(b"text/plain; charset=utf-8", b"a=ZZb =3 =c3=bc=", b"quoted-printable")
    yield HEAD + mime.part(b"text/plain; charset=utf-16", b"\xff\xfeG\x01r", b"8bit")
    yield HEAD + mime.part(
        b"text/plain; charset=utf-8", b"begin 644 a\r\n#86)C\r\n`\r\nend\r\n", b"x-uuencode"
    )
    yield HEAD + mime.part(b"text", b"no subtype \xe9\r\n", b"8bit")
    yield HEAD + mime.part(b"text/plain;;; charset", b"parameters \xe9\r\n", b"8bit")
    yield HEAD + mime.part(b"text/html; charset=;x", b"<p>\xe9</p>\r\n", b"")
    yield HEAD + b"Content-Type: text/plain\r\nContent-Type: text/html\r\n\r\ntwo types\r\n"
    yield b"\xff\xfe: \x80\r\nSubject: \xe9\xe8\r\nnot a header line\r\n\r\nbody \xfc\r\n"
    yield b"Subject: no body and no empty line"
    yield from (b"\r\n", b"x", b"\r\n\r\n", b"\nno header")
    yield HEAD + mime.part(b"application/octet-stream", bytes(range(1, 256)), b"binary")
    yield HEAD + mime.part(b"text/plain; charset=utf-8", b"nul \0, bare \r and \n\r\n", b"binary")
    yield HEAD.replace(b"\r\n", b"\n") + b"\nbare line feeds\nonly\n"
    yield HEAD + b"Content-Disposition: attachment; filename*=utf-8''%FF%zz; filename=\"\r\n\r\nname\r\n"


def nested() -> Iterator[bytes]:
    """Messages in messages, of one part and of several, and the multiparts that mail is made of, as `email` writes them."""
    one = HEAD + text("koi8-r", b"base64")
    several = HEAD + mime.multipart(
        "mixed", b"several", [text("utf-8", b"quoted-printable"), text("gbk", b"8bit")]
    )
    in_one = HEAD + mime.part(b"message/rfc822", one, b"7bit")
    in_several = HEAD + mime.multipart(
        "mixed", b"in", [mime.part(b"message/rfc822", several, b"8bit"), text("big5", b"8bit")]
    )
    yield in_one
    yield in_several
    yield HEAD + mime.part(b"message/rfc822", in_one, b"7bit")
    yield HEAD + mime.part(b"message/rfc822", in_several, b"8bit")
    yield HEAD + mime.multipart("digest", b"dig", [b"\r\n" + one, b"\r\n" + several])
    bare = b"\r\nwithout a header\r\n"
    yield HEAD + mime.multipart(
        "mixed",
        b"bare",
        [bare, mime.part(b"message/rfc822", HEAD + mime.multipart("mixed", b"inner", [bare, bare]), b"7bit")],
    )
    signature = mime.part(
        b"application/pgp-signature; name=signature.asc", b"-----BEGIN PGP-----\r\n", b"7bit"
    )
    yield HEAD + mime.multipart(
        'signed; micalg=pgp-sha512; protocol="application/pgp-signature"',
        b"sig",
        [in_several[len(HEAD) :], signature],
    )
    status = mime.part(
        b"message/delivery-status",
        b"Reporting-MTA: dns; a\r\n\r\nFinal-Recipient: rfc822; b@c\r\nAction: failed\r\n",
        b"7bit",
    )
    yield HEAD + mime.multipart(
        "report; report-type=delivery-status",
        b"rep",
        [text("utf-8", b"8bit"), status, mime.part(b"message/rfc822", one, b"7bit")],
    )
    invitation = text("iso-8859-15", b"base64", "calendar")
    alternative = mime.multipart(
        "alternative", b"alt", [text("utf-8", b"8bit"), text("windows-1251", b"8bit", "html"), invitation]
    )
    yield HEAD + mime.multipart(
        "mixed",
        b"mix",
        [
            mime.multipart(
                "related; type=multipart/alternative", b"rel", [alternative, text("utf-8", b"8bit", "css")]
            ),
            text("us-ascii", b"8bit"),
        ],
    )


def long() -> Iterator[bytes]:
    """Text that takes several windows, so that characters, quanta, escapes and line ends are cut at any place."""
    for charset in ("utf-8", "iso-2022-jp", "shift_jis", "gb18030", "euc-kr", "utf-16", "windows-1252"):
        lines = "".join(
            f"{number} {TEXTS[charset]} = {'x' * (number % 61)}  \r\n" for number in range(24_000)
        )
        raw = lines.encode(charset)
        content_type = f"text/plain; charset={charset}".encode()
        yield HEAD + mime.part(content_type, mime.base64_lines(raw), b"base64")
        if charset == "utf-16":
            continue
        escaped = binascii.b2a_qp(raw).replace(b"=\n", b"=\r\n")
        yield HEAD + mime.part(content_type, escaped, b"quoted-printable")
        yield HEAD + mime.part(content_type, raw, b"8bit")
    for octets in (-1, 0, 1):
        yield HEAD + mime.part(b"text/plain", b"x" * (WINDOW + octets), b"7bit")


CORPUS = [*every_charset_and_encoding(), *multiparts(), *nested(), *long(), *messages(60)]
