"""From octets as the server has them to octets as the caller asked for them, in constant memory.

A `Form` decides once, from the part's description, what has to be done; a `Decoder` does it piece by piece.
"""

from dataclasses import dataclass

from mailsync_grpc.content.charset import CharsetDecoder
from mailsync_grpc.content.parts import Part
from mailsync_grpc.content.transfer import IDENTITY_ENCODINGS, Identity, transfer_decoder
from mailsync_grpc.content.values import DecodingWarning


@dataclass(frozen=True, slots=True)
class Form:
    """How a part is streamed. `identity` means octet for octet as the server has it, so sizes and offsets agree."""

    part: Part
    transfer: bool
    text: bool

    @classmethod
    def of(cls, part: Part, *, decode: bool) -> "Form":
        """Return the form a caller gets. A transfer encoding that is not known leaves the whole part as it is.

        Composite types carry no encoding of their own (RFC 2045 section 6.4), whatever they declare.
        """
        decodable = decode and part.is_leaf and transfer_decoder(part.transfer_encoding) is not None
        return cls(part, decodable, decodable and part.media_type.startswith("text/"))

    @property
    def identity(self) -> bool:
        """Whether nothing is changed."""
        return not self.text and (not self.transfer or self.part.transfer_encoding in IDENTITY_ENCODINGS)

    @property
    def charset(self) -> str:
        """Charset of the octets streamed."""
        return "utf-8" if self.text else self.part.charset

    @property
    def transfer_encoding(self) -> str:
        """Transfer encoding of the octets streamed."""
        return "" if self.transfer else self.part.transfer_encoding

    def decoder(self, *, asked: bool) -> "Decoder":
        """Return a decoder for one stream; `asked` tells that the caller wanted decoding, which may not be possible."""
        return Decoder(self, asked=asked)


class Decoder:
    """Decodes one stream. `warnings` holds what was wrong so far."""

    def __init__(self, form: Form, *, asked: bool) -> None:
        encoding = form.part.transfer_encoding
        self._transfer = (transfer_decoder(encoding) if form.transfer else None) or Identity()
        self._charset = CharsetDecoder(form.part.charset) if form.text else None
        unknown = asked and form.part.is_leaf and not form.transfer
        self._unknown = {DecodingWarning.UNKNOWN_TRANSFER_ENCODING} if unknown else set()

    @property
    def warnings(self) -> set[DecodingWarning]:
        """What could not be decoded as declared."""
        broken = {DecodingWarning.BROKEN_TRANSFER_ENCODING} if self._transfer.broken else set()
        return self._unknown | broken | (self._charset.warnings if self._charset else set())

    def feed(self, data: bytes) -> bytes:
        """Return what can be decoded so far."""
        data = self._transfer.feed(data)
        return self._charset.feed(data) if self._charset else data

    def finish(self) -> bytes:
        """Return the rest."""
        data = self._transfer.finish()
        return self._charset.feed(data) + self._charset.finish() if self._charset else data
