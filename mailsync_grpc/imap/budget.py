"""What mail servers put up with: connections and received octets, counted per mailbox and per host. Pure bookkeeping.

Providers limit each *mailbox*: so many connections at once, so many octets a day. A general cap per *host* keeps one
server from being met with thousands of connections from here. Each process has a fixed share of both, so processes need
not talk: an account belongs to one sync worker, content is read by the API process, and every share is at least one
connection. Octets are summed over the last 24 hours, by the hour and rounded up, because no provider says when its day
begins. A part of them is kept for polls: a long history waits before new mail does. What is counted lives as long as
the process; times are the caller's monotonic seconds.
"""

import math
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import NamedTuple

HOUR, DAY_HOURS = 3_600.0, 24
POLL_RESERVE = 0.2
"""Share of the octets that backfill leaves to polls."""
CONNECTION_WAIT = 5.0
"""Seconds after which to ask again for a connection; nobody knows when another one closes."""


class Use(Enum):
    """What a connection is wanted for."""

    POLL = "poll"
    BACKFILL = "backfill"
    CONTENT = "content"


class Resource(Enum):
    """What can be used up."""

    MAILBOX_CONNECTIONS = "mailbox_connections"
    HOST_CONNECTIONS = "host_connections"
    BYTES = "bytes"


class Process(Enum):
    """Who shares: all sync workers together, and the API process."""

    SYNC = "sync"
    API = "api"


class Mailbox(NamedTuple):
    """Whom a provider counts against: a user on a host."""

    host: str
    username: str


@dataclass(frozen=True, slots=True)
class Limits:
    """Connections of one mailbox and of one host at a time; octets received of a mailbox in 24 hours, 0 for any."""

    connections: int = 10
    host_connections: int = 4_000
    bytes_per_day: int = 0


DEFAULT = Limits()
"""Ten is what Dovecot allows a user from one address unless told otherwise (`mail_max_userip_connections`)."""
KNOWN: Mapping[str, Limits] = {
    # 15 connections and 2,500 MB of IMAP downloads a day, by Google's published limits.
    **dict.fromkeys(("gmail.com", "googlemail.com"), Limits(15, bytes_per_day=2_500_000_000)),
    # Exchange Online takes 20 sessions of a user (its throttling policy's ImapMaxConcurrency).
    **dict.fromkeys(("office365.com", "outlook.com"), Limits(20)),
    # These two publish no number; clients are refused above five.
    **dict.fromkeys(("yahoo.com", "aol.com"), Limits(5)),
}
"""Limits by domain: a host is in the longest that it ends with."""


Overrides = Mapping[str, Mapping[str, int]]
"""The operator's limits by domain, `*` for every other, each with the fields of `Limits` that it sets."""


class Refusal(NamedTuple):
    """Why something must wait, and the seconds after which to ask again."""

    resource: Resource
    retry_after: float


def limits_of(host: str, overrides: Overrides) -> Limits:
    """Return the limits of a host: those known of it, and of these what the operator set otherwise."""
    labels = host.lower().rstrip(".").split(".")
    domains = [".".join(labels[start:]) for start in range(len(labels))]
    known = next((KNOWN[domain] for domain in domains if domain in KNOWN), DEFAULT)
    override = next((overrides[domain] for domain in [*domains, "*"] if domain in overrides), {})
    return replace(known, **override)


def share_of(limits: Limits, process: Process, workers: int) -> Limits:
    """Return what one process may use: two thirds of the connections and three quarters of the octets are the sync's.

    A mailbox is one worker's, so only what hosts take in all is divided among the workers.
    """
    content, host_content = max(1, limits.connections // 3), max(1, limits.host_connections // 3)
    if process is Process.API:
        return replace(
            limits,
            connections=content,
            host_connections=host_content,
            bytes_per_day=limits.bytes_per_day // 4,
        )
    return replace(
        limits,
        connections=max(1, limits.connections - content),
        host_connections=max(1, (limits.host_connections - host_content) // workers),
        bytes_per_day=limits.bytes_per_day - limits.bytes_per_day // 4,
    )


@dataclass(slots=True)
class DayCount:
    """Octets of the last 24 hours, by the hour in which they came; what came in the same hour leaves together."""

    _hours: Counter[int] = field(default_factory=Counter)

    def add(self, octets: int, now: float) -> None:
        """Count octets that came now."""
        self._hours[int(now // HOUR)] += octets

    def spent(self, now: float) -> int:
        """Return what came in the last 24 hours, and up to an hour more."""
        self._forget(now)
        return self._hours.total()

    def below(self, limit: float, now: float) -> float:
        """Return the seconds until less than `limit` is counted."""
        left = self.spent(now)
        for hour, octets in sorted(self._hours.items()):
            if left < limit:
                return 0.0
            left -= octets
            if left < limit:
                return (hour + 1 + DAY_HOURS) * HOUR - now
        return 0.0 if left < limit else math.inf

    def _forget(self, now: float) -> None:
        for hour in [hour for hour in self._hours if (hour + 1 + DAY_HOURS) * HOUR <= now]:
            del self._hours[hour]


@dataclass(slots=True)
class Budgets:
    """What this process uses of its share. `limits` gives the share of a host; one thread at a time may use it."""

    limits: Callable[[str], Limits]
    _mailboxes: Counter[Mailbox] = field(default_factory=Counter)
    _hosts: Counter[str] = field(default_factory=Counter)
    _octets: dict[Mailbox, DayCount] = field(default_factory=dict)
    _refused: dict[str, float] = field(default_factory=dict)

    def open(self, mailbox: Mailbox, use: Use, now: float) -> Refusal | None:
        """Count one more connection, unless something is used up."""
        refusal = self.spent(mailbox, use, now) or self._full(mailbox, now)
        if refusal is None:
            self._mailboxes[mailbox] += 1
            self._hosts[mailbox.host] += 1
        return refusal

    def close(self, mailbox: Mailbox) -> None:
        """Count one connection less."""
        self._mailboxes[mailbox] -= 1
        self._hosts[mailbox.host] -= 1
        if not self._mailboxes[mailbox]:
            del self._mailboxes[mailbox]

    def received(self, mailbox: Mailbox, octets: int, now: float) -> None:
        """Count octets, where they are limited."""
        if self.limits(mailbox.host).bytes_per_day:
            self._octets.setdefault(mailbox, DayCount()).add(octets, now)

    def spent(self, mailbox: Mailbox, use: Use, now: float) -> Refusal | None:
        """Say when more octets may be asked for, None for now."""
        limit = self.limits(mailbox.host).bytes_per_day
        count = self._octets.get(mailbox)
        if not limit or count is None:
            return None
        wait = count.below(limit * (1 - POLL_RESERVE) if use is Use.BACKFILL else limit, now)
        return Refusal(Resource.BYTES, wait) if wait else None

    def wanted(self, host: str, now: float) -> bool:
        """Whether some mailbox was lately refused a place on the host, so that idle connections should make room."""
        return now - self._refused.get(host, -math.inf) < 2 * CONNECTION_WAIT

    def _full(self, mailbox: Mailbox, now: float) -> Refusal | None:
        limits = self.limits(mailbox.host)
        if self._mailboxes[mailbox] >= limits.connections:
            return Refusal(Resource.MAILBOX_CONNECTIONS, CONNECTION_WAIT)
        if self._hosts[mailbox.host] >= limits.host_connections:
            self._refused[mailbox.host] = now
            return Refusal(Resource.HOST_CONNECTIONS, CONNECTION_WAIT)
        return None
