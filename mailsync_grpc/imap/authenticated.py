r"""An authenticated connection: what is known of its server, what it has cost, and its end.

What may be asked over it is its subclass's (`connection`). The capabilities count from the login on only, since what a
server offers before may have been put there by somebody between (RFC 3501 section 6.2.1).
"""

from typing import Self

from mailsync_grpc.imap import commands
from mailsync_grpc.imap.answer import untagged_text
from mailsync_grpc.imap.channel import Channel
from mailsync_grpc.imap.ledger import Lease
from mailsync_grpc.imap.listing import parse_server, parse_words
from mailsync_grpc.imap.wire import Wire


class AuthenticatedConnection:
    """A connection after the login, before a folder is opened."""

    def __init__(self, wire: Wire) -> None:
        self._channel = Channel(wire)
        self._capabilities = self._read_capabilities()
        self._enabled: frozenset[str] = frozenset()
        self._server = ""

    @property
    def capabilities(self) -> frozenset[str]:
        """What the server offers after the login, in upper case."""
        return self._capabilities

    @property
    def enabled(self) -> frozenset[str]:
        """Extensions switched on by ENABLE (RFC 5161), in upper case."""
        return self._enabled

    @property
    def server(self) -> str:
        """Name and version of the server's software as it says (RFC 2971), empty when it does not."""
        return self._server

    @property
    def has_lasting_ids(self) -> bool:
        """Whether the server has ids of messages that stay when they move (RFC 8474, Gmail)."""
        return not self._capabilities.isdisjoint({"OBJECTID", commands.GMAIL})

    @property
    def has_labels(self) -> bool:
        """Whether messages have Gmail's labels beside their flags."""
        return commands.GMAIL in self._capabilities

    @property
    def condstore(self) -> bool:
        """Whether mod-sequences are told (RFC 7162), which QRESYNC includes."""
        return not self._enabled.isdisjoint({"CONDSTORE", "QRESYNC"})

    @property
    def exists(self) -> int:
        """Messages in the selected folder as last announced."""
        return self._channel.exists

    @property
    def folder_dirty(self) -> bool:
        """Whether the server announced, since EXAMINE, a change or removal that was not asked for."""
        return self._channel.dirty

    @property
    def closed(self) -> bool:
        """Whether the connection can no longer be used."""
        return self._channel.wire.closed

    @property
    def lease(self) -> Lease:
        """What the connection may still ask of its host."""
        return self._channel.wire.lease

    @property
    def bytes_received(self) -> int:
        """Octets received, inside TLS."""
        return self._channel.wire.bytes_received

    @property
    def bytes_sent(self) -> int:
        """Octets sent, inside TLS."""
        return self._channel.wire.bytes_sent

    @property
    def commands(self) -> int:
        """Commands sent."""
        return self._channel.wire.commands

    def introduce(self) -> None:
        """Enable CONDSTORE and QRESYNC, say who we are, where the server takes it; some give no service without ID."""
        answer = self._channel.gather(self._channel.send(commands.introduction(self._capabilities)))
        self._enabled |= parse_words(answer, "ENABLED") or frozenset()
        self._server = parse_server(answer) or ""

    def noop(self) -> None:
        """Let the server announce what changed; `exists` and `folder_dirty` then say."""
        self._channel.run(b"NOOP")

    def logout(self) -> None:
        """Say goodbye and close, whatever the server makes of it."""
        self._channel.log_out()

    def close(self) -> None:
        """Close the socket at once."""
        self._channel.wire.shutdown()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.logout()

    def _read_capabilities(self) -> frozenset[str]:
        """Take the list that came with the login, or ask; what was offered before the login counts no more."""
        known = self._channel.wire.untagged_responses.get("CAPABILITY")
        if known:
            return frozenset(untagged_text(known[-1]).upper().split())
        return parse_words(self._channel.run(b"CAPABILITY"), "CAPABILITY") or frozenset()
