"""The proof that nothing of the log is missing: each piece begins where the one before it ended, and holds its events."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Self

from mailsync_grpc.cli.failures import CommandError
from mailsync_grpc.v1.event_service_pb2 import GetEventLogResponse, WatchEventsResponse

Piece = WatchEventsResponse | GetEventLogResponse


@dataclass(frozen=True, slots=True)
class Coverage:
    """Up to which revision each partition of the log has been seen."""

    through: Mapping[int, int] = field(default_factory=dict)

    def extended(self, piece: Piece) -> Self:
        """The coverage with this piece; after a reset the coverage is that piece's alone.

        CommandError when something before it is missing, or when its events are not those of its range.
        """
        if isinstance(piece, WatchEventsResponse) and piece.HasField("reset"):
            return type(self)({piece.partition: piece.through_revision})
        seen = self.through.get(piece.partition, piece.from_revision)
        if piece.from_revision != seen:
            raise CommandError(
                f"the stream has a gap: it covers from revision {piece.from_revision},"
                f" but revision {seen} was the last one seen"
            )
        _check_events(piece)
        return type(self)({**self.through, piece.partition: piece.through_revision})


def _check_events(piece: Piece) -> None:
    revisions = [piece.from_revision, *(event.revision for event in piece.events)]
    in_order = all(before < after for before, after in pairwise(revisions))
    if not in_order or revisions[-1] > piece.through_revision:
        raise CommandError(
            f"the stream is not in order: revisions {revisions[1:] or 'none'} were sent as all there is"
            f" after {piece.from_revision} and up to {piece.through_revision}"
        )
