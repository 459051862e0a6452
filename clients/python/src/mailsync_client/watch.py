"""A watch that loses nothing: proves coverage, notices silence, connects again by token with back-off and full jitter.

Each response covers `(from_revision, through_revision]` of one partition of the log and begins where the one before ended,
also across connections and whatever the filter hid; one that does not leaves a gap. The server says something at least
every heartbeat interval, so three intervals of silence are a lost connection. A lost connection is made anew with the
token of the last response the consumer is done with: what it was still at work on comes again, nothing is left out. A
position that cannot be served any more or a gap is `ResyncRequired`: list again, then watch. Who has asked for
`reset_on_compacted` is told by a `reset` in the stream instead, which voids everything known, the coverage too.

No deadline is ever set on the stream: it would end a healthy watch. What decides is pure; `watch` is the runner.
"""

import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from typing import NamedTuple, Protocol, Self

import grpc

from mailsync_client.failures import Failure, failure_of, seconds
from mailsync_client.silence import SilenceWatch
from mailsync_client.v1.event_service_pb2 import (
    StartNow,
    StartOldest,
    StartSnapshot,
    WatchEventsRequest,
    WatchEventsResponse,
)

HEARTBEAT_SECONDS = 15.0
MISSED_HEARTBEATS = 3
SHORTEST_PAUSE = 0.5
LONGEST_PAUSE = 30.0

# Where a watch begins; text is a resume token, a time that of the first event's commit.
Start = StartNow | StartOldest | StartSnapshot | datetime | str


class ResyncRequired(Exception):  # noqa: N818  a demand on the caller, named by what it must do
    """The changes since the last position cannot be had: list again, then watch from that list's token.

    `reason`: REVISION_COMPACTED, REVISION_IN_FUTURE, STORE_EPOCH_CHANGED; FILTER_MISMATCH, RESUME_TOKEN_INVALID or
    PAGE_TOKEN_INVALID when a token is of another filter or key; COVERAGE_GAP when the stream skipped some.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(f"{reason}: {message}")
        self.reason = reason


class Break(NamedTuple):
    """A pause between two connections: why the first ended, how many seconds until the next is tried."""

    cause: str
    pause: float


class Stream(Protocol):
    """A running WatchEvents call."""

    def __iter__(self) -> Iterator[WatchEventsResponse]: ...

    def cancel(self) -> object: ...


OpenStream = Callable[[WatchEventsRequest], AbstractContextManager[Stream]]


@dataclass(frozen=True, slots=True)
class Coverage:
    """Up to which revision each partition of the log has been seen; a partition never seen may begin anywhere."""

    through: Mapping[int, int] = field(default_factory=dict)

    def extended(self, response: WatchEventsResponse) -> Self:
        """The coverage with this response. ResyncRequired when something before it is missing."""
        # After a reset everything known is void, what was covered of the other partitions too.
        before = {} if response.HasField("reset") else self.through
        seen = before.get(response.partition, response.from_revision)
        if seen != response.from_revision:
            raise ResyncRequired(
                "COVERAGE_GAP", f"a response begins at revision {response.from_revision}, not at {seen}"
            )
        return type(self)({**before, response.partition: response.through_revision})


def request_from(start: Start) -> WatchEventsRequest:
    """The request of a watch that begins there. A time without zone is UTC."""
    request = WatchEventsRequest()
    if isinstance(start, str):
        request.resume_token = start
    elif isinstance(start, datetime):
        request.since_time.FromDatetime(start)
    elif isinstance(start, StartOldest):
        request.oldest.CopyFrom(start)
    elif isinstance(start, StartSnapshot):
        request.snapshot.CopyFrom(start)
    else:
        request.now.CopyFrom(start)
    return request


def pause_before(attempt: int, random: Random, asked: float = 0.0) -> float:
    """Seconds before the nth attempt (from 0) in a row: at least 0.5 or what the server asked for, and full jitter on it.

    The jitter's span doubles with each attempt, until 30. It is added to what the server asked for, which it asks of
    everyone at the same moment.
    """
    ceiling = min(LONGEST_PAUSE, SHORTEST_PAUSE * 2.0 ** min(attempt + 1, 16))
    return max(asked, SHORTEST_PAUSE) + random.uniform(0.0, ceiling - SHORTEST_PAUSE)


def asked_pause(error: grpc.RpcError, failure: Failure) -> float:
    """Seconds the server asks to wait after a failure that will pass.

    Raises ResyncRequired when the position cannot be served, and `error` itself when trying again would not help.
    """
    if failure.position_lost:
        raise ResyncRequired(failure.reason or failure.code.name, failure.message) from error
    if not failure.passing:
        raise error
    return failure.retry_after


def watch(
    open_stream: OpenStream,
    request: WatchEventsRequest,
    *,
    heartbeat: float = HEARTBEAT_SECONDS,
    coverage: Coverage | None = None,
    on_break: Callable[[Break], object] = lambda _: None,
    sleep: Callable[[float], object] = time.sleep,
    random: Random | None = None,
) -> Generator[WatchEventsResponse, None, None]:
    """Responses from the start of `request` on, without end.

    `heartbeat` in seconds, 1 to 300. `coverage`: what was seen before, when known. Raises ResyncRequired, and
    grpc.RpcError when the request itself is refused.
    """
    request.heartbeat_interval.FromTimedelta(timedelta(seconds=heartbeat))
    coverage, random, attempt = coverage or Coverage(), random or Random(), 0
    while True:
        asked, cause = 0.0, "the stream ended"
        try:
            with open_stream(request) as stream:
                for response in _heard(stream, heartbeat * MISSED_HEARTBEATS):
                    coverage, attempt = coverage.extended(response), 0
                    yield response
                    request.resume_token = response.resume_token
                    if response.HasField("goodbye"):
                        asked, cause = seconds(response.goodbye.retry_delay), "the server said goodbye"
        except TimeoutError as silent:
            cause = str(silent)
        except grpc.RpcError as error:
            failure = failure_of(error)
            asked, cause = asked_pause(error, failure), f"{failure.code.name}: {failure.message}"
        pause = pause_before(attempt, random, asked)
        attempt += 1
        on_break(Break(cause, pause))
        sleep(pause)


def _heard(stream: Stream, silence: float) -> Iterator[WatchEventsResponse]:
    """The stream's responses. TimeoutError when none comes for `silence` seconds."""
    with SilenceWatch(silence, stream.cancel) as clock:
        responses = iter(stream)
        try:
            while True:
                with clock.waiting():
                    response = next(responses, None)
                if response is None:
                    return
                yield response
        except grpc.RpcError:
            if clock.expired:
                raise TimeoutError(f"nothing was heard for {silence:g} s") from None
            raise
        finally:
            stream.cancel()
