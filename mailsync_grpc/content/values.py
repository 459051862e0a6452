"""What a caller asks of content and gets back: frozen values, no I/O. Numbers are those of the contract's enums."""

from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple, TypeAlias

from mailsync_grpc.model.account import Account
from mailsync_grpc.model.folder import Folder
from mailsync_grpc.model.ids import envelope_name


class ContentKind(IntEnum):
    """A part by what it is. Values are those of `mailsync.v1.ContentKind`."""

    TEXT = 1
    HTML = 2
    HEADERS = 3
    RAW = 4


class DecodingWarning(IntEnum):
    """What was wrong with content that was decoded all the same. Values are those of `mailsync.v1.DecodingWarning`."""

    UNKNOWN_TRANSFER_ENCODING = 1
    BROKEN_TRANSFER_ENCODING = 2
    UNKNOWN_CHARSET = 3
    REPLACED_OCTETS = 4
    SHORT = 5


@dataclass(frozen=True, slots=True)
class ContentId:
    """A part by its Content-ID (RFC 2392), as mail or a link has it."""

    text: str


What: TypeAlias = str | ContentKind | ContentId
"""A section number such as `1.2` (RFC 3501 section 6.4.5), a kind, or a Content-ID."""


class Wanted(NamedTuple):
    """Which content in which form, and which octets of that form; fields as in `mailsync.v1.DownloadContentRequest`.

    `limit` 0 is to the end, `chunk_size` 0 the configured one, without `if_match` any content will do.
    """

    what: What
    decode: bool = False
    offset: int = 0
    limit: int = 0
    if_match: str = ""
    chunk_size: int = 0


class MessageKey(NamedTuple):
    """Whose content it is. `folder.uid_validity` is the numbering that `uid` belongs to."""

    account: Account
    folder: Folder
    uid: int

    @property
    def name(self) -> str:
        """The envelope's resource name, for errors."""
        return envelope_name(self.account.id, self.folder.id, self.folder.uid_validity, self.uid)


@dataclass(frozen=True, slots=True)
class ContentHeader:
    """What is about to be streamed; fields as in `mailsync.v1.ContentHeader`, sizes and offset in octets.

    `total_size` is None when it is not known before the end; before everything was fetched it is what the mail server
    declares.
    """

    media_type: str
    charset: str
    total_size: int | None
    etag: str
    file_name: str
    section: str
    transfer_encoding: str
    offset: int
    cached: bool


@dataclass(frozen=True, slots=True)
class ContentTrailer:
    """How the stream ended: octets sent, their SHA-256 (32 bytes), what was wrong, the whole content's size if known."""

    size: int
    sha256: bytes
    decoding_warnings: tuple[DecodingWarning, ...]
    total_size: int | None


Piece: TypeAlias = ContentHeader | bytes | ContentTrailer
"""A stream is one header, any number of chunks, one trailer."""
