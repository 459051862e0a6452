"""From new mail on the mail server to its event at a client, without the wait for the next poll.

A message is appended by a second client; once that is answered, and the message so to be seen by anybody, a sync is
asked for at once, as a poll that happens to be due then. The delay ends when the client has read the event.
"""

import time

from benchmarks import goals
from benchmarks.measure import percentile
from benchmarks.ours import ours
from benchmarks.result import Row
from benchmarks.session import Session
from mailsync_grpc.v1 import event_pb2, event_service_pb2
from mailsync_grpc.v1.account_service_pb2 import StartSyncRequest
from tests.support.mail import letters

_MESSAGES, _QUICK_MESSAGES = 100, 30
_QUIET = 0.2
"""Seconds before each message, so that none finds the sync of the one before at work."""


def rows(session: Session) -> list[Row]:
    """Measure the delay of each of many messages."""
    session.tell("detection of new mail")
    place, delays = session.place, []
    with ours(place.small) as service:
        account = service.sync(place.small).partition("/folders/")[0]
        added = event_service_pb2.EventFilter(accounts=[account], types=[event_pb2.EVENT_TYPE_ENVELOPE_ADDED])
        stream = service.stubs.events.WatchEvents(event_service_pb2.WatchEventsRequest(filter=added))
        next(stream)
        for letter in letters(_QUICK_MESSAGES if session.quick else _MESSAGES):
            time.sleep(_QUIET)
            place.small.deliver([letter])
            visible = time.monotonic()
            service.stubs.accounts.StartSync(StartSyncRequest(name=account))
            while not next(stream).events:
                pass
            delays.append((time.monotonic() - visible) * 1e3)
        stream.cancel()
    most, half = percentile(delays, 0.99), percentile(delays, 0.5)
    note = (
        f"{len(delays)} messages, from their append's answer by StartSync to the event; median {half:.0f} ms"
    )
    return [Row(goals.DETECTION, most, most, None, "ms", note)]
