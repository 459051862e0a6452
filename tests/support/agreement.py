"""What must be so after every quiet point: the log, the store and the mail server tell the same."""

from collections import Counter

from tests.support.mirror import Mirror
from tests.support.replay import Replayer, listed


def assert_agreed(mirror: Mirror, *folders: str) -> None:
    """replay(log) == store == server for `folders`, INBOX and Sent by default, and nothing was announced twice."""
    for folder in folders or ("INBOX", "Sent"):
        assert mirror.flags(folder) == mirror.mailbox.flags_by_uid(folder)
        assert mirror.folder(folder)[0].error_reason == ""
        assert not mirror.folder(folder)[1].pending
    assert Replayer(mirror.store).catch_up() == listed(mirror.store)
    told = Counter(
        (event.folder, event.envelope_added.envelope.uid_validity, event.envelope_added.envelope.uid)
        for event in mirror.events()
        if event.HasField("envelope_added")
    )
    assert set(told.values()) <= {1}


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
