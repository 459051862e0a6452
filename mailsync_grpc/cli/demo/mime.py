"""MIME by hand: encoded words (RFC 2047), parameters (RFC 2231), parts and multiparts (RFC 2045, 2046) as bytes.

Only what the demo mailbox writes. The ``email`` package is not used because it is a hundred times slower and because it
corrects what must stay as odd as real mail is.
"""

import base64
import binascii
import re
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from itertools import pairwise
from urllib.parse import quote

# An encoded word has at most 75 characters (RFC 2047, 2): so many fit beside any charset's name.
_WORD_CHARACTERS = 52
_PARAMETER_CHUNK = 50
# RFC 2047, 4.2 and 5 (3): only letters and digits stand for themselves, which is right in every kind of field.
_QUOTED = [
    b"_" if byte == 0x20 else bytes([byte]) if chr(byte).isalnum() and byte < 0x80 else b"=%02X" % byte
    for byte in range(256)
]
_ATOMS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~ -]*")


@lru_cache(maxsize=1024)
def encoded_words(text: str, charset: str = "utf-8", encoding: str = "B") -> bytes:
    """The text as it is when ASCII, else as folded encoded words; ``encoding`` is B or Q."""
    if text.isascii():
        return text.encode("ascii")
    encode = _base64_word if encoding == "B" else _quoted_word
    words = _words(text, charset, encode)
    return b"\r\n ".join(b"=?%b?%b?%b?=" % (charset.encode(), encoding.encode(), word) for word in words)


@lru_cache(maxsize=1024)
def mailbox(name: str, address: str, charset: str = "utf-8", encoding: str = "B") -> bytes:
    """A display name with its address (RFC 5322, 3.4), quoted or encoded as the name needs."""
    if not name:
        return address.encode("ascii")
    if name.isascii():
        shown = name if _ATOMS.fullmatch(name) else _quoted_string(name)
        return f"{shown} <{address}>".encode("ascii")
    return b"%b <%b>" % (encoded_words(name, charset, encoding), address.encode("ascii"))


@lru_cache(maxsize=256)
def parameter(key: str, value: str, style: str) -> bytes:
    """A parameter of a MIME header; ``style`` is rfc2231, continued, rfc2047 or raw (UTF-8 bytes in quotes)."""
    if value.isascii() or style == "raw":
        return f"; {key}={_quoted_string(value)}".encode()
    if style == "rfc2047":
        return b'; %b="%b"' % (key.encode(), encoded_words(value))
    percent = quote(value, safe="")
    if style == "rfc2231":
        return f"; {key}*=utf-8''{percent}".encode("ascii")
    return b"".join(_continuations(key, "utf-8''" + percent))


def part(content_type: bytes, encoded: bytes, encoding: bytes, *more: bytes) -> bytes:
    """A MIME part: its headers, an empty line, its body as already encoded. ``more`` are whole header lines."""
    headers = b"".join(b"%b\r\n" % line for line in more)
    return b"Content-Type: %b\r\nContent-Transfer-Encoding: %b\r\n%b\r\n%b" % (
        content_type,
        encoding,
        headers,
        encoded,
    )


def text_part(text: str, charset: str, subtype: str = "plain") -> bytes:
    """A text part in the encoding a mail program would choose: 7bit, quoted-printable or Base64 by charset."""
    raw = text.encode(charset, "xmlcharrefreplace")
    content_type = f"text/{subtype}; charset={charset}".encode("ascii")
    if raw.isascii():
        return part(content_type, raw, b"7bit")
    if charset in {"windows-1251", "koi8-r"}:
        return part(content_type, base64_lines(raw), b"base64")
    # b2a_qp folds with the line ends it finds: every text here ends its lines with CRLF.
    return part(content_type, binascii.b2a_qp(raw), b"quoted-printable")


def multipart(subtype: str, boundary: bytes, parts: Sequence[bytes]) -> bytes:
    """A multipart of whole parts; ``subtype`` may carry parameters of its own."""
    opening = b"\r\n--%b\r\n" % boundary
    return b"Content-Type: multipart/%b;\r\n boundary=%b\r\n%b%b\r\n--%b--\r\n" % (
        subtype.encode("ascii"),
        b'"%b"' % boundary,
        opening,
        opening.join(parts),
        boundary,
    )


def base64_lines(raw: bytes) -> bytes:
    """Base64 in lines of 76 characters that end with CRLF (RFC 2045, 6.8)."""
    return base64.encodebytes(raw).replace(b"\n", b"\r\n")


def _words(text: str, charset: str, encode: Callable[[bytes], bytes]) -> Iterator[bytes]:
    """The text in encoded pieces that each fit a word and split no character (RFC 2047, 5)."""
    word = b""
    start = 0
    for end in range(1, len(text) + 1):
        piece = text[start:end].encode(charset, "replace")
        if len(encode(piece)) > _WORD_CHARACTERS:
            yield word
            start = end - 1
            piece = text[start:end].encode(charset, "replace")
        word = encode(piece)
    yield word


def _base64_word(piece: bytes) -> bytes:
    return base64.b64encode(piece)


def _quoted_word(piece: bytes) -> bytes:
    return b"".join(_QUOTED[byte] for byte in piece)


def _quoted_string(value: str) -> str:
    return '"' + value.replace("\\", r"\\").replace('"', r"\"") + '"'


def _continuations(key: str, value: str) -> Iterator[bytes]:
    """RFC 2231, 3: ``key*0*=…; key*1*=…``, cut anywhere but inside a %XX."""
    cuts = [0]
    while len(value) - cuts[-1] > _PARAMETER_CHUNK:
        cut = cuts[-1] + _PARAMETER_CHUNK
        while "%" in value[cut - 2 : cut]:
            cut -= 1
        cuts.append(cut)
    for number, (start, end) in enumerate(pairwise([*cuts, len(value)])):
        yield f";\r\n {key}*{number}*={value[start:end]}".encode("ascii")
