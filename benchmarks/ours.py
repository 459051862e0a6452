"""mailsync as it is measured: `mailsync serve` with all its processes and its durable store, called over gRPC."""

import itertools
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measure import Stopwatch, Usage
from mailsync_grpc.v1 import envelope_service_pb2, event_service_pb2
from tests.support.mail import Mailbox
from tests.support.service import Service, Stubs, running

_accounts = (f"bench{number}" for number in itertools.count())


@dataclass(frozen=True, slots=True)
class Ours:
    """A running service with an empty store when it was made."""

    service: Service
    stubs: Stubs

    @property
    def pid(self) -> int:
        """The API process, parent of the workers."""
        assert self.service.process is not None
        return self.service.process.pid

    def stopwatch(self) -> Stopwatch:
        """A stopwatch over the service's processes."""
        return Stopwatch(self.pid)

    def first_sync(self, mailbox: Mailbox) -> Usage:
        """Register the mailbox and wait for the event that tells that its INBOX is there completely."""
        watch = self.stopwatch()
        with watch.running():
            self.sync(mailbox)
        return watch.usage

    def first_page(self, mailbox: Mailbox) -> Usage:
        """Register the mailbox and list its INBOX as soon as the newest are told to be there; then let it finish."""
        watch = self.stopwatch()
        with watch.running():
            account = self._register(mailbox)
            inbox = self._wait_for(account, "backfilled")
            page = envelope_service_pb2.ListEnvelopesRequest(parent=inbox, page_size=100)
            assert len(self.stubs.envelopes.ListEnvelopes(page).envelopes) == 100
        self._wait_for(account, "folder_synced")
        return watch.usage

    def sync(self, mailbox: Mailbox) -> str:
        """Register the mailbox, wait until its INBOX is there completely and return the INBOX's name."""
        return self._wait_for(self._register(mailbox), "folder_synced")

    def _register(self, mailbox: Mailbox) -> str:
        account = next(_accounts)
        self.stubs.register(mailbox, account)
        return account

    def _wait_for(self, account: str, kind: str) -> str:
        """Follow the account's events until one of this kind is about its INBOX, whose name is returned."""
        request = event_service_pb2.WatchEventsRequest(
            oldest=event_service_pb2.StartOldest(),
            filter=event_service_pb2.EventFilter(accounts=[f"accounts/{account}"]),
        )
        inbox = ""
        for response in self.stubs.events.WatchEvents(request):
            for event in response.events:
                if event.folder_changed.folder.path == "INBOX":
                    inbox = event.folder_changed.folder.name
                if event.folder == inbox and event.WhichOneof("payload") == kind:
                    return inbox
        raise ConnectionError("the service ended the stream")


@contextmanager
def ours(warm_up: Mailbox, **settings: str) -> Iterator[Ours]:
    """A service for the block that has synced `warm_up` once, so that its processes are up; its data is gone afterwards.

    `settings` are named as in the environment, without their prefix.
    """
    environment = {f"MAILSYNC_{name}": value for name, value in settings.items()}
    with (
        tempfile.TemporaryDirectory(prefix="mailsync-bench-") as directory,
        running(Service(Path(directory), environment)) as service,
        Stubs(service.address) as stubs,
    ):
        made = Ours(service, stubs)
        made.first_sync(warm_up)
        yield made
