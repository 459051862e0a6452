r"""A connection to one mailbox: opened, checked, authenticated, and then only read.

IMAPClient with the guarded `Wire` under it holds the connection up to the login (`session`). From then on each command
is sent and its whole answer read by a `Channel`, because imaplib's line reader costs more than the parsing, and IMAPClient's
answers lose what matters (see `fetch`). Folders are opened by EXAMINE only, each with its own state.

A tagged NO or BAD raises ImapRefusedError and leaves the connection sound, an unsafe argument is refused before the
socket (UnsafeArgumentError); every other error has closed the connection. One thread at a time may use it.
"""

import contextlib
import re
import time
from collections.abc import Sequence

from mailsync_grpc.errors import ImapRefusedError, UnsafeArgumentError
from mailsync_grpc.imap import commands
from mailsync_grpc.imap.auth import Credentials
from mailsync_grpc.imap.authenticated import AuthenticatedConnection
from mailsync_grpc.imap.channel import PendingFetch
from mailsync_grpc.imap.endpoint import Endpoint, Policy
from mailsync_grpc.imap.fetch import (
    MAX_UID,
    FlagChanges,
    FlagListing,
    parse_flags,
    parse_labelled,
    parse_sections,
)
from mailsync_grpc.imap.folder_names import INBOX
from mailsync_grpc.imap.ledger import UNMETERED, Lease
from mailsync_grpc.imap.listing import (
    FolderStatus,
    Selected,
    parse_examine,
    parse_search,
    parse_status,
    parse_vanished,
)
from mailsync_grpc.imap.metadata import parse_metadata
from mailsync_grpc.imap.read_ahead import SectionWindows
from mailsync_grpc.imap.session import open_session
from mailsync_grpc.imap.wire import Clock, Wire
from mailsync_grpc.model.envelope import Envelope, FetchedMessage
from mailsync_grpc.model.uidset import UidSet

__all__ = ["Connection", "PendingFetch", "connect"]

_FROM = re.compile(r"([1-9]\d{0,9}):\*")
_PIPELINED = 100
"""Commands sent before their answers are read; more could fill both sides' socket buffers and block for ever."""


