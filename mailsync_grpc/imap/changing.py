r"""A connection that may change a mailbox: a type of its own, made of a fresh connection for one caller's change.

Only here the wire takes commands of `changes`; a `Connection`, which is what the sync has, refuses them before the
socket. A folder opened by SELECT is left by EXAMINE or LOGOUT, never by CLOSE, which expunges. Each change is sent by one call
and its answer read by the `Pending` that it returns, so that what may have been done is known to have been sent.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from mailsync_grpc.imap import changes, commands
from mailsync_grpc.imap.authenticated import AuthenticatedConnection
from mailsync_grpc.imap.channel import Channel
from mailsync_grpc.imap.fetch import FlagListing, parse_flags, parse_labelled
from mailsync_grpc.imap.listing import (
    FolderStatus,
    Selected,
    parse_examine,
    parse_search,
    parse_status,
)
from mailsync_grpc.imap.metadata import parse_metadata
from mailsync_grpc.imap.receive import Answer
from mailsync_grpc.imap.told import Appended, Copied, Stored, parse_appended, parse_copied, parse_stored
from mailsync_grpc.model.envelope import FetchedMessage
from mailsync_grpc.model.uidset import UidSet

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Pending(Generic[T]):
    """A change that was sent; nothing else may be sent before `read`."""

    channel: Channel
    tag: bytes
    parse: Callable[[Answer], T]

    def read(self) -> T:
        """Return what the server says of it. Raises ImapRefusedError, after which the connection is sound."""
        return self.parse(self.channel.conclude(self.tag))


class ChangingConnection(AuthenticatedConnection):
    """Takes over `connection`, which must not be used any more."""

    def __init__(self, connection: AuthenticatedConnection) -> None:
        self._channel = connection._channel  # noqa: SLF001 # it becomes this one
        self._capabilities = connection.capabilities
        self._enabled = connection.enabled
        self._server = connection.server
        self._channel.wire.check_line = changes.check_line

    # Reading

    def status(self, raw_name: bytes) -> FolderStatus | None:
        """Return the counters of a folder that is not open. Raises ImapRefusedError."""
        return parse_status(self._channel.run(commands.status(raw_name, self._capabilities)))

    def select(self, raw_name: bytes) -> Selected:
        """Open a folder to change it."""
        return self._open(changes.select(raw_name))

    def examine(self, raw_name: bytes) -> Selected:
        """Open a folder to read it, which leaves the one before without expunging (RFC 3501 section 6.3.2)."""
        return self._open(commands.examine(raw_name))

    def present(self, uids: UidSet) -> UidSet:
        """Return those of `uids` that the open folder holds."""
        found = UidSet()
        for piece in _pieces(uids):
            command = commands.uid_search(f"UID {piece}", self._capabilities)
            with self._channel.closing_on_breach():
                found |= parse_search(self._channel.run(command))
        return found & uids

    def present_from(self, uid: int) -> UidSet:
        """Return the UIDs of the open folder from `uid` on."""
        command = commands.uid_search(f"UID {uid}:*", self._capabilities)
        with self._channel.closing_on_breach():
            return parse_search(self._channel.run(command)) & UidSet.span(uid, 0xFFFFFFFF)

    def fetch_flags(self, uids: UidSet) -> FlagListing:
        """Return UID and flags of the messages in `uids`, and their labels on Gmail."""
        items = commands.flag_items(self._capabilities)
        answers = [self._channel.run(commands.uid_fetch(str(piece), items)) for piece in _pieces(uids)]
        return (parse_labelled if self.has_labels else parse_flags)(b"".join(answers), uids)

    def fetch_metadata(self, uids: UidSet) -> list[FetchedMessage]:
        """Return the messages of `uids` that the server answered, by ascending UID."""
        items = commands.metadata_items(self._capabilities)
        answers = [self._channel.run(commands.uid_fetch(str(piece), items)) for piece in _pieces(uids)]
        return parse_metadata(b"".join(answers), uids) if answers else []

    # Changing messages of the open folder; `uids` must fit in one command (`pieces`)

    def store(
        self, uids: UidSet, sign: str, flags: Iterable[str], unchanged_since: int = 0
    ) -> Pending[Stored]:
        """Add (`+`) or remove (`-`) flags; the answer tells which messages were changed meanwhile and left alone."""
        return self._send(changes.uid_store(str(uids), sign, flags, unchanged_since), parse_stored)

    def label(
        self, uids: UidSet, sign: str, labels: Iterable[str], unchanged_since: int = 0
    ) -> Pending[Stored]:
        """Add (`+`) or remove (`-`) Gmail's labels, as `store` does flags."""
        return self._send(changes.uid_label(str(uids), sign, labels, unchanged_since), parse_stored)

    def copy(self, uids: UidSet, raw_name: bytes) -> Pending[Copied]:
        """Copy messages into a folder, all or none."""
        return self._send(changes.uid_copy(str(uids), raw_name), lambda answer: parse_copied(answer, uids))

    def move(self, uids: UidSet, raw_name: bytes) -> Pending[Copied]:
        """Move messages into a folder."""
        return self._send(changes.uid_move(str(uids), raw_name), lambda answer: parse_copied(answer, uids))

    def expunge(self, uids: UidSet) -> Pending[None]:
        r"""Remove for good those of `uids` that are marked \Deleted, and no others."""
        return self._send(changes.uid_expunge(str(uids)), _nothing)

    # Changing folders

    def create(self, raw_name: bytes, special_use: str = "") -> Pending[None]:
        """Create a folder."""
        return self._send(changes.create(raw_name, special_use), _nothing)

    def rename(self, raw_name: bytes, new: bytes) -> Pending[None]:
        """Rename a folder, and with it those below it."""
        return self._send(changes.rename(raw_name, new), _nothing)

    def delete(self, raw_name: bytes) -> Pending[None]:
        """Delete a folder with its messages."""
        return self._send(changes.delete(raw_name), _nothing)

    def subscribe(self, raw_name: bytes, *, on: bool) -> Pending[None]:
        """Subscribe to a folder, or end that."""
        return self._send(changes.subscribe(raw_name, on=on), _nothing)

    # Adding a message

    def append(
        self, raw_name: bytes, flags: Iterable[str], date: int | None, size: int, octets: Iterator[bytes]
    ) -> Pending[Appended]:
        """Add a message of `size` octets to a folder. Raises ImapRefusedError when the server does not want it."""
        command = changes.append(raw_name, flags, date, size)
        return Pending(self._channel, self._channel.send_literal(command, octets), parse_appended)

    def _open(self, command: bytes) -> Selected:
        self._channel.reset(0)
        with self._channel.closing_on_breach():
            selected = parse_examine(self._channel.run(command))
        self._channel.reset(selected.exists)
        return selected

    def _send(self, command: bytes, parse: Callable[[Answer], T]) -> Pending[T]:
        return Pending(self._channel, self._channel.send([command])[0], parse)


def _pieces(uids: UidSet) -> Iterator[UidSet]:
    return uids.chunks(commands.MAX_RANGES)


def _nothing(_answer: Answer) -> None:
    """What is said of a change that either was made or refused."""
