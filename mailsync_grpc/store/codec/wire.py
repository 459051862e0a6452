"""The protobuf wire format, written by hand where speed decides.

A field is its tag (`number << 3 | type`, a varint) and a value: a varint (type 0), or a length and that many bytes
(type 2). Concatenated messages merge, so pieces made here can be joined with pieces made by the generated classes.
https://protobuf.dev/programming-guides/encoding/
"""

_MASK64 = (1 << 64) - 1
_TWO_BYTES = 1 << 14
_THREE_BYTES = 1 << 21
MILLIS = 1_000
_NANOS_PER_MILLI = 1_000_000


def _long_varint(number: int) -> bytes:
    if 0 <= number < _THREE_BYTES:
        return bytes((number & 0x7F | 0x80, number >> 7 & 0x7F | 0x80, number >> 14))
    # Negative numbers are written as 64-bit two's complement, as int64 fields are.
    number &= _MASK64
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


SMALL = (
    *(bytes((number,)) for number in range(1 << 7)),
    *(bytes((number & 0x7F | 0x80, number >> 7)) for number in range(1 << 7, _TWO_BYTES)),
)
"""Varints of the numbers of up to two bytes; nearly every length is one."""


def varint(number: int) -> bytes:
    """Return the base-128 varint of a 64-bit integer."""
    return SMALL[number] if 0 <= number < _TWO_BYTES else _long_varint(number)


def varint_tag(field: int) -> bytes:
    """Return the tag of a varint field."""
    return varint(field << 3)


def bytes_tag(field: int) -> bytes:
    """Return the tag of a length-delimited field."""
    return varint(field << 3 | 2)


def utf8(text: str) -> bytes:
    """Return `text` as valid UTF-8; lone surrogates, which UTF-8 cannot hold, become U+FFFD."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        return clean(text).encode()


def clean(text: str) -> str:
    """Return `text` without lone surrogates, which the generated classes refuse; U+FFFD stands for each."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def chunk(tag: bytes, data: bytes) -> bytes:
    """Return a length-delimited field, present even when `data` is empty."""
    return tag + varint(len(data)) + data


def text_field(tag: bytes, text: str) -> bytes:
    """Return a string field, nothing when `text` is empty (proto3)."""
    if not text:
        return b""
    try:
        data = text.encode()
    except UnicodeEncodeError:
        data = utf8(text)
    size = len(data)
    return tag + (SMALL[size] if size < _TWO_BYTES else _long_varint(size)) + data


def number_field(tag: bytes, number: int) -> bytes:
    """Return a varint field, nothing when `number` is 0 (proto3)."""
    return tag + varint(number) if number else b""


_SECONDS, _NANOS = varint_tag(1), varint_tag(2)
_FIVE_BYTES, _SIX_BYTES = 1 << 28, 1 << 35


def seconds_field(tag: bytes, seconds: int) -> bytes:
    """Return a google.protobuf.Timestamp field of whole seconds since 1970."""
    if _FIVE_BYTES <= seconds < _SIX_BYTES:
        # 1978 to 3058: the varint takes five bytes, so the message takes six.
        low = (seconds & 0x7F | 0x80, seconds >> 7 & 0x7F | 0x80, seconds >> 14 & 0x7F | 0x80)
        return tag + bytes((6, 8, *low, seconds >> 21 & 0x7F | 0x80, seconds >> 28))
    return chunk(tag, number_field(_SECONDS, seconds))


def millis_field(tag: bytes, millis: int) -> bytes:
    """Return a google.protobuf.Timestamp field of milliseconds since 1970."""
    seconds, rest = divmod(millis, MILLIS)
    return chunk(tag, number_field(_SECONDS, seconds) + number_field(_NANOS, rest * _NANOS_PER_MILLI))
