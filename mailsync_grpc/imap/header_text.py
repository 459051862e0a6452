r"""Text and dates of header fields: RFC 2047 encoded words, RFC 2231 parameters, raw 8-bit text, RFC 5322 dates.

Input is text with one character an octet (see `answer`); output is valid Unicode without control characters and
lone surrogates, so it can go on any wire. Nothing here raises: a lying charset or broken base64 gives the best
reading there is. What most mail looks like (plain ASCII, a regular date) takes a fast path.
"""

import binascii
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from email.utils import parsedate_tz
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

MAX_TEXT = 16_384
"""Characters of one header text that are kept."""
_MAX_IDS = 1_000

_MEMO_SIZE = 400

_MESSAGE_ID = re.compile(r"<([^<>\x00-\x20\x7f]+)>")
_ENCODED_WORD = re.compile(r"=\?([^?*\s]+)(?:\*[^?\s]*)?\?([bBqQ])\?([^?]*)\?=")
_BETWEEN_WORDS = re.compile(r"(?<=\?=)\s+(?==\?[^?\s]+\?[bBqQ]\?)")
_FOLD = re.compile(r"\r?\n[ \t]*")
_NOT_BASE64 = re.compile(rb"[^A-Za-z0-9+/]")
_CONTROLS = dict.fromkeys((*range(32), 127)) | {ord(blank): " " for blank in "\t\r\n"}
# Codecs of Python that are no charsets of mail, take quadratic time, or interpret escapes.
_NO_CHARSETS = frozenset({"idna", "punycode", "undefined", "unicode_escape", "raw_unicode_escape"})

_MONTHS = {
    name: number for number, name in enumerate("jan feb mar apr may jun jul aug sep oct nov dec".split(), 1)
}
_DATE = re.compile(
    r"\s*(?:[A-Za-z]{3},\s*)?(\d{1,2})[ -]([A-Za-z]{3})[ -](\d{4}) (\d\d):(\d\d)(?::(\d\d))? ([+-]\d{4}|GMT|UT)\b"
)
_DAY = re.compile(r" ?(\d{1,2})[ -]([A-Za-z]{3})[ -](\d{4}) ", re.ASCII)
_OFFSET = re.compile(r"[+-]\d{4}", re.ASCII)
_DATE_LENGTH = len("17-Jul-1996 02:44:25 -0700")
_MINUTES = {f"{minute // 60:02}:{minute % 60:02}": minute * 60 for minute in range(24 * 60)}
_SECONDS = {f":{second:02} ": second for second in range(61)}
_MAX_YEAR = 9_998  # a date of 9999 with an offset can leave the range of google.protobuf.Timestamp


def header_text(raw: str) -> str:
    """Return the readable text of a header value: unfolded, encoded words decoded, at most MAX_TEXT characters."""
    if "=?" not in raw and raw.isascii() and raw.isprintable():
        return raw[:MAX_TEXT]
    return _known_text(raw) if len(raw) <= _MEMO_SIZE else _readable(raw)


@lru_cache(maxsize=4_096)
def _known_text(raw: str) -> str:
    """Subjects come back in every reply."""
    return _readable(raw)


def _readable(raw: str) -> str:
    text = raw if raw.isascii() else octets_text(raw.encode("latin-1", "replace"))
    text = _FOLD.sub(" ", text[: 8 * MAX_TEXT])
    if "=?" in text:
        text = decode_words(text)
    return clean(text)[:MAX_TEXT]


def message_ids(text: str) -> tuple[str, ...]:
    """Return the message ids in a header value, without their brackets (RFC 5322 section 3.6.4)."""
    if "<" not in text:
        return ()
    return tuple(_MESSAGE_ID.findall(text if text.isascii() else header_text(text))[:_MAX_IDS])


def message_id(text: str) -> str:
    """Return a Message-ID without its brackets; one without brackets is taken as it stands."""
    ids = message_ids(text)
    return ids[0] if ids else header_text(text).strip()


def clean(text: str) -> str:
    """Return `text` without control characters (line ends become spaces) and without lone surrogates."""
    if text.isprintable():
        return text
    return text.translate(_CONTROLS).encode("utf-8", "replace").decode("utf-8")


def octets_text(octets: bytes, charset: str = "utf-8") -> str:
    """Return `octets` read as `charset`, else as UTF-8, else as Windows-1252, which reads nearly anything."""
    for name in (charset, "utf-8", "cp1252"):
        if _codec_name(name) in _NO_CHARSETS:
            continue
        try:
            return octets.decode(name)
        except (LookupError, ValueError):
            continue
    return octets.decode("latin-1")


def _codec_name(charset: str) -> str:
    return charset.lower().replace("-", "_")


def decode_words(text: str) -> str:
    """Return `text` with its encoded words decoded; neighbours of one charset are joined before decoding.

    Some mailers split a multi-octet character over two words, which RFC 2047 section 5 forbids and readers undo.
    """
    pieces: list[str] = []
    held = _Held("", b"")
    position = 0
    joined = _BETWEEN_WORDS.sub("", text)
    for word in _ENCODED_WORD.finditer(joined):
        octets = _word_octets(word[2], word[3])
        if word.start() != position or word[1].lower() != held.charset:
            pieces += (held.text(), joined[position : word.start()])
            held = _Held(word[1].lower(), b"")
        held = _Held(held.charset, held.octets + octets)
        position = word.end()
    return "".join((*pieces, held.text(), joined[position:]))


