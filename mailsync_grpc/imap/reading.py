"""What those who read on demand need of a connection, whoever made it."""

from collections.abc import Sequence
from types import TracebackType
from typing import Protocol, Self

from mailsync_grpc.imap.ledger import Lease
from mailsync_grpc.imap.listing import Selected
from mailsync_grpc.model.envelope import Envelope, FetchedMessage
from mailsync_grpc.model.uidset import UidSet


class Windows(Protocol):
    """What reading ahead needs of `imap.read_ahead.SectionWindows`."""

    def ask(self, offset: int, length: int) -> None:
        """Ask for at most so many octets from an offset on."""
        ...

    def take(self) -> bytes:
        """Return the next window; ImapRefusedError when the folder does not hold the message."""
        ...

    def end(self) -> None:
        """Read what is still to come, for nobody."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Do as `end`."""
        ...


class Reading(Protocol):
    """What reading on demand needs of `imap.connection.Connection`."""

    @property
    def closed(self) -> bool:
        """Whether the connection can no longer be used."""
        ...

    @property
    def lease(self) -> Lease:
        """What the connection may still ask of its host."""
        ...

    def examine(self, raw_name: bytes) -> Selected:
        """Open a folder for reading."""
        ...

    def fetch_section(self, uid: int, section: str, offset: int, length: int) -> bytes:
        """Return octets of a body section; ImapRefusedError when the folder does not hold the message."""
        ...

    def section_windows(self, uid: int, section: str) -> Windows:
        """Return what asks for windows of a body section ahead."""
        ...

    def fetch_structure(self, uid: int) -> Envelope | None:
        """Return a message's metadata, None when the folder does not hold it."""
        ...

    def fetch_metadata(self, uids: UidSet) -> list[FetchedMessage]:
        """Return what the server tells of messages, those that it has, ascending."""
        ...

    def fetch_sections(self, wanted: Sequence[tuple[int, str]], length: int) -> dict[tuple[int, str], bytes]:
        """Return the first octets of body sections, by UID and section, without those that there are not."""
        ...

    def logout(self) -> None:
        """Say goodbye and close."""
        ...

    def close(self) -> None:
        """Close at once."""
        ...