class Connection(AuthenticatedConnection):
    """A connection that reads folders and their messages. Made by `connect`."""

    def __init__(self, wire: Wire) -> None:
        super().__init__(wire)
        self._open = b""

    # Folders.

    def status(self, raw_names: list[bytes]) -> list[FolderStatus | None]:
        """Return the counters of each folder, about one round trip in all; None for one that the server refuses.

        The open folder is left first, since STATUS is not for it (RFC 3501 section 6.3.10); where the server has no
        UNSELECT (RFC 3691) it stays open and its counters are None too.
        """
        found: list[FolderStatus | None] = []
        for start in range(0, len(raw_names), _PIPELINED):
            found += self._statuses(raw_names[start : start + _PIPELINED])
        return found

    def examine(self, raw_name: bytes) -> Selected:
        """Open a folder without the right to change it (RFC 3501 section 6.3.2)."""
        command = commands.examine(raw_name)
        self._channel.reset(0)
        self._open = b""
        with self._channel.closing_on_breach():
            selected = parse_examine(self._channel.run(command))
        self._channel.reset(selected.exists)
        self._open = raw_name
        return selected

    def leave(self) -> None:
        """Let go of the open folder: by UNSELECT (RFC 3691), else for INBOX, which no other mailbox can become."""
        if "UNSELECT" in self._capabilities:
            self._read_leave(self._channel.send([b"UNSELECT"])[0])
        else:
            self.examine(INBOX.encode())

    # Messages of the selected folder.

    def fetch_flags(self, uids: UidSet | str) -> FlagListing:
        """Return UID and flags of the messages in `uids`, a set or `n:*` for every UID from n on."""
        items = commands.flag_items(self._capabilities)
        if isinstance(uids, UidSet):
            return self._flags(self._fetch(uids, items).read(), uids)
        first = _FROM.fullmatch(uids)
        if first is None:
            raise UnsafeArgumentError("a range of UIDs is written n:*")
        answer = self._channel.run(commands.uid_fetch(uids, items))
        return self._flags(answer, UidSet.span(int(first[1]), MAX_UID))

    def fetch_changes(self, modseq: int) -> FlagChanges:
        """Return the messages that came or whose flags changed after `modseq` (RFC 7162 section 3.1.4.1).

        With QRESYNC also the UIDs that are gone since then (section 3.2.6), perhaps among many that never were.
        """
        answer = self._channel.run(commands.changed_since(modseq, self._capabilities, self._enabled))
        with self._channel.closing_on_breach():
            return FlagChanges(self._flags(answer, UidSet.span(1, MAX_UID)), parse_vanished(answer))

    def _flags(self, answer: bytes, uids: UidSet) -> FlagListing:
        return (parse_labelled if self.has_labels else parse_flags)(answer, uids)

    def fetch_metadata(self, uids: UidSet) -> list[FetchedMessage]:
        """Return the messages of `uids` that the server answered, by ascending UID."""
        return parse_metadata(self.request_metadata(uids).read(), uids)

    def request_metadata(self, uids: UidSet) -> PendingFetch:
        """Send the FETCH of `fetch_metadata`; `parse_metadata(pending.read(), uids)` gives the messages.

        So the next request can be on its way before the last answer is parsed.
        """
        return self._fetch(uids, commands.metadata_items(self._capabilities))

    def request_minimal(self, uids: UidSet) -> PendingFetch:
        """Send a FETCH of flags and lasting ids only, for `parse_minimal(pending.read(), uids)`."""
        return self._fetch(uids, commands.minimal_items(self._capabilities))

    def fetch_section(self, uid: int, section: str, offset: int, length: int) -> bytes:
        """Return at most `length` octets of a body section from `offset`, empty at its end.

        `section` is as RFC 3501 section 6.4.5 has it: empty for the whole message, `HEADER`, `1.2`, `1.2.MIME`.
        Raises ImapRefusedError when the folder no longer holds the message.
        """
        with self.section_windows(uid, section) as windows:
            windows.ask(offset, length)
            return windows.take()

    def section_windows(self, uid: int, section: str) -> SectionWindows:
        """Return what asks for windows of a body section ahead; as `fetch_section`, which is one of them."""
        return SectionWindows(self._channel, uid, section)

    def fetch_sections(self, wanted: Sequence[tuple[int, str]], length: int) -> dict[tuple[int, str], bytes]:
        """Return the first `length` octets of each (UID, section), without those that the server refuses or has not.

        About one round trip in all. Dovecot gives every answer before it completes the first command.
        """
        answers: list[bytes] = []
        for start in range(0, len(wanted), _PIPELINED):
            piece = wanted[start : start + _PIPELINED]
            lines = [commands.section_fetch(uid, section, 0, length) for uid, section in piece]
            answers.append(self._channel.gather(self._channel.send(lines)))
        return parse_sections(b"".join(answers))

    def fetch_structure(self, uid: int) -> Envelope | None:
        """Return the metadata of one message, None when the folder does not hold it."""
        found = self.fetch_metadata(UidSet.span(uid, uid))
        return found[0].envelope if found else None

    def uid_search(self, criteria: str) -> UidSet:
        """Return the UIDs that match `criteria` (RFC 3501 section 6.4.4, ASCII)."""
        command = commands.uid_search(criteria, self._capabilities)
        with self._channel.closing_on_breach():
            return parse_search(self._channel.run(command))

    # Sending and reading.

    def _fetch(self, uids: UidSet, items: bytes) -> PendingFetch:
        pieces = uids.chunks(commands.MAX_RANGES)
        return PendingFetch(self._channel, uids, [commands.uid_fetch(str(piece), items) for piece in pieces])

    def _status_line(self, raw_name: bytes) -> bytes:
        try:
            return commands.status(raw_name, self._capabilities)
        except UnsafeArgumentError:
            return b""

    def _statuses(self, raw_names: list[bytes]) -> list[FolderStatus | None]:
        leave = [b"UNSELECT"] if self._open and "UNSELECT" in self._capabilities else []
        lines = [b"" if name == self._open and not leave else self._status_line(name) for name in raw_names]
        tags = iter(self._channel.send([*leave, *filter(None, lines)]))
        if leave:
            self._read_leave(next(tags))
        found = [self._read_status(next(tags)) if line else None for line in lines]
        return [None if name == self._open else status for name, status in zip(raw_names, found, strict=True)]

    def _read_leave(self, tag: bytes) -> None:
        """Read the answer to UNSELECT; refused, the folder stays open."""
        with contextlib.suppress(ImapRefusedError):
            self._channel.finish(tag)
            self._channel.reset(0)
            self._open = b""

    def _read_status(self, tag: bytes) -> FolderStatus | None:
        with contextlib.suppress(ImapRefusedError):
            return parse_status(self._channel.finish(tag))
        return None


def connect(
    endpoint: Endpoint,
    policy: Policy,
    credentials: Credentials,
    clock: Clock = time.monotonic,
    lease: Lease = UNMETERED,
) -> Connection:
    """Return a connection that is logged in. Raises EndpointForbiddenError, UnsafeArgumentError and any ImapError.

    `lease` is the connection's until it closes; where none could be opened it is still the caller's.
    """
    connection = Connection(open_session(endpoint, policy, credentials, clock, lease))
    connection.introduce()
    return connection
