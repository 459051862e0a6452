"""A mailbox that is written down: its messages, the events of its changes, and its whole history at random."""

from random import Random

from mailsync_client.mirror import Mirror
from mailsync_client.v1 import event_pb2 as pb
from mailsync_client.v1.envelope_pb2 import Envelope, Flags, UidRange
from mailsync_client.v1.event_service_pb2 import WatchEventsResponse

ACCOUNT = "accounts/demo"
INBOX = f"{ACCOUNT}/folders/inbox"
SENT = f"{ACCOUNT}/folders/sent"


def name(uid: int, folder: str = INBOX, uid_validity: int = 1) -> str:
    return f"{folder}/envelopes/{uid_validity}.{uid}"


def message(uid: int, folder: str = INBOX, *, seen: bool = False, uid_validity: int = 1) -> Envelope:
    return Envelope(
        name=name(uid, folder, uid_validity), uid=uid, uid_validity=uid_validity, flags=Flags(seen=seen)
    )


def added(revision: int, uid: int) -> pb.Event:
    return pb.Event(revision=revision, folder=INBOX, envelope_added=pb.EnvelopeAdded(envelope=message(uid)))


def seen(revision: int, uid: int, *, is_seen: bool = True) -> pb.Event:
    change = pb.FlagsChanged(name=name(uid), uid=uid, uid_validity=1, flags=Flags(seen=is_seen))
    return pb.Event(revision=revision, folder=INBOX, flags_changed=change)


def removed(revision: int, first: int, last: int) -> pb.Event:
    gone = pb.EnvelopesRemoved(uid_validity=1, uids=[UidRange(first=first, last=last)])
    return pb.Event(revision=revision, folder=INBOX, envelopes_removed=gone)


def holding(*uids: int, revision: int = 10) -> Mirror:
    mirror = Mirror(ACCOUNT)
    mirror.put([message(uid) for uid in uids], revision)
    return mirror


def uids(mirror: Mirror) -> set[int]:
    return {envelope.uid for envelope in mirror.envelopes()}


def caught_up(mirror: Mirror, through: int) -> bool:
    mirror.advance(WatchEventsResponse(through_revision=through, resume_token=f"t{through}"))
    return mirror.caught_up


class Mailbox:
    """A mailbox's whole history: what it held at each revision, and the event that led there."""

    def __init__(self, random: Random, length: int) -> None:
        self.states: list[dict[int, bool]] = [{}]
        self.events: list[pb.Event] = []
        for revision in range(1, length + 1):
            state = dict(self.states[-1])
            uid = random.choice([*state, revision])
            if uid not in state:
                state[uid] = False
                self.events.append(added(revision, uid))
            elif random.random() < 0.5:
                state[uid] = not state[uid]
                self.events.append(seen(revision, uid, is_seen=state[uid]))
            else:
                del state[uid]
                self.events.append(removed(revision, uid, uid))
            self.states.append(state)

    def read(self, mirror: Mirror, revision: int, first: int, last: int) -> None:
        held = self.states[revision]
        mirror.put([message(uid, seen=held[uid]) for uid in held if first <= uid <= last], revision)
