"""ISO-2022-JP as it is written: with the characters of NEC and IBM that Windows has in free rows of JIS X 0208.

Japanese mail is full of them (①, ㈱, 髙), Python's codec has none. So they are looked up by the handler of its errors,
in Shift_JIS as Windows has it, where the same places have other numbers (WHATWG Encoding Standard, section 12.3).
"""

import codecs

CODEC = "iso2022_jp_ext"
"""The codec to be used with these handlers: it also has half-width katakana, which the narrower one lacks."""
STRICT, REPLACE = "mailsync-jis-strict", "mailsync-jis-replace"
"""Names of the error handlers: what neither has is an error, or becomes U+FFFD."""


def _strict(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)
    octets = error.object[error.start : error.end]
    if len(octets) != 2 or not all(0x21 <= octet <= 0x7E for octet in octets):
        raise error
    try:
        return shift_jis(*octets).decode("cp932"), error.end
    except UnicodeDecodeError:
        raise error from None


def _replace(error: UnicodeError) -> tuple[str, int]:
    try:
        return _strict(error)
    except UnicodeError:
        return codecs.replace_errors(error)  # type: ignore[return-value]  # its first is text for a decoding error


def shift_jis(row: int, cell: int) -> bytes:
    """Return the octets that Shift_JIS has for two of ISO-2022-JP, 0x21 to 0x7E each."""
    first = (row + 1) // 2 + (0x70 if row < 0x5F else 0xB0)
    second = cell + 0x7E if row % 2 == 0 else cell + (0x1F if cell < 0x60 else 0x20)
    return bytes([first, second])


codecs.register_error(STRICT, _strict)
codecs.register_error(REPLACE, _replace)