class _Held(NamedTuple):
    """Octets of encoded words not yet decoded."""

    charset: str
    octets: bytes

    def text(self) -> str:
        return octets_text(self.octets, self.charset) if self.octets else ""


def _word_octets(encoding: str, payload: str) -> bytes:
    data = payload.encode("utf-8", "replace")
    return binascii.a2b_qp(data, header=True) if encoding in "qQ" else base64_octets(data)


def base64_octets(data: bytes) -> bytes:
    """Return what base64 stands for; what is none of it is skipped, and it may be cut anywhere."""
    data = _NOT_BASE64.sub(b"", data)
    # A single left-over character carries no octet; the rest is padded as a tolerant reader does.
    data = data[:-1] if len(data) % 4 == 1 else data
    return binascii.a2b_base64(data + b"=" * (-len(data) % 4))


def parameter(pairs: Iterable[tuple[str, str]], name: str) -> str:
    """Return the decoded parameter `name` of (name, value) pairs, RFC 2231 forms included; empty when absent."""
    segments: dict[int, tuple[str, bool]] = {}
    plain = ""
    for key, value in pairs:
        base, star, rest = key.lower().partition("*")
        if base != name:
            continue
        if not star:
            plain = plain or header_text(value)
            continue
        number = rest.rstrip("*")
        index = int(number) if number.isascii() and number.isdigit() and len(number) < 4 else 0
        segments.setdefault(index, (value, rest == "" or rest.endswith("*")))
    return _joined_segments([segments[index] for index in sorted(segments)]) or plain


def _joined_segments(segments: list[tuple[str, bool]]) -> str:
    """Join RFC 2231 section 3 continuations; the first extended one carries `charset'language'`."""
    charset, octets = "utf-8", b""
    for index, (value, extended) in enumerate(segments):
        if extended and index == 0 and value.count("'") >= 2:
            charset, _, value = value.split("'", 2)
        data = value.encode("latin-1", "replace")
        octets += unquote_to_bytes(data) if extended else data
    return clean(octets_text(octets, charset or "utf-8"))[:MAX_TEXT]


def parse_date(text: str) -> int | None:
    """Return the seconds since 1970 of an INTERNALDATE or a Date field, None when it is unusable."""
    day = len(text) - _DATE_LENGTH
    if day == 0 or (day == 5 and text[3:5] == ", " and text[:3].isalpha()):
        # The form of nearly every date: its pieces stand at fixed places and are few, so they are looked up.
        minutes, seconds = _MINUTES.get(text[day + 12 : day + 17]), _SECONDS.get(text[day + 17 : day + 21])
        midnight, offset = _midnight_of(text[day : day + 12]), _offset(text[day + 21 :])
        if not (midnight is None or minutes is None or seconds is None or offset is None):
            return midnight + minutes + seconds - offset
    return _any_date(text)


def _any_date(text: str) -> int | None:
    regular = _DATE.match(text)
    if regular is None:
        return _irregular_date(text)
    day, month, year, hour, minute, second, zone = regular.groups()
    midnight, offset = _midnight(day, month, year), _zone_offset(zone)
    if midnight is None or offset is None or hour > "23" or minute > "59":
        return None
    return midnight + int(hour) * 3600 + int(minute) * 60 + int(second or 0) - offset


@lru_cache(maxsize=16_384)
def _midnight_of(text: str) -> int | None:
    found = _DAY.fullmatch(text)
    return _midnight(*found.groups()) if found else None


@lru_cache(maxsize=256)
def _offset(text: str) -> int | None:
    return _zone_offset(text) if _OFFSET.fullmatch(text) else None


@lru_cache(maxsize=16_384)
def _midnight(day: str, month: str, year: str) -> int | None:
    number = _MONTHS.get(month.lower())
    if number is None or int(year) > _MAX_YEAR:
        return None
    try:
        return int(datetime(int(year), number, int(day), tzinfo=UTC).timestamp())
    except ValueError:
        return None


@lru_cache(maxsize=256)
def _zone_offset(zone: str) -> int | None:
    if zone[0] not in "+-":
        return 0
    hours, minutes = int(zone[1:3]), int(zone[3:5])
    if hours > 23 or minutes > 59:
        return None
    seconds = hours * 3600 + minutes * 60
    return -seconds if zone[0] == "-" else seconds


def _irregular_date(text: str) -> int | None:
    try:
        parsed = parsedate_tz(text[:200])
        if parsed is None or not 1 <= parsed[0] <= _MAX_YEAR or abs(parsed[9] or 0) >= 86_400:
            return None
        moment = datetime(*parsed[:5], min(parsed[5], 59), tzinfo=UTC)
        return int(moment.timestamp()) - (parsed[9] or 0)
    except (ValueError, TypeError, IndexError, OverflowError, AttributeError):
        return None
