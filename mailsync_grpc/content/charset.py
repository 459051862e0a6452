"""Text of any charset to UTF-8, piece by piece.

Labels mean what they mean to browsers and mail programs (WHATWG Encoding Standard, section 4.2): mail labelled
`iso-8859-1` or `gb2312` is written in the larger Windows-1252 or GB 18030 in practice. Octets that the charset does not
have become U+FFFD. Without a charset, with one that is not known, and with us-ascii that turns out to be 8-bit, the
first piece with 8-bit octets decides: UTF-8 when it is valid UTF-8, else Windows-1252.

Only charsets are looked up, in a table of our own: Python's codecs also hold decompressors and escapes, and remember
every unknown name for ever. UTF-7 is left out as browsers do, since it hides markup from filters.
"""

import codecs
from encodings.aliases import aliases

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
}
_CHARSETS = frozenset(
    "utf_8 utf_16 utf_16_be utf_16_le utf_32 utf_32_be utf_32_le cp437 cp737 cp775 cp850 cp852 cp855 cp857 cp858 cp860"
    " cp861 cp862 cp863 cp864 cp865 cp866 cp869 cp874 cp932 cp949 cp950 cp1250 cp1251 cp1252 cp1253 cp1254 cp1255"
    " cp1256 cp1257 cp1258 iso8859_2 iso8859_3 iso8859_4 iso8859_5 iso8859_6 iso8859_7 iso8859_8 iso8859_10 iso8859_13"
    " iso8859_14 iso8859_15 iso8859_16 koi8_r koi8_u koi8_t kz1048 ptcp154 mac_roman mac_cyrillic mac_greek mac_iceland"
    " mac_latin2 mac_turkish big5 big5hkscs gb18030 hz johab euc_jp euc_jis_2004 euc_jisx0213 shift_jis_2004"
    " shift_jisx0213 iso2022_jp iso2022_jp_1 iso2022_jp_2 iso2022_jp_2004 iso2022_jp_3 iso2022_jp_ext iso2022_kr".split()
) | set(_WIDER)
_ALIASES = {alias: codec for alias, codec in aliases.items() if codec in _CHARSETS} | {
    "iso_8859_8_i": "iso8859_8",
    "iso_8859_8_e": "iso8859_8",
    "unicode_1_1_utf_8": "utf_8",
    "utf_8_sig": "utf_8",
    "utf8mb4": "utf_8",
    "x_gbk": "gbk",
    "x_sjis": "shift_jis",
    "x_cp1250": "cp1250",
    "x_cp1251": "cp1251",
    "x_cp1252": "cp1252",
    "x_mac_roman": "mac_roman",
}
_BYTE_ORDER_MARKS: dict[str, tuple[bytes, ...]] = {
    "utf_16": (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE),
    "utf_32": (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE),
}
_ASCII_LABELS = frozenset({"", "ascii", "us_ascii", "ansi_x3.4_1968", "ansi_x3_4_1968", "646", "iso646_us"})


def python_codec(label: str) -> str | None:
    """Return the name of the Python codec that reads a charset label, None when the label is not known or ASCII."""
    key = label.strip().lower().replace("-", "_").replace(" ", "_")
    codec = key if key in _CHARSETS else _ALIASES.get(key) or _ALIASES.get(key.replace(":", "_"))
    return _WIDER.get(codec, codec) if codec else None


class CharsetDecoder:
    """Turns text of the declared charset into UTF-8; `warnings` grows while it does. Never raises."""

    def __init__(self, label: str) -> None:
        self.warnings: set[DecodingWarning] = set()
        codec = python_codec(label)
        self._decoder = _new(codec) if codec else None
        self._marks = _BYTE_ORDER_MARKS.get(codec or "", ())
        if codec is None and label.strip().lower().replace("-", "_") not in _ASCII_LABELS:
            self.warnings.add(DecodingWarning.UNKNOWN_CHARSET)

    def feed(self, data: bytes) -> bytes:
        """Return the UTF-8 of all characters that are complete."""
        return self._decode(data, final=False)

    def finish(self) -> bytes:
        """Return the UTF-8 of what is left, an incomplete character replaced."""
        return self._decode(b"", final=True)

    def _decode(self, data: bytes, *, final: bool) -> bytes:
        if self._decoder is None:
            if data.isascii():
                return data
            self._decoder = _new(_guess(data))
            self.warnings.add(DecodingWarning.UNKNOWN_CHARSET)
        if data and self._marks:
            # Python refuses such text without a mark; browsers read it as little-endian.
            data = data if data.startswith(self._marks) else self._marks[0] + data
            self._marks = ()
        state = self._decoder.getstate()
        try:
            text = self._decoder.decode(data, final)
        except UnicodeDecodeError:
            self.warnings.add(DecodingWarning.REPLACED_OCTETS)
            self._decoder.setstate(state)
            text = self._replace(data, final=final)
        return text.encode("utf-8", "replace")

    def _replace(self, data: bytes, *, final: bool) -> str:
        assert self._decoder is not None
        self._decoder.errors = "replace"
        try:
            return self._decoder.decode(data, final)
        finally:
            self._decoder.errors = "strict"


def _new(codec: str) -> codecs.IncrementalDecoder:
    return codecs.getincrementaldecoder(codec)("strict")


def _guess(data: bytes) -> str:
    try:
        _new("utf_8").decode(data, final=False)
    except UnicodeDecodeError:
        return "cp1252"
    return "utf_8"
