"""What a window leaves out of a folder: pure decisions from UIDs, dates and counts.

INTERNALDATE decides, to the second, once a message is fetched. Before that SEARCH SINCE narrows down what to fetch: it
goes by whole days and disregards time and zone (RFC 3501 section 6.4.4), so it is asked two days wider than the bound,
more than any zone is from UTC. The newest N of a folder are those of the highest UIDs.

A server may show only its newest messages (Yahoo 10,000, Gmail as its user sets it): with each arrival the oldest drops
out of sight, still there. Such a view always holds the same round number, by which it is told from a deletion.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from mailsync_grpc.model.envelope import FetchedMessage
from mailsync_grpc.model.uidset import UidSet
from mailsync_grpc.store.values import Summary

MARGIN = timedelta(days=2)
"""What a search is to be wider where the date is known once a message is fetched."""
_MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()
_ROUND = 1_000
"""Limits of servers' views are multiples of this."""


class Surplus(NamedTuple):
    """UIDs beyond the newest N: those that are stored, and those that are not yet."""

    stored: UidSet
    waiting: UidSet


def search_since(bound: int, margin: timedelta = MARGIN) -> str:
    """Return the SEARCH criterion that finds every message from `bound` (seconds since 1970) on, in any zone."""
    day = datetime.fromtimestamp(bound, UTC) - margin
    # Months are English on the wire, whatever the locale.
    return f"SINCE {day.day}-{_MONTHS[day.month - 1]}-{day.year:04}"


def older(messages: Iterable[FetchedMessage | Summary], bound: int | None) -> UidSet:
    """Return the UIDs of those before `bound`; without a date a message is inside."""
    if bound is None:
        return UidSet()
    dated = ((message.uid, _date(message)) for message in messages)
    return UidSet.of(uid for uid, date in dated if date is not None and date < bound)


def _date(message: FetchedMessage | Summary) -> int | None:
    return message.internal_date if isinstance(message, Summary) else message.envelope.internal_date


def surplus(count: int, lowest: UidSet, waiting: UidSet) -> Surplus:
    """Return the `count` lowest of the stored UIDs and of those `waiting` to be stored.

    `lowest` are the lowest stored ones: `count` of them, or all.
    """
    both = lowest | waiting
    beyond = both - both.highest(len(both) - count)
    return Surplus(beyond & lowest, beyond & waiting)


def view_is_cut(before: int | None, listed: Sequence[int], exists: int) -> bool:
    """Whether a complete listing is of a view that holds a round number of messages whatever comes and goes.

    `before` is what EXISTS was expected to be at the beginning of the look.
    """
    return before == exists == len(listed) and exists > 0 and exists % _ROUND == 0


def below(uids: UidSet, lowest: int) -> UidSet:
    """Return those of `uids` that a cut view with this lowest UID keeps out of sight."""
    return uids & UidSet.span(1, lowest - 1)
