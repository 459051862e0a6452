"""Transfer encodings undone piece by piece (RFC 2045 section 6): octets in, octets out, a few octets held back between.

Nothing here raises on broken input: what is no part of the encoding is skipped (base64) or kept as it is
(quoted-printable), and `broken` is set. Every regular expression is linear in its input, since mail is hostile.
"""

import binascii
import re
from typing import Protocol

IDENTITY_ENCODINGS = frozenset({"", "7bit", "8bit", "binary"})

_BASE64 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_BLANKS = b" \t\r\n"
_NOT_BASE64 = bytes(set(range(256)) - set(_BASE64 + b"="))

# The look-behind lets a run of blanks be tried once, not from each of its blanks.
_TRAILING_BLANKS = re.compile(rb"(?<![ \t])[ \t]++(?=\r?\n)")
_FALSE_ESCAPE = re.compile(rb"=(?![0-9A-Fa-f]{2}|\r?\n)")
# What may go on in the next piece: an escape, a soft line break, blanks that may turn out to end their line.
_UNDECIDED = re.compile(rb"(?:=[0-9A-Fa-f]|(?:=|(?<![ \t]))[ \t]*+\r?)\Z")
_MAX_UNDECIDED = 1_000


class TransferDecoder(Protocol):
    """Undoes one transfer encoding. `broken` tells whether faults were met so far."""

    broken: bool

    def feed(self, data: bytes) -> bytes:
        """Return what `data` and the octets held back decode to."""
        ...

    def finish(self) -> bytes:
        """Return what is left; no data may follow."""
        ...


def transfer_decoder(encoding: str) -> TransferDecoder | None:
    """Return a decoder for a Content-Transfer-Encoding in lower case, None when it is not known."""
    match encoding:
        case "base64":
            return Base64()
        case "quoted-printable":
            return QuotedPrintable()
    return Identity() if encoding in IDENTITY_ENCODINGS else None


class Identity:
    """7bit, 8bit and binary: octets as they are."""

    broken = False

    def feed(self, data: bytes) -> bytes:
        """Return `data`."""
        return data

    def finish(self) -> bytes:
        """Return nothing."""
        return b""


class Base64:
    """RFC 2045 section 6.8. A `=` that pads ends the data; what follows it (a list's footer) is skipped."""

    def __init__(self) -> None:
        self.broken = False
        self._quantum = b""
        self._ended = False

    def feed(self, data: bytes) -> bytes:
        """Return the octets of all complete quanta, and of the last one when its padding is in `data`."""
        if self._ended:
            self.broken |= bool(data.strip(_BLANKS + b"="))  # the padding itself may come in two pieces
            return b""
        dense = data.translate(None, _NOT_BASE64)
        self.broken |= len(dense) != len(data.translate(None, _BLANKS))
        decoded: list[bytes] = []
        run, padding, rest = dense.partition(b"=")
        while padding:
            decoded.append(self._decode(run))
            if len(self._quantum) > 1:
                return b"".join((*decoded, self._end(rest)))
            self.broken = True  # a `=` where no padding can be
            run, padding, rest = rest.partition(b"=")
        return b"".join((*decoded, self._decode(run)))

    def finish(self) -> bytes:
        """Return the octets of a last quantum without padding."""
        self.broken |= bool(self._quantum)
        return self._last_octets()

    def _decode(self, run: bytes) -> bytes:
        run = self._quantum + run
        complete = len(run) & ~3
        self._quantum = run[complete:]
        return binascii.a2b_base64(run[:complete])

    def _end(self, rest: bytes) -> bytes:
        self._ended = True
        self.broken |= bool(rest.strip(b"="))
        return self._last_octets()

    def _last_octets(self) -> bytes:
        quantum, self._quantum = self._quantum, b""
        # One character carries six bits, which are no octet.
        return binascii.a2b_base64(quantum + b"=" * (4 - len(quantum))) if len(quantum) > 1 else b""


class QuotedPrintable:
    """RFC 2045 section 6.7. Blanks at a line's end are deleted (rule 3); a `=` that escapes nothing stays."""

    def __init__(self) -> None:
        self.broken = False
        self._held = b""

    def feed(self, data: bytes) -> bytes:
        """Return all that the next piece cannot change."""
        data = self._held + data
        tail = _UNDECIDED.search(data, max(0, len(data) - _MAX_UNDECIDED))
        cut = tail.start() if tail else len(data)
        self._held = data[cut:]
        return self._decode(data[:cut])

    def finish(self) -> bytes:
        """Return what was held back; blanks at the very end are a line's end too, a last `=` a soft break."""
        held, self._held = self._held.rstrip(b" \t"), b""
        return self._decode(held.removesuffix(b"="))

    def _decode(self, data: bytes) -> bytes:
        data, faults = _FALSE_ESCAPE.subn(b"=3D", _TRAILING_BLANKS.sub(b"", data))
        self.broken |= bool(faults)
        return binascii.a2b_qp(data)
