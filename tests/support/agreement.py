"""What must be so after every quiet point: the log, the store and the mail server tell the same."""

from collections import Counter

from mailsync_grpc.v1 import event_pb2
from tests.support.mirror import Mirror
from tests.support.replay import Replayer, listed


def assert_agreed(mirror: Mirror, *folders: str) -> None:
    """replay(log) == store == what the window takes of the server, for `folders`, INBOX and Sent by default.

    And nothing was announced twice.
    """
    for folder in folders or ("INBOX", "Sent"):
        assert mirror.flags(folder) == held_inside(mirror, folder)
        assert mirror.folder(folder)[0].error_reason == ""
        progress = mirror.folder(folder)[1]
        assert [*progress.pending, *progress.arriving, *progress.leaving] == []
        assert not progress.rebinding
        assert progress.stored == len(mirror.flags(folder))
    assert Replayer(mirror.store).catch_up() == listed(mirror.store)
    told = Counter(
        (event.folder, envelope.uid_validity, envelope.uid)
        for event in mirror.events()
        for envelope in (event.envelope_added.envelope, event.envelope_moved.envelope)
        if envelope.uid
    )
    assert set(told.values()) <= {1}


def held_inside(mirror: Mirror, folder: str) -> dict[int, frozenset[str]]:
    """Flags by UID of what the server holds inside the account's window."""
    window, held = mirror.settings.window, mirror.mailbox.flags_by_uid(folder)
    if window.newest:
        return dict(sorted(held.items())[-window.newest :])
    bound = window.bound(mirror.now())
    if bound is None:
        return held
    dates = mirror.mailbox.dates_by_uid(folder)
    return {uid: flags for uid, flags in held.items() if dates[uid].timestamp() >= bound}


def backfilled(mirror: Mirror, after: int = 0) -> list[int]:
    """The UIDs told as history after a revision, sorted."""
    return _told(mirror, "backfilled", after)


def evicted(mirror: Mirror, after: int = 0) -> list[int]:
    """The UIDs evicted after a revision, sorted."""
    return _told(mirror, "envelopes_evicted", after)


def _told(mirror: Mirror, kind: str, after: int) -> list[int]:
    told = [getattr(event, kind) for event in mirror.events(after) if event.WhichOneof("payload") == kind]
    return sorted(uid for payload in told for one in payload.uids for uid in range(one.first, one.last + 1))


def added(mirror: Mirror, after: int = 0) -> list[int]:
    """The UIDs announced as new mail after a revision, in order."""
    return [
        event.envelope_added.envelope.uid
        for event in mirror.events(after)
        if event.HasField("envelope_added")
    ]


def removed(mirror: Mirror, after: int = 0) -> int:
    """How many events after a revision told of removed messages."""
    return sum(event.HasField("envelopes_removed") for event in mirror.events(after))


def moved(mirror: Mirror, after: int) -> list[event_pb2.EnvelopeMoved]:
    """The moves told after a revision."""
    return [event.envelope_moved for event in mirror.events(after) if event.HasField("envelope_moved")]
