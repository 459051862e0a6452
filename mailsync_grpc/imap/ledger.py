"""Budgets at work: threads ask here before they connect or fetch, and every open connection holds a lease."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Protocol

from mailsync_grpc import metrics
from mailsync_grpc.errors import BudgetSpentError, ConnectionsSpentError
from mailsync_grpc.imap.budget import (
    Budgets,
    Limits,
    Mailbox,
    Overrides,
    Process,
    Refusal,
    Resource,
    Use,
    limits_of,
    share_of,
)

_SPENT = {
    Resource.MAILBOX_CONNECTIONS: "as many connections as {host} allows one mailbox are open",
    Resource.HOST_CONNECTIONS: "as many connections as {host} may be met with are open",
    Resource.BYTES: "as much as {host} gives of one mailbox in a day was received",
}


class Lease(Protocol):
    """What an open connection holds and may ask for."""

    def received(self, octets: int) -> None:
        """Count octets."""
        ...

    def check(self, use: Use) -> None:
        """Raise BudgetSpentError when nothing more may be asked of the server for this use now."""
        ...

    def allows(self, use: Use) -> bool:
        """As `check`, for who need not be told why."""
        ...

    @property
    def wanted(self) -> bool:
        """Whether another mailbox waits for a place on this host, so that an idle connection should close."""
        ...

    def release(self) -> None:
        """Give the connection's place back; harmless when that is done."""
        ...


class _Unmetered:
    """The lease of a connection that nobody counts."""

    wanted = False

    def received(self, octets: int) -> None:
        """Count nothing."""

    def check(self, use: Use) -> None:
        """Allow everything."""

    def allows(self, use: Use) -> bool:  # noqa: ARG002 - as `Lease`
        """Allow everything."""
        return True

    def release(self) -> None:
        """Give nothing back."""


UNMETERED = _Unmetered()


class Ledger:
    """The budgets of a process, used by all its threads."""

    def __init__(self, limits: Callable[[str], Limits], clock: Callable[[], float] = time.monotonic) -> None:
        self._budgets = Budgets(limits)
        self._clock = clock
        self._lock = threading.Lock()

    def lease(self, mailbox: Mailbox, use: Use) -> Lease:
        """Return the lease of one more connection. Raises BudgetSpentError."""
        with self._lock:
            refusal = self._budgets.open(mailbox, use, self._clock())
        _told(mailbox, use, refusal)
        return _Leased(self, mailbox)

    def received(self, mailbox: Mailbox, octets: int) -> None:
        """Count octets."""
        with self._lock:
            self._budgets.received(mailbox, octets, self._clock())

    def spent(self, mailbox: Mailbox, use: Use) -> Refusal | None:
        """Say when more may be asked for, None for now."""
        with self._lock:
            return self._budgets.spent(mailbox, use, self._clock())

    def wanted(self, host: str) -> bool:
        """Whether some mailbox was lately refused a place on the host."""
        with self._lock:
            return self._budgets.wanted(host, self._clock())

    def close(self, leased: "_Leased") -> None:
        """Count one connection less, once: two threads may close it at the same time."""
        with self._lock:
            if leased.held:
                leased.held = False
                self._budgets.close(leased.mailbox)


@dataclass(slots=True)
class _Leased:
    """A connection's place in the ledger."""

    ledger: Ledger
    mailbox: Mailbox
    held: bool = True

    def received(self, octets: int) -> None:
        self.ledger.received(self.mailbox, octets)

    def check(self, use: Use) -> None:
        _told(self.mailbox, use, self.ledger.spent(self.mailbox, use))

    def allows(self, use: Use) -> bool:
        try:
            self.check(use)
        except BudgetSpentError:
            return False
        return True

    @property
    def wanted(self) -> bool:
        return self.ledger.wanted(self.mailbox.host)

    def release(self) -> None:
        self.ledger.close(self)


def ledger(overrides: Overrides, process: Process, workers: int) -> Ledger:
    """Return the ledger of a process of an installation with so many sync workers."""

    @cache
    def limits(host: str) -> Limits:
        return share_of(limits_of(host, overrides), process, workers)

    return Ledger(limits)


def _told(mailbox: Mailbox, use: Use, refusal: Refusal | None) -> None:
    if refusal is not None:
        metrics.IMAP_BUDGET_WAITS.labels(use=use.value, resource=refusal.resource.value).inc()
        kind = BudgetSpentError if refusal.resource is Resource.BYTES else ConnectionsSpentError
        raise kind(_SPENT[refusal.resource].format(host=mailbox.host), refusal.retry_after)
