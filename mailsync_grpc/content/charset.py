"""Text of any charset to UTF-8, piece by piece.

Labels mean what they mean to browsers and mail programs (WHATWG Encoding Standard, section 4.2): mail labelled
`iso-8859-1` or `gb2312` is written in the larger Windows-1252 or GB 18030 in practice, `iso-2022-jp` with the characters
that Windows added. They are compared by letters and digits alone (Unicode Technical Standard 22, section 1.4). Octets
that the charset does not have become U+FFFD. Without a charset, with one that is not known, and with us-ascii that turns
out to be 8-bit, the first piece with 8-bit octets decides: UTF-8 when it is valid UTF-8, else Windows-1252.

Only charsets are looked up, in a table of our own: Python's codecs also hold decompressors and escapes, and remember
every unknown name for ever. UTF-7 is left out as browsers do, since it hides markup from filters.
"""

import codecs
import re
from collections.abc import Callable
from encodings.aliases import aliases
from functools import partial
from typing import NamedTuple

from mailsync_grpc.content import jis
from mailsync_grpc.content.values import DecodingWarning

_WIDER = {
    "latin_1": "cp1252",
    "iso8859_9": "cp1254",
    "iso8859_11": "cp874",
    "tis_620": "cp874",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "euc_kr": "cp949",
    "shift_jis": "cp932",
    "iso2022_jp": jis.CODEC,
}
CHARSETS = frozenset(
    "utf_8 utf_16 utf_16_be utf_16_le utf_32 utf_32_be utf_32_le cp437 cp737 cp775 cp850 cp852 cp855 cp857 cp858 cp860"
    " cp861 cp862 cp863 cp864 cp865 cp866 cp869 cp874 cp932 cp949 cp950 cp1250 cp1251 cp1252 cp1253 cp1254 cp1255"
    " cp1256 cp1257 cp1258 iso8859_2 iso8859_3 iso8859_4 iso8859_5 iso8859_6 iso8859_7 iso8859_8 iso8859_10 iso8859_13"
    " iso8859_14 iso8859_15 iso8859_16 koi8_r koi8_u koi8_t kz1048 ptcp154 mac_roman mac_cyrillic mac_greek mac_iceland"
    " mac_latin2 mac_turkish big5 big5hkscs gb18030 hz johab euc_jp euc_jis_2004 euc_jisx0213 shift_jis_2004"
    " shift_jisx0213 iso2022_jp iso2022_jp_1 iso2022_jp_2 iso2022_jp_2004 iso2022_jp_3 iso2022_jp_ext iso2022_kr".split()
) | set(_WIDER)
"""Python's names of the charsets that are read."""
_NAMES = {
    "iso8859_6": "iso88596e iso88596i",
    "iso8859_8": "iso88598e iso88598i logical visual",
    "utf_8": "unicode11utf8 unicode20utf8 utf8mb4 utf8sig",
    "utf_16": "iso10646ucs2 ucs2 unicode",
    "gb2312": "csgb2312 gb231280",
    "gbk": "windows936",
    "big5": "cnbig5",
    "koi8_r": "koi koi8",
    "koi8_u": "koi8ru",
    "euc_kr": "ksc5601 ksc56011989",
    "cp874": "dos874 windows874",
    "cp932": "mscp932 windows31j",
    "cp949": "windows949",
    "iso2022_jp": "cp50220 cp50221",
    "mac_cyrillic": "macukrainian",
}
"""Names in use that Python does not have."""
_BYTE_ORDER_MARKS = {
    "utf_16": (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE),
    "utf_32": (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE),
}
_ASCII = frozenset({"ascii", "usascii", "ansix341968", "646", "iso646us"})
_SEPARATORS = re.compile(r"[^a-z0-9]+")


def _key(label: str) -> str:
    return _SEPARATORS.sub("", label.lower())


