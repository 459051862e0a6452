"""Where everything is measured: a private Dovecot with one large, realistic folder whose index cache is warm.

The folder is read once by our own sync before anything is timed. That fills the server's index cache (a cold one would
flatter every client) and shows, on the wire, the commands that the raw reference then repeats.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from mailsync_grpc.cli.demo.dovecot import DovecotServer
from mailsync_grpc.cli.demo.dovecot_config import DovecotOptions
from mailsync_grpc.cli.demo.mailbox import deliveries
from tests.support.mail import Mailbox
from tests.support.mirror import Mirror
from tests.support.relay import Relay, RelayedMailbox

_USER, _SMALL = "bench", "small"
_SMALL_SIZE = 200
_UIDS_A_LINE = 500


@dataclass(frozen=True, slots=True)
class Place:
    """The folder INBOX of `mailbox` with `messages` messages, and the commands of a first sync of it.

    `octets` is what the server sends for them, login included. `small` is a mailbox to warm up with.
    """

    mailbox: Mailbox
    small: Mailbox
    messages: int
    commands: tuple[bytes, ...]
    octets: int

    def change_flags(self, share: float) -> None:
        """Turn a keyword over on that share of the messages, spread over the folder, as a second client."""
        drawn = range(1, self.messages + 1, int(1 / share))
        held = "bench" in self.mailbox.flags_by_uid()[drawn[0]]
        for start in range(0, len(drawn), _UIDS_A_LINE):
            uids = ",".join(map(str, drawn[start : start + _UIDS_A_LINE]))
            self.mailbox.store(uids, f"{'-' if held else '+'}FLAGS.SILENT (bench)")

    def forget_cache(self) -> None:
        """Delete the folder's index cache while nobody has it open."""
        for cache in (self.mailbox.server.directory / "mail").rglob("dovecot.index.cache"):
            cache.unlink()


@contextmanager
def place(messages: int) -> Iterator[Place]:
    """A server for the block, its folder filled and warmed."""
    # mdbox fills fastest, and the limit of memory per process must allow the index cache of a large folder.
    with DovecotServer([_USER, _SMALL], DovecotOptions(storage="mdbox")) as server:
        mailbox = Mailbox(server, _USER)
        mailbox.deliver(deliveries(messages))
        small = Mailbox(server, _SMALL)
        small.deliver(deliveries(_SMALL_SIZE, seed=2))
        with Relay(server.host, server.port, keep_received=False) as relay:
            mirror = Mirror(RelayedMailbox(server, _USER, relay=relay))
            mirror.settle()
            mirror.close()
        yield Place(mailbox, small, messages, tuple(relay.commands()), relay.octets_received)