_CODECS = (
    {_key(alias): codec for alias, codec in aliases.items() if codec in CHARSETS}
    | {_key(codec): codec for codec in CHARSETS}
    | {name: codec for codec, names in _NAMES.items() for name in names.split()}
)


def python_codec(label: str) -> str | None:
    """Return the name of the Python codec that reads a charset label, None when the label is not known or ASCII."""
    key = _key(label)
    codec = _CODECS.get(key) or _CODECS.get(key.lstrip("x"))  # x-sjis, x-x-big5
    return _WIDER.get(codec, codec) if codec else None


class _Choice(NamedTuple):
    """The codec and the octets to begin it with; without one yet, ASCII to be passed on and octets to be held back."""

    codec: str | None
    octets: bytes
    held: bytes = b""


class CharsetDecoder:
    """Turns text of the declared charset into UTF-8; `warnings` grows while it does. Never raises."""

    def __init__(self, label: str) -> None:
        self.warnings: set[DecodingWarning] = set()
        self._codec = python_codec(label)
        self._choose = _chooser(self._codec)
        self._decoder: codecs.IncrementalDecoder | None = None
        self._held = b""
        if self._codec is None and label.strip() and _key(label) not in _ASCII:
            self.warnings.add(DecodingWarning.UNKNOWN_CHARSET)

    def feed(self, data: bytes) -> bytes:
        """Return the UTF-8 of all characters that are complete."""
        return self._decode(data, final=False)

    def finish(self) -> bytes:
        """Return the UTF-8 of what is left, an incomplete character replaced."""
        return self._decode(b"", final=True)

    def _decode(self, data: bytes, *, final: bool) -> bytes:
        if self._decoder is None:
            choice = self._choose(self._held + data, final)
            data, self._held = choice.octets, choice.held
            if choice.codec is None:
                return data
            self._decoder = _new(choice.codec)
            if self._codec is None:
                self.warnings.add(DecodingWarning.UNKNOWN_CHARSET)
        return self._text(self._decoder, data, final=final).encode("utf-8", "replace")

    def _text(self, decoder: codecs.IncrementalDecoder, data: bytes, *, final: bool) -> str:
        state, strict = decoder.getstate(), decoder.errors
        try:
            return decoder.decode(data, final)
        except UnicodeError:
            self.warnings.add(DecodingWarning.REPLACED_OCTETS)
        decoder.errors = jis.REPLACE if strict == jis.STRICT else "replace"
        try:
            decoder.setstate(state)
            return decoder.decode(data, final)
        except UnicodeError:
            # An escape that goes on for longer than Python holds octets back; no charset has one of that length.
            decoder.setstate(state)
            return decoder.decode(data, final=True)
        finally:
            decoder.errors = strict


def _new(codec: str) -> codecs.IncrementalDecoder:
    return codecs.getincrementaldecoder(codec)(jis.STRICT if codec == jis.CODEC else "strict")


def _chooser(codec: str | None) -> Callable[[bytes, bool], _Choice]:
    if codec is None:
        return _guessed
    if codec in _BYTE_ORDER_MARKS:
        return partial(_marked, codec)
    return lambda data, _: _Choice(codec, data)


def _guessed(data: bytes, final: bool) -> _Choice:
    """Choose when 8-bit octets come; while they may be the beginning of a character in UTF-8, they are held back."""
    try:
        text, used = codecs.utf_8_decode(data, "strict", final)
    except UnicodeDecodeError:
        return _Choice("cp1252", data)
    return _Choice(None, data[:used], data[used:]) if text.isascii() else _Choice("utf_8", data)


def _marked(codec: str, data: bytes, final: bool) -> _Choice:
    """Choose the order of octets by the mark. Python refuses text without one; browsers read it as little-endian."""
    little, big = _BYTE_ORDER_MARKS[codec]
    if len(data) < len(little) and not final:
        return _Choice(None, b"", data)
    if data.startswith(big):
        return _Choice(f"{codec}_be", data[len(big) :])
    return _Choice(f"{codec}_le", data.removeprefix(little))
